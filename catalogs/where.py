"""The `where` expression: one SQL condition over a catalog's columns, run by DuckDB behind locked doors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from catalogs.errors import TuningforkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalogs._types import Bools


class BadCondition(TuningforkError, ValueError):
    """The `where` expression is not a plain condition over the catalog's columns."""


def locked_database() -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that can reach neither files nor the network, and stays so."""
    connection = duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": False})
    connection.execute("SET lock_configuration = true")
    return connection


def columns_of(condition: str) -> list[str]:
    """Names of the columns that the condition reads.

    Raises
    ------
    BadCondition
        If it is not SQL, is more than one expression, or holds a subquery, a window, a * or a function whose
        answer changes (random, the time).
    """
    if not condition.strip():
        msg = "is empty: leave the key out to select every row"
        raise BadCondition(msg)
    with locked_database() as connection:
        (answer,) = connection.execute("SELECT json_serialize_sql(?)", [_query(condition)]).fetchone() or (
            "",
        )
        tree = json.loads(answer)
        if tree.get("error"):
            raise BadCondition(f"is not one SQL condition: {tree.get('error_message')}")
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
        parts = list(_walk(node["select_list"][0]))
        for forbidden in ("SUBQUERY", "WINDOW"):
            if any(part.get("class") == forbidden for part in parts):
                raise BadCondition(f"a {forbidden.lower()} is not allowed: every row is judged by itself")
        if any(part.get("class") == "STAR" for part in parts):
            msg = "a * is not allowed: name the columns"
            raise BadCondition(msg)
        _refuse_volatile(connection, {p["function_name"] for p in parts if p.get("class") == "FUNCTION"})
    references = (p["column_names"] for p in parts if p.get("class") == "COLUMN_REF")
    return sorted({str(names[-1]) for names in references})


def check(condition: str, columns: pa.Schema) -> None:
    """Try the condition on the catalog's columns, before any row of them is read.

    Raises
    ------
    BadCondition
        If it aggregates over rows, does not fit the columns' types or is not true or false.
    """
    with locked_database() as connection:
        # Two rows of nulls: enough for a constant of the wrong type to fail, and for an aggregate to show.
        rows = pa.table({field.name: pa.nulls(2, field.type) for field in columns})
        connection.register("objects", rows)
        try:
            answer = connection.execute(_query(condition))
            kind = str(answer.description[0][1]) if answer.description else ""
            count = len(answer.fetchall())
        except duckdb.Error as error:
            raise BadCondition(str(error).splitlines()[0]) from error
        if count != rows.num_rows:
            msg = "aggregates are not allowed: every row is judged by itself"
            raise BadCondition(msg)
        if kind.upper() not in {"BOOLEAN", "BOOL"}:
            raise BadCondition(f"must be true or false, but gives {kind}")


def selected(condition: str, rows: pa.Table) -> Bools:
    """Which rows the condition holds for, (n,) bool; null counts as false."""
    with locked_database() as connection:
        connection.register("objects", rows)
        try:
            answer = connection.execute(_query(condition)).fetchnumpy()["selected"]
        except duckdb.Error as error:
            raise BadCondition(str(error).splitlines()[0]) from error
    return np.ma.filled(np.ma.asarray(answer), fill_value=False).astype(bool)


def _query(condition: str) -> str:
    # Line breaks keep a trailing `-- comment` from swallowing the closing bracket.
    return f"SELECT (\n{condition}\n) AS selected FROM objects"


def _walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from _walk(child)
    elif isinstance(node, list):
        for child in node:
            yield from _walk(child)


def _refuse_volatile(connection: duckdb.DuckDBPyConnection, functions: set[str]) -> None:
    found = connection.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() "
        "WHERE stability IN ('VOLATILE', 'CONSISTENT_WITHIN_QUERY') AND function_name IN (SELECT unnest(?))",
        [sorted(functions)],
    ).fetchall()
    if found:
        raise BadCondition(f"{found[0][0]}() does not give the same answer every time")
