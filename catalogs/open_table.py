"""Catalog files of every kind, told apart by their names, or by their first bytes where the name says nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from catalogs import parquet_table, tables

if TYPE_CHECKING:
    from catalogs.partitions import Partition
    from catalogs.shard_table import ShardTable

PARQUET = {".parquet", ".parq", ".pq"}


def open_any(url: str, hdu: int | str | None, version: str, partition: Partition = ()) -> ShardTable:
    """Read the header of a shard, whatever kind of file it is.

    Parameters
    ----------
    url : str
    hdu : int or str, optional
        Which table of a file that may have several.
    version : str
        The file's identity (`catalogs.identity`), found before.
    partition : Partition, optional
        Columns that the names of its folders hold.

    Raises
    ------
    NotATable
        If it is none, or damaged.
    OSError
    """
    if PurePosixPath(url).suffix.lower() in PARQUET:
        return replace(parquet_table.open_parquet(url, partition), identity=version)
    return replace(tables.open_table(url, hdu), identity=version)
