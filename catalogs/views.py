"""DuckDB over a run: views of the published catalog, and the canned queries of `catalogs/sql/`."""

from __future__ import annotations

import re
import shlex
import tempfile
from pathlib import Path

import duckdb

from catalogs import readers, storage
from catalogs.canned import BadQuery, CannedQuery, canned, literal
from catalogs.errors import BadRequest
from catalogs.headers import first_line

__all__ = [
    "BadQuery",
    "CannedQuery",
    "NoCatalog",
    "canned",
    "connect",
    "mend_database",
    "view_definitions",
    "write_database",
]

NAME = "catalog.duckdb"
HERE = "here"
"""Schema of the views whose paths are relative to the run directory."""

STORAGE_VERSION = "v1.0.0"
"""Of the database file: the oldest that carries views, so that every DuckDB since 1.0 opens it."""


class NoCatalog(BadRequest):
    """The run has published nothing yet."""


def connect(run: str) -> duckdb.DuckDBPyConnection:
    """Open a run: `objects` is the whole catalog, `embeddings` its embeddings.

    Raises
    ------
    NoCatalog
        If nothing is published there yet, or what is there cannot be read.
    """
    connection = duckdb.connect(":memory:")
    try:
        if not storage.is_local(run):
            connection.register_filesystem(storage.filesystem(run)[0])
        for name, sql in view_definitions(_whole(run)).items():
            connection.execute(f"CREATE VIEW {name} AS {sql}")
    except (duckdb.Error, OSError, ValueError, ImportError) as error:
        connection.close()
        if isinstance(error, BadRequest):
            raise
        raise NoCatalog(f"{run}: its catalog cannot be read ({first_line(error)})") from error
    return connection


def view_definitions(run: str) -> dict[str, str]:
    """SQL of each view of a run."""
    if not storage.exists(storage.join(run, "catalog")) and not storage.exists(_unplaced(run)):
        raise NoCatalog(
            f"{run}: there is no catalog yet. `tuningfork status {shlex.quote(run)}` says what is missing."
        )
    definitions = {}
    for view, folder in (("objects", "catalog"), ("embeddings", "embeddings")):
        base = storage.join(run, folder)
        if not storage.exists(base):
            continue
        pattern = "dataset/*/*/*.parquet" if storage.exists(storage.join(base, "dataset")) else "*.parquet"
        definitions[view] = f"SELECT * FROM {readers.parquet(base, pattern)}"
    if storage.exists(_unplaced(run)):
        # Objects without a usable position have no place in a HATS catalog, but they are objects all the same.
        unplaced = f"SELECT * FROM {readers.parquet_file(_unplaced(run))}"
        placed = definitions.get("objects")
        definitions["objects"] = f"{placed} UNION ALL BY NAME {unplaced}" if placed else unplaced
    return definitions


def write_database(run: str) -> None:
    """Write `catalog.duckdb`, which holds views and nothing else, so that any DuckDB client opens the run.

    Those of the run's absolute path work in a client started anywhere. Those in the schema `here` have relative paths: they work
    wherever the run is moved to, in a client that is started in it, or is told of it by `SET file_search_path`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        with duckdb.connect(":memory:") as connection:
            if not storage.is_local(run):
                connection.register_filesystem(storage.filesystem(run)[0])
            connection.execute(f"ATTACH {literal(str(path))} AS made (STORAGE_VERSION '{STORAGE_VERSION}')")
            for name, sql in view_definitions(_whole(run)).items():
                connection.execute(f"CREATE VIEW made.{name} AS {sql}")
            if storage.is_local(run):
                _write_relative(connection, _whole(run), Path(folder) / "run")
            connection.execute("DETACH made")
        storage.write(storage.join(run, NAME), path.read_bytes())


def _write_relative(connection: duckdb.DuckDBPyConnection, run: str, link: Path) -> None:
    """Add the views with relative paths, by a link to the run: of a search path, a comma would be the end."""
    link.symlink_to(run)
    connection.execute(f"SET file_search_path = {literal(str(link))}")
    connection.execute(f"CREATE SCHEMA made.{HERE}")
    for name, sql in view_definitions(str(link)).items():
        relative = sql.replace(literal(readers.path(str(link)))[1:-1] + "/", "")
        connection.execute(f"CREATE VIEW made.{HERE}.{name} AS {relative}")


def mend_database(run: str) -> str | None:
    """Write `catalog.duckdb` anew if it is for another folder, since the run was moved or copied; says which it was for.

    Raises
    ------
    CannotWrite
        If the run cannot be written to.
    """
    file = storage.join(run, NAME)
    before = _folder_of(file) if storage.exists(file) else None
    if before is None or before == _whole(run) or _is_same(before, run):
        return None
    write_database(run)
    return before


def _folder_of(file: str) -> str | None:
    """The run that a database of views is for; None where that cannot be found out."""
    with tempfile.TemporaryDirectory() as folder:
        # A copy, since DuckDB itself opens none on an object store or in a folder with a backslash.
        path = Path(folder) / NAME
        path.write_bytes(storage.read(file))
        try:
            with duckdb.connect(str(path), read_only=True) as connection:
                found = connection.execute(
                    "SELECT sql FROM duckdb_views() WHERE NOT internal AND schema_name = 'main' AND view_name = 'objects'"
                ).fetchone()
        except duckdb.Error:
            return None
    paths = re.findall(r"'((?:[^']|'')*)'", found[0]) if found else []
    path_of = re.compile(r"(.*)/(catalog(/dataset)?/[^']*|unplaced)\.parquet", re.DOTALL)
    named = next((match for text in paths if (match := path_of.fullmatch(text))), None)
    if named is None:
        return None
    return re.sub(r"\[([*?\[])\]", r"\1", named[1].replace("''", "'"))


def _is_same(folder: str, run: str) -> bool:
    """Whether two local folders are one by two names."""
    try:
        both = storage.is_local(folder) and storage.is_local(run)
        return both and storage.local_path(folder).samefile(storage.local_path(run))
    except OSError:
        return False


def _whole(run: str) -> str:
    """The run's absolute path: so that views do not depend on a client's working directory or home."""
    return str(storage.local_path(run).resolve()) if storage.is_local(run) else run


def _unplaced(run: str) -> str:
    return storage.join(run, "unplaced.parquet")
