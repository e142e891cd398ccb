"""SQL that comes with the package, one file a question, its parameters in its head."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

from catalogs.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

PARAMETER = re.compile(r"^-- :(\w+)(?: = (.*?))?: (.*)$", re.MULTILINE)
CLASSES = frozenset({"order", "early", "late", "irregular"})
"""Parameters that are lists of class names."""
LISTS = CLASSES | {"ids"}
"""Parameters that are lists of texts."""
NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,2})?")
OF_NUMBERS = frozenset({"purity"})
"""Queries whose column must hold numbers."""
NUMBERS = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*")
LONGEST = 40
"""Characters of a number."""


class BadQuery(BadRequest):
    """A canned query that does not exist, or that lacks a parameter."""


@dataclass(frozen=True)
class CannedQuery:
    """One file of `catalogs/sql/`."""

    name: str
    sql: str

    @property
    def about(self) -> str:
        """What it answers: the file's first line."""
        return self.sql.splitlines()[0].removeprefix("-- ")

    @property
    def parameters(self) -> dict[str, tuple[str | None, str]]:
        """Name of each parameter, with its default and its description."""
        return {m[1]: (m[2], m[3]) for m in PARAMETER.finditer(self.sql)}

    @property
    def is_of_predictor(self) -> bool:
        """Whether a predictor's file must say part of the SQL."""
        return "{outside}" in self.sql

    @property
    def is_of_models(self) -> bool:
        """Whether what a run has fitted must say part of the SQL."""
        return "{mean}" in self.sql

    def filled(self, values: Mapping[str, str], given: Mapping[str, str] = MappingProxyType({})) -> str:
        """The SQL with `{name}` replaced: columns as quoted identifiers, names as quoted text, all else must be a number or a list of them.

        Parameters
        ----------
        values : mapping
            Parameters, as people typed them.
        given : mapping
            SQL of what else stands in braces.

        Raises
        ------
        BadQuery
            If a parameter is missing or unknown.
        """
        unknown = sorted(set(values) - set(self.parameters))
        if unknown:
            known = ", ".join(self.parameters) or "none"
            raise BadQuery(f"query {self.name!r} has no parameter {unknown[0]!r}; it has: {known}")
        if self.is_of_predictor and not given:
            raise BadQuery(f"query {self.name!r} needs a run with a predictor that answers the question")
        if self.is_of_models and "mean" not in given:
            raise BadQuery(f"query {self.name!r} needs a run that knows its mean embedding")
        typed = dict(given)
        for name, (default, about) in self.parameters.items():
            value = values.get(name, default)
            if value is None:
                raise BadQuery(f"query {self.name!r} needs --set {name}=…: {about}")
            typed[name] = self._typed(name, value)
        return re.sub(r"\{(\w+)\}", lambda m: typed.get(m[1], m[0]), self.sql)

    def _typed(self, name: str, value: str) -> str:
        if name == "column":
            return identifier(value)
        if name in ("id", "question"):
            return literal(value)
        if name in LISTS:
            return ", ".join(literal(part.strip()) for part in value.split(","))
        if name == "count":
            if re.fullmatch(r"\s*[0-9]{1,9}\s*", value) and int(value):
                return value.strip()
            raise BadQuery(f"query {self.name!r}: {name}={value!r} must be a whole number, 1 or more")
        is_list = "," in (self.parameters[name][0] or "")
        # A list may be typed as TOML and SQL write it too.
        bare = value.strip()[1:-1] if is_list and re.fullmatch(r"\s*\[.*\]\s*", value) else value
        numbers = [part.strip() for part in bare.split(",")] if is_list else [bare.strip()]
        if all(len(number) <= LONGEST and NUMBER.fullmatch(number) for number in numbers):
            return ", ".join(numbers)
        wanted = "numbers with commas between them" if is_list else "a number"
        raise BadQuery(f"query {self.name!r}: {name}={value!r} must be {wanted}")


@cache
def texts(*folders: str) -> Mapping[str, str]:
    """SQL files of `catalogs/sql/` or a folder in it, by their names without `.sql`."""
    folder = resources.files("catalogs").joinpath("sql", *folders)
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return {f.name[:-4]: f.read_text(encoding="utf-8") for f in files}


def canned() -> dict[str, CannedQuery]:
    """The canned queries by name."""
    return {name: CannedQuery(name, sql) for name, sql in texts().items()}


def refuse_what_is_not_there(
    connection: duckdb.DuckDBPyConnection, query: CannedQuery, values: Mapping[str, str]
) -> None:
    """Columns and objects that parameters name must be in the catalog: an answer without rows would say nothing of why.

    Raises
    ------
    BadQuery
        If one is not, or a column that must hold numbers holds something else.
    """
    if "column" in values:
        _refuse_column(connection, query, values["column"])
    for name in [values["id"]] if "id" in values else _ids(values):
        _refuse_object(connection, query, name)
    if "embeddings" in query.sql:
        _refuse_without_embeddings(connection, query)


def _refuse_column(connection: duckdb.DuckDBPyConnection, query: CannedQuery, name: str) -> None:
    described = connection.execute("DESCRIBE objects").fetchall()
    kinds = {str(column).lower(): (str(column), str(kind)) for column, kind, *_ in described}
    if name.lower() not in kinds:
        near = difflib.get_close_matches(name.lower(), kinds, 1)
        meant = f" Did you mean {kinds[near[0]][0]!r}?" if near else ""
        there = ", ".join(column for column, _ in kinds.values())
        raise BadQuery(f"query {query.name!r}: the catalog has no column {name!r}.{meant} There are: {there}")
    kind = kinds[name.lower()][1]
    if query.name in OF_NUMBERS and not NUMBERS.fullmatch(kind):
        raise BadQuery(f"query {query.name!r}: column {name!r} holds {kind}, not numbers. Name another")


def _ids(values: Mapping[str, str]) -> list[str]:
    return [each.strip() for each in values["ids"].split(",")] if "ids" in values else []


def _refuse_without_embeddings(connection: duckdb.DuckDBPyConnection, query: CannedQuery) -> None:
    if not connection.execute("SELECT 1 FROM duckdb_views() WHERE view_name = 'embeddings'").fetchall():
        raise BadQuery(f"query {query.name!r}: the run has published no embeddings ([publish] embeddings)")


def _refuse_object(connection: duckdb.DuckDBPyConnection, query: CannedQuery, name: str) -> None:
    _refuse_without_embeddings(connection, query)

    def has_row(view: str, condition: str) -> bool:
        sql = f"SELECT 1 FROM {view} WHERE object_id::VARCHAR = {literal(name)} AND {condition} LIMIT 1"
        return bool(connection.execute(sql).fetchall())

    if has_row("embeddings", "embedding IS NOT NULL"):
        return
    problem = "has no embedding: its flags say why" if has_row("objects", "true") else "is not in the catalog"
    raise BadQuery(f"query {query.name!r}: object id={name!r} {problem}. Give the object_id of another")


def identifier(name: str) -> str:
    """A name of a column or view, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text, quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"
