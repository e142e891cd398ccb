"""DuckDB over a run: views of the published catalog, and the canned queries of `catalogs/sql/`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb

from catalogs import storage
from catalogs.canned import BadQuery, CannedQuery, canned, literal
from catalogs.errors import BadRequest

__all__ = ["BadQuery", "CannedQuery", "NoCatalog", "canned", "connect", "view_definitions", "write_database"]


class NoCatalog(BadRequest):
    """The run has published nothing yet."""


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
            f"SELECT * FROM read_parquet({literal(storage.join(base, pattern))}, hive_partitioning = false)"
        )
    if storage.exists(_unplaced(run)):
        # Objects without a usable position have no place in a HATS catalog, but they are objects all the same.
        unplaced = f"SELECT * FROM read_parquet({literal(_unplaced(run))})"
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
