"""The answer of a query as a stream of record batches, in which columns of the catalog keep their metadata."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from catalogs import described
from catalogs.canned import BadQuery
from catalogs.headers import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

BATCH = 32_768
"""Rows that are in memory at once, some copies of them aside."""
VIEW = '"exported answer"'
META = ("unit", "ucd", "description")


def _ignore(rows: int) -> None:
    del rows


@dataclass(frozen=True)
class Answer:
    """What a SELECT gives; it is computed again whenever its rows are asked for."""

    connection: duckdb.DuckDBPyConnection
    kinds: Mapping[str, str]
    """Name of each column, and its type in DuckDB's words."""
    metadata: Mapping[str, Mapping[str, str]]
    """Unit, UCD and description of columns that are the catalog's."""
    told: Callable[[int], None] = field(default=_ignore)
    """Called with the number of rows of every batch."""

    @property
    def schema(self) -> pa.Schema:
        """Its columns as Arrow has them, with their metadata."""
        found = self.connection.sql(f"SELECT * FROM {VIEW} LIMIT 0").to_arrow_table().schema
        return pa.schema([item.with_metadata(self.metadata.get(item.name, {})) for item in found])

    def batches(self, expressions: Sequence[str] = ("*",)) -> Iterator[pa.RecordBatch]:
        """Its rows, in the query's order: all columns, or SQL expressions over them.

        Raises
        ------
        BadQuery
            If the query fails on some row.
        """
        with _one_line():
            relation: Any = self.connection.sql(f"SELECT {', '.join(expressions)} FROM {VIEW}")
            # DuckDB 1.4 has it under its older name alone.
            read = getattr(relation, "to_arrow_reader", None) or relation.fetch_record_batch
            reader = read(BATCH)
        while (batch := _next(reader)) is not None:
            yield batch
            self.told(batch.num_rows)

    def aggregate(self, expressions: Sequence[str]) -> tuple[Any, ...]:
        """SQL aggregates over all rows.

        Raises
        ------
        BadQuery
            If the query fails on some row.
        """
        with _one_line():
            (found,) = self.connection.execute(f"SELECT {', '.join(expressions)} FROM {VIEW}").fetchall()
        return tuple(found)


def select(
    connection: duckdb.DuckDBPyConnection, sql: str, run: str, told: Callable[[int], None] = _ignore
) -> Answer:
    """The answer of one SELECT over a run.

    Raises
    ------
    BadQuery
        If it is anything else, DuckDB can't read it, or two of its columns have one name.
    """
    with _one_line():
        statements = connection.extract_statements(sql)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            raise BadQuery(
                f"{' '.join(sql.split())!r} is not one SELECT: only answers of queries can be exported"
            )
        asked = connection.sql(sql)
        _refuse_doubles(asked.columns)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {VIEW} AS {sql}")
    kinds = dict(zip(asked.columns, map(str, asked.types), strict=True))
    return Answer(connection, kinds, _metadata(connection, kinds, run), told)


def _refuse_doubles(names: Sequence[str]) -> None:
    counted = Counter(name.lower() for name in names)
    twice = [name for name in names if counted[name.lower()] > 1]
    if twice:
        raise BadQuery(
            f"two columns of the answer are called {twice[0]!r}, upper and lower case aside: give one another name with AS"
        )


def _metadata(
    connection: duckdb.DuckDBPyConnection, kinds: Mapping[str, str], run: str
) -> dict[str, dict[str, str]]:
    """Of those columns of an answer that have the name and the type of one of the catalog."""
    found: dict[str, dict[str, str]] = {}
    for view, patterns in (("objects", described.OBJECTS), ("embeddings", described.EMBEDDINGS)):
        fields = described.fields(run, *patterns)
        if fields:
            for name, kind, *_ in connection.execute(f"DESCRIBE {view}").fetchall():
                if kinds.get(name) == kind and name in fields:
                    texts = described.texts(fields[name])
                    found.setdefault(name, {key: texts[key] for key in META if texts.get(key)})
    return found


def _next(reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    with _one_line():
        try:
            return reader.read_next_batch()
        except StopIteration:
            return None


@contextlib.contextmanager
def _one_line() -> Iterator[None]:
    """Say what DuckDB says; what fails while rows come reaches us as an error of Arrow's."""
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise BadQuery(f"the query failed ({first_line(error)})") from error
