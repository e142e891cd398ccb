"""DuckDB's own syntax tree of a statement, as JSON: taken apart, changed, and written as SQL again."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb

Node = dict[str, Any]


def tree_of(connection: duckdb.DuckDBPyConnection, sql: str) -> Node:
    """The statement's tree; where it is no SQL, `error` in it is true and `error_message` says why."""
    # Rows are fetched to the end: DuckDB 2 lets nothing else be done on the connection before.
    ((answer,),) = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
    return dict(json.loads(answer))


def sql_of(connection: duckdb.DuckDBPyConnection, tree: Node) -> str:
    """The statement of a tree."""
    ((answer,),) = connection.execute("SELECT json_deserialize_sql(?)", [json.dumps(tree)]).fetchall()
    return str(answer)


def select_of(tree: Node, expressions: list[Node]) -> Node:
    """The same SELECT of other expressions."""
    made = copy.deepcopy(tree)
    made["statements"][0]["node"]["select_list"] = expressions
    return made


def walk(node: Any) -> Iterator[Node]:
    """Every node below one, itself first."""
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from walk(child)
    elif isinstance(node, list):
        for child in node:
            yield from walk(child)


def changed(node: Any, change: Callable[[Node], Node]) -> Any:
    """A copy in which every expression, the innermost first, is what `change` makes of it."""
    if isinstance(node, dict):
        made = {key: changed(child, change) for key, child in node.items()}
        return change(made) if "class" in made else made
    if isinstance(node, list):
        return [changed(child, change) for child in node]
    return node


def arguments(call: Node) -> list[Node]:
    """Arguments of a function's call: DuckDB 2 wraps each in a node of its own."""
    found: list[Node] = call["arguments"] if "arguments" in call else call["children"]
    return [argument.get("expression", argument) for argument in found]


def around(template: Node, inner: Node) -> Node:
    """The expression of `SELECT f(x)` with another one for `x`; the tree's form is thus the version's own."""

    def put(node: Node) -> Node:
        return inner if node["class"] == "COLUMN_REF" and node["column_names"] == ["x"] else node

    # What is put in is not looked at again, whatever columns it names.
    return dict(changed(template["statements"][0]["node"]["select_list"][0], put))
