"""The `where` expression: one SQL condition over a catalog's columns, run by DuckDB behind locked doors."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

from catalogs import allowed, expression, syntax
from catalogs.errors import TuningforkError
from catalogs.missing import nan_as_null

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from catalogs._types import Bools
    from catalogs.syntax import Node


LONGEST = 200_000
"""Characters of a condition, enough for a list of ids; what an expression takes of memory grows with its text."""
PATIENCE = 60.0
"""Seconds that a condition may take over the rows that it is given; a million take less than one."""
MEMORY = "1GB"
TABLE = "objects"
"""What a condition may call the table that it is about."""


class BadCondition(TuningforkError, ValueError):
    """The `where` expression is not a plain condition over the catalog's columns."""


def locked_database() -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that can reach neither files nor the network, and stays so."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": MEMORY,
        # A folder to spill to would be one that may be read and written.
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        # Names of tables must not find Python's variables.
        "python_enable_replacements": False,
    }
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def columns_of(condition: str) -> list[str]:
    """Names of the columns that the condition reads, spelled as it spells them.

    Raises
    ------
    BadCondition
        If it is not SQL, is more than one expression, or holds anything but columns, constants and `catalogs.allowed.FUNCTIONS`:
        a subquery, a window, a *, a function whose answer changes (random, the time) or is of any length (repeat).
    """
    return list(_parsed(condition)[1])


def resolved(name: str, names: Sequence[str]) -> str | None:
    """The column that a name means: the one that is called so, else the only one but for upper and lower case; None if there is none.

    Raises
    ------
    BadCondition
        If none is called so, and several are but for upper and lower case.
    """
    if name in names:
        return name
    alike = [other for other in names if other.lower() == name.lower()]
    if len(alike) > 1:
        raise BadCondition(f"{name!r} may be {' or '.join(map(repr, alike))}: write one of them")
    return alike[0] if alike else None


def existing(name: str, names: Sequence[str]) -> str:
    """As `resolved`, where there must be such a column.

    Raises
    ------
    BadCondition
        If there is none too.
    """
    found = resolved(name, names)
    if found is None:
        raise BadCondition(f"there is no column {name!r}")
    return found


def check(condition: str, columns: pa.Schema) -> None:
    """Try the condition on the catalog's columns, before any row of them is read.

    Raises
    ------
    BadCondition
        If it names a column that is not there or that may be one of several, aggregates over rows, does not fit the
        columns' types or is not true or false.
    """
    kind = kind_of(condition, columns)
    if kind not in {"BOOLEAN", "BOOL"}:
        raise BadCondition(f"must be true or false, but gives {kind}")


def kind_of(condition: str, columns: pa.Schema) -> str:
    """DuckDB's type of what an expression gives for rows of such columns.

    Raises
    ------
    BadCondition
        As `check`, whatever the type is.
    """
    with locked_database() as connection:
        # Two rows of nulls: enough for a constant of the wrong type to fail, and for an aggregate to show.
        rows = pa.table([pa.nulls(2, field.type) for field in columns], names=columns.names)
        query = registered(connection, condition, rows)
        with limited(connection):
            answer = connection.execute(query)
            kind = str(answer.description[0][1]) if answer.description else ""
            count = len(answer.fetchall())
        if count != rows.num_rows:
            msg = "aggregates are not allowed: every row is judged by itself"
            raise BadCondition(msg)
        return kind.upper()


def selected(condition: str, rows: pa.Table) -> Bools:
    """Which rows the condition holds for, (n,) bool; null counts as false, and NaN as null.

    Names of columns are case-sensitive, unlike in DuckDB: see `resolved`.
    """
    with locked_database() as connection:
        query = registered(connection, condition, rows)
        with limited(connection):
            answer = connection.execute(query).fetchnumpy()["selected"]
    return np.ma.filled(np.ma.asarray(answer), fill_value=False).astype(bool)


def in_sql(
    connection: duckdb.DuckDBPyConnection, condition: str, columns: Mapping[str, str], table: str
) -> str:
    """The condition as SQL over a table of a connection that is to hold it, with NaN as null.

    Parameters
    ----------
    connection : DuckDB connection
        It learns the functions that the SQL calls.
    condition : str
    columns : mapping
        Each name that the condition may use, and what the table calls that column; its NaN must be null already.
    table : str
        A table or view of the connection.

    Raises
    ------
    BadCondition
        As `columns_of` and `check`.
    """
    with limited(connection):
        tree = _renamed(condition, columns)
        return expression.without_nan(connection, tree, table)


def registered(connection: duckdb.DuckDBPyConnection, condition: str, rows: pa.Table) -> str:
    """Register the columns of the condition under internal names, and return the query over them.

    To DuckDB names that differ in case only are one, and the second of two such columns is called `ra_1`.
    """
    names = {name: existing(name, rows.column_names) for name in columns_of(condition)}
    ours = {name: f"c{number}" for number, name in enumerate(names)}
    columns = {ours[name]: _nan_as_null(rows[column]) for name, column in names.items()}
    # Without a column of its own a table that the condition reads nothing of would have no rows.
    connection.register(TABLE, pa.table({**columns, "nothing": pa.nulls(rows.num_rows, pa.int8())}))
    kinds = tuple((name, ours[name], columns[ours[name]].type) for name in names)
    with limited(connection):
        expression.learn(connection)
        return f"SELECT {_typed(condition, kinds)} AS selected FROM {TABLE}"


def _nan_as_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([nan_as_null(chunk) for chunk in column.chunks], column.type)


@lru_cache(maxsize=64)
def _typed(condition: str, kinds: tuple[tuple[str, str, pa.DataType], ...]) -> str:
    """The condition over columns of these types, as SQL: the same for every slice of a release."""
    with locked_database() as connection:
        empty = pa.table({ours: pa.nulls(0, kind) for _, ours, kind in kinds} | {"nothing": pa.nulls(0)})
        connection.register(TABLE, empty)
        return in_sql(connection, condition, {name: ours for name, ours, _ in kinds}, TABLE)


def _renamed(condition: str, columns: Mapping[str, str]) -> Node:
    """The condition's tree with the columns called otherwise."""

    def rename(node: Node) -> Node:
        if node["class"] != "COLUMN_REF":
            return node
        return {**node, "column_names": [columns[str(node["column_names"][-1])]]}

    return dict(syntax.changed(_parsed(condition)[0], rename))


@lru_cache(maxsize=64)
def _parsed(condition: str) -> tuple[Node, tuple[str, ...]]:
    """The condition's tree, to be left as it is, and the names of its columns."""
    if not condition.strip():
        msg = "is empty: leave the key out, or write one"
        raise BadCondition(msg)
    if len(condition) > LONGEST:
        raise BadCondition(f"has {len(condition):,} characters: at most {LONGEST:,} are read")
    if "\0" in condition:
        msg = "holds a character of code 0"
        raise BadCondition(msg)
    try:
        with locked_database() as connection, limited(connection):
            tree = syntax.tree_of(connection, _query(condition))
        if tree.get("error"):
            raise BadCondition(f"is not one SQL condition: {_line(str(tree.get('error_message')))}")
        names = _names(tree)
    except RecursionError as error:
        msg = "is nested too deeply"
        raise BadCondition(msg) from error
    return tree, names


def _names(tree: Node) -> tuple[str, ...]:
    statements = tree["statements"]
    node = statements[0]["node"]
    plain = (
        len(statements) == 1
        and node["type"] == "SELECT_NODE"
        and len(node["select_list"]) == 1
        and node["from_table"].get("type") == "BASE_TABLE"
        and node.get("where_clause") is None
    )
    if not plain:
        msg = "must be one condition, nothing around it"
        raise BadCondition(msg)
    parts = list(syntax.walk(node["select_list"][0]))
    problem = allowed.stranger(parts)
    if problem is not None:
        raise BadCondition(problem)
    names = set()
    for part in parts:
        if part.get("class") == "COLUMN_REF":
            *before, name = map(str, part["column_names"])
            if before not in ([], [TABLE]):
                raise BadCondition(
                    f"{'.'.join([*before, name])}: write the column's name alone, in double quotes"
                )
            names.add(name)
    return tuple(sorted(names))


def _query(condition: str) -> str:
    # Line breaks keep a trailing `-- comment` from swallowing the closing bracket.
    return f"SELECT (\n{condition}\n) AS selected FROM {TABLE}"


def _line(text: str) -> str:
    return text.strip().split("\n", 1)[0]


@contextmanager
def limited(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Give up on what takes too long; whatever goes wrong is the condition's fault."""
    timer = threading.Timer(PATIENCE, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        raise BadCondition(f"takes more than {PATIENCE:g} s over the rows of one slice") from error
    except expression.NothingEqualsNan as error:
        raise BadCondition(str(error)) from error
    except RecursionError as error:
        msg = "is nested too deeply"
        raise BadCondition(msg) from error
    except duckdb.Error as error:
        raise BadCondition(_line(str(error))) from error
    finally:
        timer.cancel()
