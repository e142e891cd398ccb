"""HATS catalogs and collections as releases: every partition is a shard."""

from __future__ import annotations

import warnings
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs import http_errors, storage
from catalogs.headers import first_line
from catalogs.shard_table import NotATable

__all__ = ["is_hats", "open_hats"]

PARTITIONS = "partition_info.csv"
COLLECTION = "collection.properties"
PROPERTIES = ("hats.properties", "properties", COLLECTION)
SUFFIXES = {".fits", ".fit", ".gz", ".fz", ".parquet", ".csv", ".ecsv", ".vot", ".xml"}
"""Of files, not of folders."""
KINDS = ("object", "source")


def is_hats(url: str) -> bool:
    """Whether a folder, local or remote, is a HATS catalog or collection: it has properties."""
    if storage.is_local(url):
        may_be = storage.is_folder(url)
    else:  # not every store knows folders
        may_be = not any(c in url for c in "*?[") and PurePosixPath(url).suffix.lower() not in SUFFIXES
    return may_be and any(storage.exists(storage.join(url, name)) for name in PROPERTIES)


def open_hats(url: str) -> tuple[int | None, list[str]]:
    """How many rows a catalog says that it has, and the files of its partitions; of a collection, those of its main catalog.

    Raises
    ------
    NotATable
        If its metadata are damaged or missing, or it is no catalog of objects or sources.
    """
    # It takes a second, which other releases need not wait.
    from hats.catalog import CatalogCollection, PartitionInfo, TableProperties  # noqa: PLC0415
    from hats.catalog.dataset.collection_properties import CollectionProperties  # noqa: PLC0415
    from hats.io import paths  # noqa: PLC0415
    from upath import UPath  # noqa: PLC0415

    _check_ranges(url)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a partition_info.csv that is not there
            # As UPath, for of a text that names a public bucket the library takes all buckets to be public.
            base = UPath(url)
            if storage.exists(storage.join(url, COLLECTION)):
                own = CollectionProperties.read_from_dir(base)
                base = CatalogCollection.resolve_inner_path(base, own.hats_primary_table_url)
            info = TableProperties.read_from_dir(base)
            suffix, kind, rows = info.npix_suffix, str(info.catalog_type), info.total_rows
            listed = suffix != "/" and storage.exists(storage.join(str(base), PARTITIONS))
            urls = [] if listed else _in_metadata(storage.join(str(base), paths.DATASET_DIR))
            pixels = [] if urls else PartitionInfo.read_from_dir(base).get_healpix_pixels()
    except Exception as error:  # the library raises what it happens to over metadata that make no sense
        raise NotATable(
            f"its HATS metadata cannot be read ({first_line(error)})",
            "Fetch hats.properties and partition_info.csv again",
        ) from error
    if kind.lower().rsplit(".", 1)[-1] not in KINDS:
        raise NotATable(
            f"is a HATS {kind} catalog, not one of objects", "Name the catalog that it belongs to"
        )
    if urls:
        return rows, urls
    urls = [str(paths.pixel_catalog_file(base, pixel, npix_suffix=suffix)) for pixel in pixels]
    if suffix == "/":
        urls = [file for folder in urls for file in storage.find(folder)]
    return rows, urls


def _check_ranges(url: str) -> None:
    """See by its properties that a web server sends parts of files, before it sends partitions whole."""
    name = next(name for name in PROPERTIES if storage.exists(storage.join(url, name)))
    try:
        storage.head(storage.join(url, name), 1)
    except http_errors.NoRanges as error:
        raise NotATable(str(error), "Fetch the catalog, or ask for it at another server") from error


def _in_metadata(dataset: str) -> list[str]:
    """The files that a catalog's `_metadata` names: web servers list no folders. None where there is no such file."""
    path = storage.join(dataset, "_metadata")
    if not storage.exists(path):
        return []
    metadata = pq.read_metadata(pa.BufferReader(storage.read(path)))
    named = (metadata.row_group(group).column(0).file_path for group in range(metadata.num_row_groups))
    return [storage.join(dataset, name) for name in sorted({name for name in named if name})]
