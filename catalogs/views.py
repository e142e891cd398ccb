"""DuckDB over a run: views of the published catalog, and the canned queries of `catalogs/sql/`."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path

import duckdb

from catalogs import readers, storage
from catalogs.canned import BadQuery, CannedQuery, canned, literal
from catalogs.errors import BadRequest
from catalogs.headers import first_line

__all__ = ["BadQuery", "CannedQuery", "NoCatalog", "canned", "connect", "view_definitions", "write_database"]


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
    """Write `catalog.duckdb`, which holds the views and nothing else, so that any DuckDB client opens the run."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalog.duckdb"
        with duckdb.connect(":memory:") as connection:
            if not storage.is_local(run):
                connection.register_filesystem(storage.filesystem(run)[0])
            connection.execute(f"ATTACH {literal(str(path))} AS made (STORAGE_VERSION '{STORAGE_VERSION}')")
            for name, sql in view_definitions(_whole(run)).items():
                connection.execute(f"CREATE VIEW made.{name} AS {sql}")
            connection.execute("DETACH made")
        storage.write(storage.join(run, "catalog.duckdb"), path.read_bytes())


def _whole(run: str) -> str:
    """The run's absolute path: so that views do not depend on a client's working directory or home."""
    return str(storage.local_path(run).resolve()) if storage.is_local(run) else run


def _unplaced(run: str) -> str:
    return storage.join(run, "unplaced.parquet")
