"""Commands over a run: how far it is, and what its catalog says."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.options import Address
from pipeline.engine.interrupts import resumable

results = typer.Typer()

RunPath = Annotated[str, typer.Argument(metavar="RUN", help="A run directory, local or a URL.")]

Format = Literal["table", "csv", "json", "parquet"]


@results.command()
def status(
    run: RunPath, as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False
) -> None:
    """Say how far a run is: slices, objects, flags, rate, and what is missing."""
    from pipeline.cli import printing
    from pipeline.rundir.status import status as look

    printing.status(look(run), as_json=as_json)


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
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Write catalog.duckdb anew, if the run was moved or it is damaged."),
    ] = False,
) -> None:
    """Ask the catalog in SQL. Without a query it opens a prompt."""
    from pipeline.results import query

    if repair:
        query.repair(run)
        if sql is None and name is None:
            return
    if name == "list":
        query.list_canned()
    elif sql is None and name is None:
        query.prompt(run)
    else:
        query.once(run, query.resolve(run, sql, name, values or []), output, to)


@results.command()
def predict(
    run: RunPath,
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE...", help="Predictors, .safetensors.")
    ] = None,
    forget: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Take a predictor that was added from the run.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The run's config, if it no longer lies where it lay.")
    ] = None,
    address: Address = None,
) -> None:
    """Let predictors answer for every object of a finished run, as columns of its catalog."""
    from pipeline.cli import printing
    from pipeline.results.predict import predict

    if not files and not forget:
        raise typer.BadParameter("give predictors, or names to forget", param_hint="FILE...")
    words = ["tuningfork", "predict", run, *(files or [])]
    with resumable(shlex.join(words)):
        predict(run, files or [], forget=forget or [], config=config, address=address)
    printing.summary(run)


@results.command()
def experts(
    run: RunPath,
    question: Annotated[str, typer.Option(help="Question of a predictor.")],
    out: Annotated[str, typer.Option(help="Folder to write.")],
    accuracy: Annotated[
        str, typer.Option(help="Wanted share of right answers among those that stand without people.")
    ] = "0.95",
    most: Annotated[
        int, typer.Option(min=1, help="Objects with a picture and a line in the manifest.")
    ] = 500,
    config: Annotated[Path | None, typer.Option(help="The release's config, if it has moved.")] = None,
) -> None:
    """Give people what a predictor is not sure of: a table, pictures, and a manifest for the Zooniverse."""
    from pipeline.report.experts import experts

    experts(run, question, accuracy, out, most=most, config=config)


@results.command()
def export(
    run: RunPath,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="What to write: .fits, .vot, .parquet or .csv; all but Parquet also with .gz.",
        ),
    ],
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="A SELECT over `objects` and `embeddings`.")
    ] = "SELECT * FROM objects",
) -> None:
    """Write the catalog, or an answer over it, as one file for TOPCAT, astropy and others, with units and UCDs."""
    from pipeline.results import export

    export.export(run, file, sql)


@results.command()
def groups(
    run: RunPath,
    numbers: Annotated[
        str | None,
        typer.Option(help="Numbers of groups to try, comma-separated. Default: 5 to 60, and the run's own."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say how many groups a run carries, how stable they are, and which are alike."""
    from catalogs import strict_json
    from pipeline.cli import printing_groups
    from pipeline.console import console
    from pipeline.results.groups import groups as look
    from pipeline.results.groups import numbers_of

    with console.status("trying numbers of groups"):
        found = look(run, numbers_of(numbers))
    if as_json:
        typer.echo(strict_json.dumps(found.to_dict(), indent=1))
    else:
        printing_groups.groups(found)


@results.command()
def label(
    run: RunPath,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.toml", help='Names: lines 3 = "SPH" in a table groups.')
    ],
    author: Annotated[str | None, typer.Option(help="Who decided; default: the file's author.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="The run's config, where it is no longer where it was.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join; default: start one here.")] = None,
    forget: Annotated[
        bool, typer.Option(help="Forget earlier names of groups that FILE leaves out.")
    ] = False,
) -> None:
    """Name the groups of a run, and publish its catalog with the names."""
    from pipeline.cli import printing
    from pipeline.results.label import label as decide

    decide(run, file, author=author, config=config, address=address, forget=forget)
    printing.classes(run)


@results.command()
def validate(
    source: Annotated[
        str, typer.Argument(metavar="RUN|FILE.toml", help="A run directory, or a map of a published catalog.")
    ],
    to: Annotated[
        str | None, typer.Option("--to", help="Parquet to write; default: validation.parquet in the run.")
    ] = None,
) -> None:
    """Test what the classes should mean physically. Exit code 3 if a required test fails."""
    from pipeline.validation.validate import validate as test

    if not test(source, to):
        raise typer.Exit(3)


@results.command()
def report(
    run: RunPath,
    out: Annotated[str | None, typer.Option(help="Folder to write; default: report in the run.")] = None,
    truth: Annotated[str | None, typer.Option(help="Parquet or CSV with object_id and a true class.")] = None,
    truth_column: Annotated[str, typer.Option(help="Its column with the class.")] = "class",
    stamps: Annotated[int, typer.Option(min=1, help="Stamps of each kind and group.")] = 12,
    sample: Annotated[int, typer.Option(min=1, max=200_000, help="Objects on the map, at most.")] = 20_000,
    config: Annotated[Path | None, typer.Option(help="The release's config, if it has moved.")] = None,
    umap: Annotated[bool, typer.Option(help="Compute UMAP where the extra is installed.")] = True,
) -> None:
    """Write a run as a folder of HTML that opens from disk: groups, map, parameters, validation."""
    from rich.markup import escape

    from pipeline.console import console
    from pipeline.report.page import Options
    from pipeline.report.page import report as make

    page = make(run, Options(out, truth, truth_column, stamps, sample, config, umap))
    console.print(f"report: {escape(page)}", soft_wrap=True)
