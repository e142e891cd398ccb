"""The commands `similar` and `anomalies`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from catalogs.errors import BadRequest
from pipeline.cli.options import Address
from pipeline.cli.results import Format, RunPath
from pipeline.console import console

if TYPE_CHECKING:
    import pyarrow as pa

finding = typer.Typer()

Count = Annotated[int, typer.Option("-n", "--count", min=1, max=100_000, help="How many objects.")]
Flagged = Annotated[
    bool,
    typer.Option(
        "--flagged", help="Whatever flags say; by default edges, bad pixels, stars and blends do not count."
    ),
]
Output = Annotated[Format, typer.Option("--format", help="How to write the answer.")]
To = Annotated[Path | None, typer.Option("--to", help="File to write to; parquet needs one.")]
Sheet = Annotated[
    str | None, typer.Option(metavar="FILE.html", help="Write a contact sheet: one HTML file with pictures.")
]
Moved = Annotated[
    Path | None, typer.Option(help="The release's config, if it has moved; for the sheet's pictures.")
]


@finding.command()
def similar(
    run: RunPath,
    id_: Annotated[
        list[str] | None, typer.Option("--id", help="object_id of an example; may be given several times.")
    ] = None,
    ids: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Examples: a text file with an object_id on every line."),
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="Example that is in no catalog: FITS, JPEG, PNG or TIFF."),
    ] = None,
    count: Count = 50,
    flagged: Flagged = False,
    fit: Annotated[
        Literal["pad", "resize", "galaxy"],
        typer.Option(help="What becomes of a picture of another size, as in `pack`."),
    ] = "pad",
    output: Output = "table",
    to: To = None,
    sheet: Sheet = None,
    index: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Folder of the index; default: index in the run.")
    ] = None,
    config: Moved = None,
    address: Address = None,
) -> None:
    """Find the objects most like an object, an image or a set of examples; without any, only make the index."""
    from pipeline.similar.similar import Wanted, write_sheet
    from pipeline.similar.similar import similar as find

    examples = [*(id_ or []), *([] if ids is None else _listed(ids))]
    wanted = Wanted(examples, image or [], count, flagged, fit)
    found = find(run, wanted, index=index, address=address)
    if found is None:
        return
    if sheet is not None:
        write_sheet(found, wanted, sheet, config)
    _write(found.table, sheet, output, to)


@finding.command()
def anomalies(
    run: RunPath,
    count: Count = 50,
    flagged: Flagged = False,
    output: Output = "table",
    to: To = None,
    sheet: Sheet = None,
    config: Moved = None,
) -> None:
    """Say which objects are like no others, and why: those that flags explain come after all others."""
    from pipeline.similar.anomalies import anomalies as find
    from pipeline.similar.anomalies import write_sheet

    found = find(run, count, flagged=flagged)
    if sheet is not None:
        write_sheet(found, sheet, config, flagged=flagged)
    _write(found.table, sheet, output, to)


def _short(table: pa.Table) -> pa.Table:
    """The table as people read it: with as many digits as mean something."""
    import pyarrow as pa

    for name, digits in {"similarity": 5, "anomaly": 3, "anomaly_distance": 4, "ra": 6, "dec": 6}.items():
        if name in table.column_names:
            column = [None if value is None else round(value, digits) for value in table[name].to_pylist()]
            table = table.set_column(table.column_names.index(name), name, pa.array(column, pa.float64()))
    return table


def _write(table: pa.Table, sheet: str | None, output: Format, to: Path | None) -> None:
    """Name the sheet, and write the table unless a sheet alone was wanted."""
    from pipeline.results import answers

    if sheet is not None:
        console.print(f"sheet: {escape(sheet)}", soft_wrap=True, highlight=False)
    if sheet is None or to is not None or output != "table":
        answers.write(_short(table) if output == "table" else table, output, to)


def _listed(file: Path) -> list[str]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise BadRequest(
            f"{file}: cannot be read ({problem}). Give a text file with an object_id on every line"
        ) from error
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise BadRequest(f"{file}: names no object. Give a text file with an object_id on every line")
    return found
