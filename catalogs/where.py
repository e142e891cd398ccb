"""The `where` expression: one SQL condition over a catalog's columns, run by DuckDB behind locked doors."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa

from catalogs.errors import TuningforkError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalogs._types import Bools


LONGEST = 200_000
"""Characters of a condition, enough for a list of ids; what an expression takes of memory grows with its text."""
PATIENCE = 60.0
"""Seconds that a condition may take over the rows that it is given; a million take less than one."""
MEMORY = "1GB"

EXPRESSIONS = {
    *("COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "BETWEEN", "OPERATOR", "CASE", "FUNCTION"),
    *("CAST", "TYPE"),
}
"""What a condition is made of: no subqueries, windows, stars, lambdas or parameters."""
TYPES = {
    *("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT"),
    *("UINTEGER", "UBIGINT", "FLOAT", "REAL", "DOUBLE", "DECIMAL", "VARCHAR", "TEXT", "STRING", "DATE"),
    *("TIME", "TIMESTAMP"),
}
"""What it may cast to: an array of arrays takes terabytes in a few characters."""
FUNCTIONS = {
    *("+", "-", "*", "/", "//", "%", "**", "^", "&", "|", "~", "<<", ">>", "xor", "add", "subtract"),
    *("multiply", "divide", "mod", "abs", "sign", "signbit", "ceil", "ceiling", "floor", "round"),
    *("trunc", "even", "sqrt", "cbrt", "exp", "ln", "log", "log2", "log10", "pow", "power", "greatest"),
    *("least", "isnan", "isinf", "isfinite", "pi", "degrees", "radians", "sin", "cos", "tan", "cot"),
    *("asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "bit_count"),
    *("gamma", "lgamma", "nextafter", "hash", "||", "concat", "concat_ws", "length", "len", "strlen"),
    *("lower", "lcase", "upper", "ucase", "trim", "ltrim", "rtrim", "left", "right", "substr"),
    *("substring", "reverse", "ascii", "unicode", "md5", "sha256", "contains", "prefix", "suffix"),
    *("starts_with", "ends_with", "^@", "instr", "position", "strpos", "split_part", "~~", "!~~"),
    *("~~*", "!~~*", "~~~", "like_escape", "not_like_escape", "ilike_escape", "not_ilike_escape"),
    *("regexp_matches", "regexp_full_match", "regexp_extract", "nullif", "ifnull", "list_value"),
    *("list_extract", "list_element", "array_extract", "list_contains", "array_contains", "year"),
    *("month", "day", "hour", "minute", "second", "date_part", "datepart", "date_diff", "datediff"),
    *("date_trunc", "make_date", "strptime", "try_strptime", "epoch", "julian"),
}
"""What it may call: functions of one row whose answer is always the same, and not much longer than what they are given."""


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
    """Names of the columns that the condition reads.

    Raises
    ------
    BadCondition
        If it is not SQL, is more than one expression, or holds anything but columns, constants and `FUNCTIONS`:
        a subquery, a window, a *, a function whose answer changes (random, the time) or is of any length (repeat).
    """
    if not condition.strip():
        msg = "is empty: leave the key out to select every row"
        raise BadCondition(msg)
    if len(condition) > LONGEST:
        raise BadCondition(f"has {len(condition):,} characters: at most {LONGEST:,} are read")
    with locked_database() as connection:
        (answer,) = connection.execute("SELECT json_serialize_sql(?)", [_query(condition)]).fetchone() or (
            "",
        )
    try:
        tree = json.loads(answer)
    except RecursionError as error:
        msg = "is nested too deeply"
        raise BadCondition(msg) from error
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
    _refuse_strangers(parts)
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
        with _limited(connection):
            answer = connection.execute(_query(condition))
            kind = str(answer.description[0][1]) if answer.description else ""
            count = len(answer.fetchall())
        if count != rows.num_rows:
            msg = "aggregates are not allowed: every row is judged by itself"
            raise BadCondition(msg)
        if kind.upper() not in {"BOOLEAN", "BOOL"}:
            raise BadCondition(f"must be true or false, but gives {kind}")


def selected(condition: str, rows: pa.Table) -> Bools:
    """Which rows the condition holds for, (n,) bool; null counts as false."""
    with locked_database() as connection:
        connection.register("objects", rows)
        with _limited(connection):
            answer = connection.execute(_query(condition)).fetchnumpy()["selected"]
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


def _refuse_strangers(parts: list[dict[str, Any]]) -> None:
    """What is not known to be harmless is refused: DuckDB gains functions with every release."""
    for part in parts:
        kind = part.get("class", "COLUMN_REF")
        if kind not in EXPRESSIONS:
            told = "*" if kind == "STAR" else kind.lower()
            raise BadCondition(f"a {told} is not allowed: every row is judged by its own columns")
        if kind == "FUNCTION" and part["function_name"].lower() not in FUNCTIONS:
            raise BadCondition(
                f"{part['function_name']}() is not among the functions that a condition may use"
            )
        # DuckDB 1 keeps a cast's type in the cast, DuckDB 2 beside it.
        named = part.get("type_name") if kind == "TYPE" else part.get("cast_type", {}).get("id")
        if named is not None and named.upper() not in TYPES:
            raise BadCondition(f"{named} is not among the types that a condition may cast to")


@contextmanager
def _limited(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Give up on what takes too long; whatever goes wrong is the condition's fault."""
    timer = threading.Timer(PATIENCE, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        raise BadCondition(f"takes more than {PATIENCE:g} s over the rows of one slice") from error
    except duckdb.Error as error:
        raise BadCondition(str(error).splitlines()[0]) from error
    finally:
        timer.cancel()
