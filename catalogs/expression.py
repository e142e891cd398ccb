"""An expression in which NaN does not exist: what is no number is null, as a missing value is in every other column.

DuckDB holds NaN for larger than every number and equal to itself, so that `SNR > 5` would be true of what was never measured. FITS
floats have no other null than NaN, so it becomes null wherever it can arise: no comparison with it is true, and `IS NULL` finds it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from catalogs import syntax
from catalogs.missing import FLOATS, nan_as_null

if TYPE_CHECKING:
    from catalogs.syntax import Node

TESTS = {
    "isnan": "coalesce(isnan(x), true)",
    "isfinite": "coalesce(isfinite(x), false)",
    "isinf": "coalesce(isinf(x), false)",
}
"""Functions that say what NaN is, and what stands for them where NaN is null: true or false of every value, as ever."""
NAN = {"nan", "+nan", "-nan"}


class NothingEqualsNan(ValueError):
    """The expression compares with a constant that is NaN."""


def learn(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a connection the functions that `without_nan` calls; one that knows them keeps them.

    They are ours because DuckDB has none of one argument: `nullif` and CASE hold theirs twice, and its double by every level of nesting.
    """
    for kind in sorted(FLOATS):
        with contextlib.suppress(duckdb.NotImplementedException, duckdb.CatalogException):
            connection.create_function(  # type: ignore[call-overload]
                _known(kind), _nan_as_null, [kind], kind, type="arrow", null_handling="special"
            )


def without_nan(connection: duckdb.DuckDBPyConnection, tree: Node, table: str) -> str:
    """The one expression that a SELECT's tree holds, as SQL that gives and compares null for NaN.

    Parameters
    ----------
    connection : DuckDB connection
        It learns the functions that the SQL calls.
    tree : dict
        `SELECT expression AS selected FROM …` as DuckDB parsed it.
    table : str
        Table or view of the connection that has the columns, in which NaN is null already.

    Raises
    ------
    NothingEqualsNan
        If it compares a number with a constant that is NaN: it would never hold.
    duckdb.Error
        If the expression does not fit the table.
    """
    learn(connection)
    # The whole expression is described first, so that an error message covers all of it.
    (whole,) = tree["statements"][0]["node"]["select_list"]
    _refuse_nan(connection, tree, whole, table)
    parts: list[Node] = []

    def note(node: Node) -> Node:
        parts.extend([node] if _may_be_nan(node) else [])
        return node

    syntax.changed(whole, note)
    kinds = _kinds(connection, tree, [whole, *parts], table)[1:]
    called = {name: syntax.tree_of(connection, f"SELECT {sql}") for name, sql in TESTS.items()}
    called |= {kind: syntax.tree_of(connection, f"SELECT {_known(kind)}(x)") for kind in FLOATS}
    each_kind = iter(kinds)

    def change(node: Node) -> Node:
        if not _may_be_nan(node):
            return node
        kind = next(each_kind)
        name = str(node.get("function_name", "")).lower()
        if name in TESTS:
            return syntax.around(called[name], syntax.arguments(node)[0])
        return syntax.around(called[kind], node) if kind in FLOATS else node

    made = syntax.changed(whole, change)
    return _expression(connection, syntax.select_of(tree, [{**made, "alias": ""}]))


def _refuse_nan(connection: duckdb.DuckDBPyConnection, tree: Node, whole: Node, table: str) -> None:
    """DuckDB's own way to find NaN is `x = 'nan'`, which would now be true of nothing."""
    beside: list[Node] = []
    for node in syntax.walk(whole):
        if node.get("class") in ("COMPARISON", "BETWEEN", "OPERATOR"):
            sides = [side for side in _sides(node) if not _is_nan(side)]
            beside += sides if len(sides) < len(_sides(node)) else []
    if FLOATS & set(_kinds(connection, tree, [whole, *beside], table)[1:]):
        raise NothingEqualsNan("compares with 'nan', which nothing is equal to: write isnan(…)")


def _sides(node: Node) -> list[Node]:
    named = [node[side] for side in ("left", "right", "input", "lower", "upper") if side in node]
    return named or list(node.get("children", []))


def _is_nan(node: Node) -> bool:
    if node["class"] == "CAST":
        return _is_nan(node["child"])
    # DuckDB 1 keeps a constant's value, DuckDB 2 its text.
    constant: dict[str, Any] = node.get("literal") or node.get("value") or {}
    text = constant.get("text", constant.get("value"))
    return node["class"] == "CONSTANT" and isinstance(text, str) and text.strip().lower() in NAN


def _kinds(connection: duckdb.DuckDBPyConnection, tree: Node, parts: list[Node], table: str) -> list[str]:
    """DuckDB's types of some parts of the expression."""
    columns = ", ".join(
        f"{_expression(connection, syntax.select_of(tree, [{**part, 'alias': ''}]))} AS part_{number}"
        for number, part in enumerate(parts)
    )
    described = connection.execute(f"DESCRIBE SELECT {columns} FROM {table}").fetchall()
    return [str(kind) for _, kind, *_ in described]


def _may_be_nan(node: Node) -> bool:
    """Columns and constants are not NaN, and all else gives what it is given."""
    return node["class"] in ("FUNCTION", "CAST")


def _expression(connection: duckdb.DuckDBPyConnection, tree: Node) -> str:
    node = tree["statements"][0]["node"]
    sql = syntax.sql_of(connection, tree)
    return sql.removeprefix("SELECT ").removesuffix(f" FROM {node['from_table']['table_name']}")


def _known(kind: str) -> str:
    return f"tuningfork_known_{kind.lower()}"


def _nan_as_null(values: pa.ChunkedArray | pa.Array) -> pa.Array:
    chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
    return pa.concat_arrays([nan_as_null(chunk) for chunk in chunks]) if chunks else values
