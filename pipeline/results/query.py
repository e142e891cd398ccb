"""`tuningfork query`: one question, or a prompt."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import duckdb
from rich.markup import escape
from rich.table import Table

from catalogs import storage, views
from catalogs.canned import refuse_what_is_not_there
from catalogs.errors import CannotWrite
from catalogs.views import NoCatalog
from pipeline.console import console
from pipeline.plan import deciding
from pipeline.results import answers
from pipeline.rundir import arrays
from pipeline.rundir.run_directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from catalogs.canned import CannedQuery


@dataclass(frozen=True)
class Question:
    """One query."""

    sql: str
    query: CannedQuery | None = None
    """The canned query that it is made of."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Its parameters as they were given."""


def resolve(run: str, sql: str | None, name: str | None, values: list[str]) -> Question:
    """The query: SQL as typed, or a canned query with its parameters."""
    if name is None:
        return Question(sql or "")
    queries = views.canned()
    if sql is not None:
        msg = "give SQL or --name, not both"
        raise views.BadQuery(msg)
    if name not in queries:
        raise views.BadQuery(f"there is no query {name!r}; there are: {', '.join(queries)}")
    pairs = dict(value.partition("=")[::2] for value in values)
    given = {**_of_predictor(run, queries[name], pairs), **_of_models(run, queries[name])}
    return Question(queries[name].filled(pairs, given), queries[name], pairs)


def _of_predictor(run: str, query: CannedQuery, values: Mapping[str, str]) -> dict[str, str]:
    """What a predictor of the run says to the query, where it asks for that."""
    if not query.is_of_predictor or "question" not in values:
        return {}
    accuracy = values.get("accuracy", query.parameters["accuracy"][0] or "")
    return deciding.decision_of(run, values["question"], accuracy).sql


def repair(run: str) -> None:
    """Write the run's `catalog.duckdb` anew: it was moved, or the file is damaged."""
    views.connect(run).close()  # of what cannot be read there are no views
    views.write_database(run)
    console.print(f"rewritten: {escape(run.rstrip('/'))}/catalog.duckdb", soft_wrap=True)


def _of_models(run: str, query: CannedQuery) -> dict[str, str]:
    """What the run has fitted, where the query asks for that: the mean of its embeddings."""
    components = RunDirectory(run).components
    if not query.is_of_models or not storage.exists(components):
        return {}
    return {"mean": f"[{', '.join(map(repr, arrays.load(components)['mean'].tolist()))}]"}


def once(run: str, question: Question, form: str, to: Path | None) -> None:
    """Run one query and write its answer."""
    _mend(run)
    with views.connect(run) as connection:
        if question.query is not None:
            refuse_what_is_not_there(connection, question.query, question.values)
        try:
            answer = connection.sql(question.sql)
            table = answer.to_arrow_table() if answer is not None else None
        except duckdb.Error as error:
            raise views.BadQuery(str(error)) from error
    if table is not None:
        answers.write(table, form, to)


def prompt(run: str) -> None:
    """Read queries from the terminal, or from standard input, until it ends."""
    _mend(run)
    with views.connect(run) as connection:
        if sys.stdin.isatty():
            console.print(
                "SQL over [bold]objects[/] and [bold]embeddings[/]; a query ends with ; and Ctrl-D leaves."
            )
        for sql in _typed():
            try:
                answer = connection.sql(sql)
                if answer is not None:
                    answers.show(answer.to_arrow_table())
            except duckdb.Error as error:
                console.print(f"[red]{escape(str(error))}[/]", soft_wrap=True)


def _mend(run: str) -> None:
    """`catalog.duckdb` of a run that was moved opens it again; nothing is said where the run cannot be written to."""
    if not storage.is_local(run):
        return  # to look at the file would take a request for all of it
    with contextlib.suppress(CannotWrite, OSError, NoCatalog):
        before = views.mend_database(run)
        if before is not None:
            sys.stderr.write(f"The run was moved: catalog.duckdb, which was for {before}, is rewritten.\n")


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
