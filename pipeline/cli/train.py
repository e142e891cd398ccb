"""The commands `train encoder`, `autoregressive`, `predictor`, `denoiser` and `diffusion`."""

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
def autoregressive(
    config: ConfigPath, out: TrainOut, address: Address = None, anew: TrainAnew = False
) -> None:
    """Train an encoder of stamps, catalog columns and spectra together, which learns to predict their next token. Run it again to continue."""
    _train("autoregressive", [config], out, address, anew=anew)


@training.command()
def denoiser(configs: Configs, out: TrainOut, address: Address = None, anew: TrainAnew = False) -> None:
    """Train a denoiser on releases of clean stamps. Run it again to continue."""
    _train("denoiser", configs, out, address, anew=anew)


@training.command()
def diffusion(config: ConfigPath, out: TrainOut, address: Address = None, anew: TrainAnew = False) -> None:
    """Train a model that draws galaxies of a wanted morphology, for `augment`. Run it again to continue."""
    _train("diffusion", [config], out, address, anew=anew)


@training.command()
def predictor(
    configs: Configs,
    out: TrainOut,
    of_run: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="RUN", help="Learn on the embeddings of this finished run: no pixels, seconds."
        ),
    ] = None,
    address: Address = None,
    anew: TrainAnew = False,
) -> None:
    """Train heads that answer questions about each galaxy: classes, scales, votes, trees, values."""
    if of_run is None:
        _train("predictor", configs, out, address, anew=anew)
        return
    if len(configs) > 1:
        raise typer.BadParameter("--from takes the labels of one config", param_hint="CONFIG...")
    from pipeline.training.from_run import learn_from_run

    learn_from_run(configs[0], of_run, out, anew=anew)


def _train(network: str, configs: list[Path], out: str, address: str | None, *, anew: bool) -> None:
    from pipeline.training.train import train

    words = ["tuningfork", "train", network, *map(str, configs), "--out", out]
    words += [] if address is None else ["--address", address]
    with resumable(shlex.join(words)):
        train(network, configs, out, address, anew=anew)
