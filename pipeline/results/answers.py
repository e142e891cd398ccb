"""Answers of a query: as a table for people, or as CSV, JSON and Parquet."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from rich.markup import escape
from rich.table import Table

from catalogs import export_csv, storage, strict_json, views
from pipeline.console import console

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHOWN = 200


def write(answer: pa.Table, form: str, to: Path | None) -> None:
    """Write an answer to a file, or to standard output.

    Raises
    ------
    BadQuery
        If the form cannot hold it.
    """
    if form == "table":
        show(answer)
        return
    if form == "parquet" and to is None:
        msg = "--format parquet needs --to FILE"
        raise views.BadQuery(msg)
    twice = [name for name in answer.column_names if answer.column_names.count(name) > 1]
    if twice:
        raise views.BadQuery(
            f"two columns of the answer are called {twice[0]!r}: give one another name with AS"
        )
    data = {"parquet": _parquet, "json": _json, "csv": _csv}[form](answer)
    if to is not None:
        storage.write(str(to), data)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def show(answer: pa.Table) -> None:
    """Print an answer's first rows."""
    table = Table(*map(escape, answer.column_names))
    for row in _rows(answer.slice(0, SHOWN)):
        table.add_row(*["" if value is None else escape(_short(value)) for value in row])
    console.print(table)
    if answer.num_rows > SHOWN:
        console.print(f"{SHOWN} of {answer.num_rows:,} rows; --format csv or parquet writes all of them")


def _parquet(answer: pa.Table) -> bytes:
    sink = io.BytesIO()
    try:
        pq.write_table(answer, sink)
    except (pa.ArrowException, NotImplementedError) as error:
        raise views.BadQuery(f"Parquet cannot hold the answer ({error}): cast that column") from error
    return sink.getvalue()


def _json(answer: pa.Table) -> bytes:
    rows = [dict(zip(answer.column_names, row, strict=True)) for row in _rows(answer)]
    return (strict_json.dumps(rows, indent=1) + "\n").encode()


def _csv(answer: pa.Table) -> bytes:
    sink = io.BytesIO()
    pyarrow.csv.write_csv(export_csv.flat(answer), sink)
    return sink.getvalue()


def _rows(answer: pa.Table) -> Iterator[tuple[Any, ...]]:
    columns = [answer.column(number).to_pylist() for number in range(answer.num_columns)]
    return zip(*columns, strict=True)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"
