"""DuckDB over a run: views of the published catalog, and the canned queries of `catalogs/sql/`."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from catalogs import storage
from catalogs.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

PARAMETER = re.compile(r"^-- :(\w+)(?: = (.*?))?: (.*)$", re.MULTILINE)


class NoCatalog(BadRequest):
    """The run has published nothing yet."""


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
        """The SQL with `{name}` replaced: columns as quoted identifiers, everything else as typed.

        Raises
        ------
        BadQuery
            If a parameter is missing or unknown.
        """
        unknown = sorted(set(values) - set(self.parameters))
        if unknown:
            known = ", ".join(self.parameters) or "none"
            raise BadQuery(f"query {self.name!r} has no parameter {unknown[0]!r}; it has: {known}")
        sql = self.sql
        for name, (default, about) in self.parameters.items():
            value = values.get(name, default)
            if value is None:
                raise BadQuery(f"query {self.name!r} needs --set {name}=…: {about}")
            if name == "column":
                text = '"' + value.replace('"', '""') + '"'
            elif name == "id":
                text = "'" + value.replace("'", "''") + "'"
            elif re.fullmatch(r"[-+0-9eE.,\s\[\]]*", value):
                text = value
            else:
                raise BadQuery(f"query {self.name!r}: {name}={value!r} must be a number or a list of numbers")
            sql = sql.replace("{" + name + "}", text)
        return sql


def canned() -> dict[str, CannedQuery]:
    """The canned queries by name."""
    folder = resources.files("catalogs") / "sql"
    files = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return {f.name[:-4]: CannedQuery(f.name[:-4], f.read_text(encoding="utf-8")) for f in files}


def connect(run: str) -> duckdb.DuckDBPyConnection:
    """Open a run: `objects` is the whole catalog, `embeddings` its embeddings.

    Raises
    ------
    NoCatalog
        If nothing is published there yet.
    """
    connection = duckdb.connect(":memory:")
    if not storage.is_local(run):
        connection.register_filesystem(storage.filesystem(run)[0])
    for name, sql in view_definitions(run).items():
        connection.execute(f"CREATE VIEW {name} AS {sql}")
    return connection


def view_definitions(run: str) -> dict[str, str]:
    """SQL of each view of a run."""
    if not storage.exists(storage.join(run, "catalog")) and not storage.exists(_unplaced(run)):
        raise NoCatalog(f"{run}: there is no catalog yet. `tuningfork status {run}` says what is missing.")
    definitions = {}
    for view, folder in (("objects", "catalog"), ("embeddings", "embeddings")):
        base = storage.join(run, folder)
        if not storage.exists(base):
            continue
        pattern = "dataset/*/*/*.parquet" if storage.exists(storage.join(base, "dataset")) else "*.parquet"
        definitions[view] = (
            f"SELECT * FROM read_parquet({_quoted(storage.join(base, pattern))}, hive_partitioning = false)"
        )
    if storage.exists(_unplaced(run)):
        # Objects without a usable position have no place in a HATS catalog, but they are objects all the same.
        unplaced = f"SELECT * FROM read_parquet({_quoted(_unplaced(run))})"
        placed = definitions.get("objects")
        definitions["objects"] = f"{placed} UNION ALL BY NAME {unplaced}" if placed else unplaced
    return definitions


def write_database(run: str) -> None:
    """Write `catalog.duckdb`, which holds the views and nothing else, so that any DuckDB client opens the run."""
    where = str(storage.local_path(run).resolve()) if storage.is_local(run) else run
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.duckdb"
        with duckdb.connect(str(path)) as connection:
            if not storage.is_local(run):
                connection.register_filesystem(storage.filesystem(run)[0])
            for name, sql in view_definitions(where).items():
                connection.execute(f"CREATE VIEW {name} AS {sql}")
        storage.write(storage.join(run, "catalog.duckdb"), path.read_bytes())


def _unplaced(run: str) -> str:
    return storage.join(run, "unplaced.parquet")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
