"""Commands over a run: how far it is, and what its catalog says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

results = typer.Typer()

RunPath = Annotated[str, typer.Argument(metavar="RUN", help="A run directory, local or a URL.")]

Format = Literal["table", "csv", "json", "parquet"]


@results.command()
def status(
    run: RunPath, as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False
) -> None:
    """Say how far a run is: slices, objects, flags, rate, and what is missing."""
    from pipeline import show
    from pipeline.status import status as look

    show.status(look(run), as_json=as_json)


@results.command()
def query(
    run: RunPath,
    sql: Annotated[str | None, typer.Argument(help="SQL over `objects` and `embeddings`.")] = None,
    name: Annotated[
        str | None, typer.Option(help="A canned query instead; `--name list` lists them.")
    ] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", help="A canned query's parameter, NAME=VALUE.")
    ] = None,
    output: Annotated[Format, typer.Option("--format", help="How to write the answer.")] = "table",
    to: Annotated[Path | None, typer.Option("--to", help="File to write to; parquet needs one.")] = None,
) -> None:
    """Ask the catalog in SQL. Without a query it opens a prompt."""
    from pipeline import ask

    if name == "list":
        ask.list_canned()
    elif sql is None and name is None:
        ask.prompt(run)
    else:
        ask.once(run, ask.resolve(sql, name, values or []), output, to)
