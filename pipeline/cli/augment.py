"""The command line's `augment`."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer
from rich.markup import escape

from pipeline.console import console
from pipeline.engine.interrupts import resumable

augmenting = typer.Typer()


@augmenting.command()
def augment(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A diffusion model (.safetensors), or `efigi`, which is bundled."
        ),
    ],
    out: Annotated[str, typer.Option("--out", help="Folder for the synthetic release, local or a URL.")],
    count: Annotated[int | None, typer.Option(help="Stamps to draw; --again draws all of its rows.")] = None,
    condition: Annotated[
        str | None, typer.Option(help='What to draw: "t_type=-3 visible_dust=0.75@0.9", VALUE@CONFIDENCE.')
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="Draw like the rows of a table, run or release (.toml)."),
    ] = None,
    jitter: Annotated[
        float | None,
        typer.Option(help="Scatter around --like's values, in parts of each range. Default: 0.05."),
    ] = None,
    again: Annotated[
        str | None,
        typer.Option(metavar="TABLE", help="Draw the rows of a synthetic catalog again, bit by bit."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the first stamp; the next has the next. Default: 0.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps of the sampling. Default: 20.")] = None,
    guidance: Annotated[
        float | None, typer.Option(help="Weight of the condition; 1 is the model as it is. Default: 1.")
    ] = None,
    rescale: Annotated[
        float | None,
        typer.Option(help="How much of the contrast that guidance adds is taken back. Default: 0.7."),
    ] = None,
    shard_rows: Annotated[int, typer.Option(help="Stamps in a shard: the unit of work and of resume.")] = 512,
    workers: Annotated[int, typer.Option(help="Actors that draw.")] = 2,
    gpus: Annotated[float, typer.Option(help="GPUs of an actor; 0 draws on the CPU.")] = 0.0,
    threads: Annotated[int, typer.Option(help="Threads of an actor on the CPU.")] = 1,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join; default: start one here.")] = None,
    anew: Annotated[
        bool, typer.Option(help="Throw away what an earlier augmentation left in --out.")
    ] = False,
) -> None:
    """Draw a synthetic release with a diffusion model. Run it again to continue after any interruption."""
    from pipeline.synthesis.augment import augment as draw
    from pipeline.synthesis.requests import Order

    options = {
        "--count": count,
        "--condition": condition,
        "--like": like,
        "--jitter": jitter,
        "--again": again,
        "--seed": seed,
        "--steps": steps,
        "--guidance": guidance,
        "--rescale": rescale,
        "--shard-rows": shard_rows,
        "--workers": workers,
        "--gpus": gpus,
        "--threads": threads,
        "--address": address,
    }
    words = ["tuningfork", "augment", model, "--out", out]
    words += [word for option, value in options.items() if value is not None for word in (option, str(value))]
    order = Order(
        model,
        out,
        count=count,
        condition=condition,
        like=like,
        jitter=jitter,
        again=again,
        seed=seed,
        steps=steps,
        guidance=guidance,
        rescale=rescale,
        shard_rows=shard_rows,
        workers=workers,
        gpus=gpus,
        threads=threads,
    )
    with resumable(shlex.join(words)):
        drawn = draw(order, address, anew=anew)
    console.print(f"synthetic release: {drawn:,} stamps in {escape(out)}; to run it:", soft_wrap=True)
    console.print(
        f"  set \\[survey] synthetic = true in {escape(out.rstrip('/'))}/survey.toml", soft_wrap=True
    )
    console.print(
        f"  tuningfork run {escape(shlex.quote(out.rstrip('/') + '/survey.toml'))} --out RUN", soft_wrap=True
    )
