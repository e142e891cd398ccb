"""SQL that comes with the package, one file a question, its parameters in its head."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from catalogs.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETER = re.compile(r"^-- :(\w+)(?: = (.*?))?: (.*)$", re.MULTILINE)
CLASSES = frozenset({"order", "early", "late", "irregular"})
"""Parameters that are lists of class names."""


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

    def filled(self, values: Mapping[str, str]) -> str:
        """The SQL with `{name}` replaced: columns as quoted identifiers, names as quoted text, all else must be numbers.

        Raises
        ------
        BadQuery
            If a parameter is missing or unknown.
        """
        unknown = sorted(set(values) - set(self.parameters))
        if unknown:
            known = ", ".join(self.parameters) or "none"
            raise BadQuery(f"query {self.name!r} has no parameter {unknown[0]!r}; it has: {known}")
        typed = {}
        for name, (default, about) in self.parameters.items():
            value = values.get(name, default)
            if value is None:
                raise BadQuery(f"query {self.name!r} needs --set {name}=…: {about}")
            typed[name] = self._typed(name, value)
        return re.sub(r"\{(\w+)\}", lambda m: typed.get(m[1], m[0]), self.sql)

    def _typed(self, name: str, value: str) -> str:
        if name == "column":
            return identifier(value)
        if name == "id":
            return literal(value)
        if name in CLASSES:
            return ", ".join(literal(part.strip()) for part in value.split(","))
        if re.fullmatch(r"[-+0-9eE.,\s\[\]]*", value):
            return value
        raise BadQuery(f"query {self.name!r}: {name}={value!r} must be a number or a list of numbers")


@cache
def texts(*folders: str) -> Mapping[str, str]:
    """SQL files of `catalogs/sql/` or a folder in it, by their names without `.sql`."""
    folder = resources.files("catalogs").joinpath("sql", *folders)
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return {f.name[:-4]: f.read_text(encoding="utf-8") for f in files}


def canned() -> dict[str, CannedQuery]:
    """The canned queries by name."""
    return {name: CannedQuery(name, sql) for name, sql in texts().items()}


def identifier(name: str) -> str:
    """A name of a column or view, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text, quoted for SQL."""
    return "'" + text.replace("'", "''") + "'"
