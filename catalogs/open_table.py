"""Catalog files of every kind, told apart by their names, or by their first bytes where the name says nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from catalogs import csv_table, parquet_table, storage, tables, votable_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs.partitions import Partition
    from catalogs.shard_table import ShardTable

PARQUET = {".parquet", ".parq", ".pq"}
TEXTS = {".csv", ".ecsv", ".tsv"}
VOTABLES = {".vot", ".votable", ".xml"}
FITS = {".fits", ".fit", ".fts", ".fz", ".ldac", ".cat"}
PACKED = {".gz", ".bz2", ".xz", ".zip", ".Z"}


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
    kind = kind_of(url)
    if kind not in PARQUET | TEXTS | VOTABLES | FITS:
        kind = _kind_by_content(url)
    if kind in VOTABLES:
        return replace(votable_table.open_votable(url, hdu), identity=version)
    if kind in TEXTS:
        return replace(csv_table.open_csv(url), identity=version)
    if kind in PARQUET:
        return replace(parquet_table.open_parquet(url, partition), identity=version)
    return replace(tables.open_table(url, hdu), identity=version)


def kind_of(url: str) -> str:
    """The ending of a file's name, in lower case, without that of what it is compressed with."""
    stem, dot, suffix = (url.split("?", 1)[0] if "://" in url else url).rsplit("/", 1)[-1].rpartition(".")
    if f".{suffix}" in PACKED:
        stem, dot, suffix = stem.rpartition(".")
    return f"{dot}{suffix}".lower() if stem else ""


def _kind_by_content(url: str) -> str:
    """The ending that a file's name should have, by what it begins with; FITS where that is nothing known."""
    with storage.glancing(url) as (stream, _):
        begins = stream.read(4096)
    if begins.startswith(parquet_table.MAGIC):
        return ".parquet"
    if begins.startswith(b"# %ECSV"):
        return ".ecsv"
    if begins.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<") and b"VOTABLE" in begins.upper():
        return ".vot"
    return ".fits"


def as_one_release(tables: Sequence[ShardTable]) -> list[ShardTable]:
    """The shards with the types that fit all of them, where their files say nothing of types."""
    texts = csv_table.agreed([table for table in tables if isinstance(table, csv_table.CsvTable)])
    settled = iter([csv_table.settled(table) for table in texts])
    return [next(settled) if isinstance(table, csv_table.CsvTable) else table for table in tables]
