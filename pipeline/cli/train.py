"""The commands `train encoder`, `train denoiser` and `train diffusion`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.options import Address, ConfigPath
from pipeline.engine.interrupts import resumable

training = typer.Typer(no_args_is_help=True, help="Train networks on releases.")

Configs = Annotated[list[Path], typer.Argument(metavar="CONFIG...", help="TOML configs of releases.")]
TrainOut = Annotated[str, typer.Option("--out", help="Folder for weights, metrics and checkpoints.")]
TrainAnew = Annotated[bool, typer.Option(help="Throw away what an earlier training left in --out.")]


@training.command()
def encoder(configs: Configs, out: TrainOut, address: Address = None, anew: TrainAnew = False) -> None:
    """Train galaxy-atto on releases, with their labels if the configs name some. Run it again to continue."""
    _train("encoder", configs, out, address, anew=anew)


@training.command()
def denoiser(configs: Configs, out: TrainOut, address: Address = None, anew: TrainAnew = False) -> None:
    """Train a denoiser on releases of clean stamps. Run it again to continue."""
    _train("denoiser", configs, out, address, anew=anew)


@training.command()
def diffusion(config: ConfigPath, out: TrainOut, address: Address = None, anew: TrainAnew = False) -> None:
    """Train a model that draws galaxies of a wanted morphology, for `augment`. Run it again to continue."""
    _train("diffusion", [config], out, address, anew=anew)


def _train(network: str, configs: list[Path], out: str, address: str | None, *, anew: bool) -> None:
    from pipeline.training.train import train

    words = ["tuningfork", "train", network, *map(str, configs), "--out", out]
    words += [] if address is None else ["--address", address]
    with resumable(shlex.join(words)):
        train(network, configs, out, address, anew=anew)
