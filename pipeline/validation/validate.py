"""`tuningfork validate`: physical tests over a run or a published catalog, and tests of predictors, as a table and as Parquet."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.markup import escape
from rich.table import Table

from catalogs import published, storage, validation, views
from catalogs.errors import Fault, Refused
from catalogs.where import BadCondition, columns_of
from pipeline.config.check import checked, read_toml
from pipeline.config.validation import OF_PREDICTORS, Published, Validate
from pipeline.console import console
from pipeline.output.lock import locked
from pipeline.rundir.run_directory import RunDirectory
from pipeline.validation import predictions

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

SCHEMA = pa.schema(
    [
        ("test", pa.string()),
        ("what", pa.string()),
        ("verdict", pa.string()),
        ("required", pa.bool_()),
        ("statistic", pa.float64()),
        ("error", pa.float64()),
        ("expected", pa.string()),
        ("objects", pa.int64()),
        ("detail", pa.string()),
        ("statement", pa.string()),
        ("source", pa.string()),
    ]
)
COLOURS = {"passed": "green", "failed": "bold red", "unclear": "yellow", "not run": "dim"}
DEFAULT = "ordering"
"""The test that is required where the config names none."""


@dataclass(frozen=True)
class Result:
    """Every row of every test, and which of the required ones are not met."""

    rows: list[dict[str, Any]]
    unmet: list[str]
    objects: int
    """Objects of the catalog."""
    tested: int
    """Objects that were looked at: fewer where a class is large."""


def validate(source: str, to: str | None) -> bool:
    """Test a catalog, print the table and write it.

    Parameters
    ----------
    source : str
        A run directory, or a TOML file that maps a published catalog.
    to : str, optional
        Parquet file for the result; by default `validation.parquet` in the run directory, and none for a TOML file.

    Returns
    -------
    bool
        Whether everything required holds.

    Raises
    ------
    Refused, BadRequest
        If the run or the file can't be read, or a key of its `[validate]` does not fit the catalog.
    """
    of_run = not source.endswith(".toml")
    if of_run and to is None and RunDirectory(source).record(whole=False) is not None:
        with locked(source, "validate"):
            return _validated(source, RunDirectory(source).validation, of_run=True)
    return _validated(source, to, of_run=of_run)


def _validated(source: str, url: str | None, *, of_run: bool) -> bool:
    connection, settings, record = _open_run(source) if of_run else _open_published(source)
    fingerprint = record["fingerprints"].get("publish", "") if record else ""
    with connection:
        result = judge(connection, settings, source, record)
    _print(result, source)
    if url is not None:
        storage.write(url, _parquet(result, settings, source, fingerprint))
        console.print(f"written: {escape(url)}", soft_wrap=True, highlight=False)
    for name in result.unmet:
        console.print(f"[bold red]required and not met:[/] {escape(name)}", soft_wrap=True, highlight=False)
    return not result.unmet


def judge(
    connection: duckdb.DuckDBPyConnection,
    settings: Validate,
    source: str,
    record: dict[str, Any] | None = None,
) -> Result:
    """Run every test over the view `objects`, of a run with this `run.json` those of its predictors too, and say which required ones are not met."""
    _refuse_what_is_not_there(connection, settings, source)
    measured = validation.measure(connection, settings.columns, settings.where, settings.most)
    rows: list[dict[str, Any]] = []
    for name, test in validation.tests().items():
        if name in settings.skip:
            continue
        for row in validation.run(connection, test, measured.columns, settings.parameters(test)):
            required = any(_names(entry, row) for entry in settings.required or [DEFAULT])
            rows.append({**row, "required": required, "statement": test.about, "source": test.source})
    found = predictions.judged(connection, source, record, settings.skip, settings.most) if record else []
    for row in found:
        required = any(_names(entry, row) for entry in settings.required or [])
        rows.append({**row, "required": required, "statement": OF_PREDICTORS[row["test"]], "source": ""})
    # What nobody named is required only where it can be tested.
    bad = {"failed"} if settings.required is None else {"failed", "not run"}
    unmet = [
        f"{row['test']} {row['what']}".strip() + f": {row['verdict']} ({row['detail']})"
        for row in rows
        if row["required"] and row["verdict"] in bad
    ]
    absent = [e for e in settings.required or [] if not any(_names(e, row) for row in rows)]
    unmet += [f"{entry}: no such row in the result" for entry in absent]
    return Result(rows, unmet, measured.objects, measured.tested)


def _names(entry: str, row: Mapping[str, Any]) -> bool:
    """Whether an entry of `required` names a row: the whole test, one of its columns, or one column and pair."""
    test, _, what = entry.partition("/")
    return row["test"] == test and (not what or f"{row['what']} ".startswith(f"{what} "))


def _open_run(url: str) -> tuple[duckdb.DuckDBPyConnection, Validate, dict[str, Any]]:
    record = RunDirectory(url).record(whole=False)
    if record is None:
        raise views.NoCatalog(
            f"{url}: there is no run here. Give a run directory, or a .toml that maps a published catalog."
        )
    settings = checked(Validate, record["config"].get("validate", {}), storage.join(url, "run.json"))
    return views.connect(url), settings, record


def _open_published(path: str) -> tuple[duckdb.DuckDBPyConnection, Validate, None]:
    file = Path(path)
    mapped = checked(Published, read_toml(file), path, "docs/validation.md")
    folder = str(file.resolve().parent)
    return published.connect(mapped.tables, mapped.objects, folder, path), mapped.validation, None


def _refuse_what_is_not_there(connection: duckdb.DuckDBPyConnection, settings: Validate, source: str) -> None:
    """Columns that the config names must be there: a test that silently lacks one would never run."""
    there = {str(name).lower(): str(name) for (name, *_) in connection.execute("DESCRIBE objects").fetchall()}
    remedy = f"There are: {', '.join(there.values())}"
    faults = [
        Fault(
            source, "the catalog has no such column", remedy, value=repr(name), key=f"validate.columns.{ours}"
        )
        for ours, name in settings.columns.items()
        if name.lower() not in there
    ]
    if settings.where is not None:
        try:
            unknown = [name for name in columns_of(settings.where) if name.lower() not in there]
            problem = f"the catalog has no column {', '.join(unknown)}" if unknown else None
        except BadCondition as error:
            problem, remedy = str(error), "Correct it; see [validate] in docs/config.md"
        if problem:
            faults.append(Fault(source, problem, remedy, value=repr(settings.where), key="validate.where"))
    if faults:
        raise Refused(faults)


def _print(result: Result, source: str) -> None:
    table = Table(
        "test", "what", "verdict", "statistic", "expected", "objects", "detail", title=escape(source)
    )
    for row in result.rows:
        colour = COLOURS[row["verdict"]]
        statistic = "" if row["statistic"] is None else f"{row['statistic']:.3g}"
        if statistic and row["error"] is not None:
            statistic += f" ± {row['error']:.1g}"
        table.add_row(
            row["test"] + (" *" if row["required"] else ""),
            escape(row["what"]),
            f"[{colour}]{row['verdict']}[/]",
            statistic,
            escape(row["expected"] or ""),
            f"{row['objects']:,}",
            escape(row["detail"]),
        )
    console.print(table)
    counts = {verdict: sum(row["verdict"] == verdict for row in result.rows) for verdict in COLOURS}
    console.print(", ".join(f"{n} {verdict}" for verdict, n in counts.items()) + "; * is required")
    if result.tested < result.objects:
        console.print(f"{result.tested:,} of {result.objects:,} objects, drawn by a hash of their ids")


def _parquet(result: Result, settings: Validate, source: str, fingerprint: str) -> bytes:
    counts = {verdict: sum(row["verdict"] == verdict for row in result.rows) for verdict in COLOURS}
    metadata = {
        "tuningfork": version("tuningfork"),
        "source": source,
        "fingerprint": fingerprint,
        "verdicts": json.dumps(counts),
        "objects": str(result.objects),
        "tested": str(result.tested),
        "unmet": json.dumps(result.unmet),
        "validate": json.dumps(settings.model_dump(mode="json")),
    }
    table = pa.Table.from_pylist(result.rows, schema=SCHEMA.with_metadata(metadata))
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()
