"""The command line's `detect`."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer
from rich.markup import escape

from pipeline.cli.options import Address, ConfigPath
from pipeline.console import console
from pipeline.engine.interrupts import resumable

detecting = typer.Typer()


@detecting.command()
def detect(
    config: ConfigPath,
    out: Annotated[str, typer.Option("--out", help="Folder for the catalog, local or a URL.")],
    address: Address = None,
    anew: Annotated[bool, typer.Option(help="Throw away what an earlier detection left in --out.")] = False,
) -> None:
    """Find the sources on images that have no catalog. Run it again to continue after any interruption."""
    from pipeline.detection.detect import detect as find

    words = ["tuningfork", "detect", str(config), "--out", out]
    words += [] if address is None else ["--address", address]
    with resumable(shlex.join(words)):
        found = find(config, out, address, anew=anew)
    for note in found.notes:
        console.print(f"[bold yellow]note:[/] {escape(note)}", soft_wrap=True, highlight=False)
    twice = f", {found.duplicates:,} more on two tiles left out" if found.duplicates else ""
    console.print(
        f"catalog: {found.sources:,} sources of {found.tiles:,} tiles{twice}; next:", soft_wrap=True
    )
    console.print(
        f"  tuningfork run {escape(shlex.quote(out.rstrip('/') + '/survey.toml'))} --out RUN", soft_wrap=True
    )
