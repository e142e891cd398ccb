"""`tuningfork query`: one question, or a prompt."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING

import duckdb
import pyarrow.csv
import pyarrow.parquet as pq
from rich.markup import escape
from rich.table import Table

from catalogs import views
from pipeline.progress import console

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    import pyarrow as pa

SHOWN = 200


def resolve(sql: str | None, name: str | None, values: list[str]) -> str:
    """The SQL to run: as typed, or a canned query with its parameters filled in."""
    if name is None:
        return sql or ""
    queries = views.canned()
    if sql is not None:
        msg = "give SQL or --name, not both"
        raise views.BadQuery(msg)
    if name not in queries:
        raise views.BadQuery(f"there is no query {name!r}; there are: {', '.join(queries)}")
    pairs = dict(value.partition("=")[::2] for value in values)
    return queries[name].filled(pairs)


def once(run: str, sql: str, form: str, to: Path | None) -> None:
    """Run one query and write its answer."""
    with views.connect(run) as connection:
        try:
            answer = connection.sql(sql)
            table = answer.to_arrow_table() if answer is not None else None
        except duckdb.Error as error:
            raise views.BadQuery(str(error)) from error
    if table is not None:
        _write(table, form, to)


def prompt(run: str) -> None:
    """Read queries from the terminal, or from standard input, until it ends."""
    with views.connect(run) as connection:
        if sys.stdin.isatty():
            console.print(
                "SQL over [bold]objects[/] and [bold]embeddings[/]; a query ends with ; and Ctrl-D leaves."
            )
        for sql in _typed():
            try:
                answer = connection.sql(sql)
                if answer is not None:
                    _print(answer.to_arrow_table())
            except duckdb.Error as error:
                console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)


def list_canned() -> None:
    """Name, purpose and parameters of every canned query."""
    table = Table("name", "answers", "parameters (--set)")
    for found in views.canned().values():
        wanted = [f"{p} (default {d})" if d else f"{p}" for p, (d, _) in found.parameters.items()]
        table.add_row(found.name, found.about, "\n".join(wanted))
    console.print(table)


def _typed() -> Iterator[str]:
    try:
        import readline  # noqa: F401, PLC0415 - gives input() a history
    except ImportError:
        console.print("(no line editing here)")
    text = ""
    while True:
        try:
            line = input("tuningfork> " if sys.stdin.isatty() and not text else "")
        except EOFError:
            break
        text += line + "\n"
        if line.rstrip().endswith(";"):
            yield text
            text = ""
    if text.strip():
        yield text


def _write(answer: pa.Table, form: str, to: Path | None) -> None:
    if form == "parquet":
        if to is None:
            msg = "--format parquet needs --to FILE"
            raise views.BadQuery(msg)
        pq.write_table(answer, to)
    elif form == "json":
        text = json.dumps(answer.to_pylist(), indent=1, default=str)
        to.write_text(text + "\n", encoding="utf-8") if to else sys.stdout.write(text + "\n")
    elif form == "csv":
        with to.open("wb") if to else _standard_output() as sink:
            pyarrow.csv.write_csv(answer, sink)
    else:
        _print(answer)


def _print(answer: pa.Table) -> None:
    table = Table(*answer.column_names)
    for row in answer.slice(0, SHOWN).to_pylist():
        table.add_row(*["" if value is None else escape(_short(value)) for value in row.values()])
    console.print(table)
    if answer.num_rows > SHOWN:
        console.print(f"{SHOWN} of {answer.num_rows:,} rows; --format csv or parquet writes all of them")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _standard_output() -> contextlib.AbstractContextManager[IO[bytes]]:
    sys.stdout.flush()
    return contextlib.nullcontext(sys.stdout.buffer)
