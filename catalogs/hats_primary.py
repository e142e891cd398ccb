"""Another HATS catalog, which ours extends: what it is, and where its objects are."""

from __future__ import annotations

import difflib
import hashlib
import json
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import hats
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from hats.catalog import Catalog, CatalogCollection
from hats.io import paths
from upath import UPath

from catalogs import hats_catalog, storage
from catalogs.errors import CorruptFile, Fault, Refused
from catalogs.hats_catalog import INDEX, Partition
from catalogs.headers import first_line

if TYPE_CHECKING:
    from catalogs._types import Integers

__all__ = ["Primary", "look", "near_partitions", "read_places"]

IDS = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


@dataclass(frozen=True)
class Primary:
    """A HATS catalog that is there already."""

    url: str
    """As LSDB opens it: the folder of a catalog or a collection, absolute."""
    catalog: str
    """Folder of the catalog itself."""
    id: str
    """Column with its ids."""
    ra: str
    dec: str
    index: str | None
    """Column with the order-29 index; None where it has none."""
    suffix: str
    """Of its partitions' names; `/` where each is a folder."""
    partitions: list[Partition]
    """In the order of their places."""
    rows: int | None
    """As it says itself."""
    digest: str
    """Of what it says of itself: another one is another version."""

    def files(self, partition: Partition) -> list[str]:
        """Files of a partition, sorted."""
        where = str(paths.pixel_catalog_file(UPath(self.catalog), partition.healpix, npix_suffix=self.suffix))
        if self.suffix != "/":
            return [where]
        return [storage.join(where, name) for name in storage.names(where)]


def look(url: str, column: str, ids: pa.DataType, source: str) -> Primary:
    """Find out what a HATS catalog or collection is.

    Parameters
    ----------
    url : str
        Its folder, absolute.
    column : str
        With its ids.
    ids : pa.DataType
        Type of the ids that are to be found in it.
    source : str
        Name of the config, for faults.

    Raises
    ------
    Refused
        If there is no such catalog, or no such column of ids.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of catalogs that lack optional files
            found: Any = hats.read_hats(UPath(url), read_moc=False)
            found = found.main_catalog if isinstance(found, CatalogCollection) else found
            if not isinstance(found, Catalog):
                raise TypeError(f"it is a {type(found).__name__}")
            pixels, schema = found.get_healpix_pixels(), found.schema
        if schema is None or not pixels:
            raise ValueError("it has no " + ("partitions" if schema is not None else "_common_metadata"))
    except Exception as error:  # the library raises whatever its parsers do
        reason = first_line(error) or type(error).__name__
        remedy = "Give the folder or URL of a HATS catalog or collection (the one with hats.properties or collection.properties)"
        raise Refused(
            [Fault(source, f"is no HATS catalog ({reason})", remedy, value=url, key="publish.extends")]
        ) from error
    if column not in schema.names:
        near = difflib.get_close_matches(column, schema.names, 3) or schema.names[:10]
        problem = f"{url} has no such column"
        raise Refused([_of_column(source, problem, f"Its columns: {', '.join(near)} …", column)])
    theirs = schema.field(column).type
    theirs = theirs.value_type if pa.types.is_dictionary(theirs) else theirs
    if not any(fits(theirs) for fits in IDS) or pa.types.is_integer(theirs) != pa.types.is_integer(ids):
        problem = f"{url} has {theirs} in it, and ids of this release are {ids}"
        raise Refused([_of_column(source, problem, "Give the column with the same ids", column)])
    info: Any = found.catalog_info
    partitions = sorted((Partition(int(p.order), int(p.pixel)) for p in pixels), key=lambda each: each.first)
    said = [json.loads(info.model_dump_json(by_alias=True)), [(p.order, p.pixel) for p in partitions]]
    indexed = info.healpix_column is not None and info.healpix_order == 29
    return Primary(
        url,
        str(found.catalog_base_dir),
        column,
        info.ra_column,
        info.dec_column,
        info.healpix_column if indexed and info.healpix_column in schema.names else None,
        info.npix_suffix,
        partitions,
        info.total_rows,
        hashlib.sha256(json.dumps([said, str(schema)], sort_keys=True).encode()).hexdigest(),
    )


def read_places(primary: Primary, partition: Partition, ids: pa.DataType) -> pa.Table:
    """Ids and places of a partition's objects: `id` as ours are, `object_id` as theirs are, `_healpix_29`, `ra`, `dec`; without those whose id we cannot have.

    Raises
    ------
    CorruptFile
        If a file of it cannot be read.
    """
    wanted = [primary.id, primary.ra, primary.dec, *([primary.index] if primary.index else [])]
    tables = []
    for file in primary.files(partition):
        try:
            with storage.reading(file, None) as stream:
                tables.append(pq.read_table(stream, columns=list(dict.fromkeys(wanted))))
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise CorruptFile(
                f"{file}: cannot be read as a partition of the catalog that [publish] extends names ({first_line(error)})"
            ) from error
    rows = pa.concat_tables(tables)
    theirs = rows[primary.id]
    if pa.types.is_dictionary(theirs.type):
        theirs = theirs.cast(theirs.type.value_type)
    found, ours = _as_ours(theirs, ids)
    rows = rows.filter(ours)
    ra, dec = (
        rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False) for name in (primary.ra, primary.dec)
    )
    index = rows[primary.index].to_numpy() if primary.index else hats_catalog.spatial_index(ra, dec)
    # Rounding may differ between who places an object and who looks it up: it is where its file is.
    index = np.clip(index.astype(np.int64), partition.first, partition.after - 1)
    # pandas, and LSDB with it, compares int64 and uint64 as doubles: who joins needs ids of one type.
    columns = {"id": found.filter(ours), "object_id": theirs.filter(ours), INDEX: index, "ra": ra, "dec": dec}
    return pa.table(columns)


def near_partitions(primary: Primary, pixels: Integers) -> list[int]:
    """Numbers of the primary's partitions that overlap pixels of order `hats_catalog.ORDER`, in order."""
    firsts = np.array([each.first for each in primary.partitions], np.int64)
    afters = np.array([each.after for each in primary.partitions], np.int64)
    shift = 2 * (29 - hats_catalog.ORDER)
    start = np.searchsorted(afters, pixels << shift, "right")
    stop = np.searchsorted(firsts, (pixels + 1) << shift, "left")
    found = [np.arange(a, b) for a, b in set(zip(start.tolist(), stop.tolist(), strict=True))]
    return np.unique(np.concatenate(found)).tolist() if found else []


def _as_ours(column: pa.ChunkedArray, ids: pa.DataType) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    """A column of ids in our type, and where that has the value; elsewhere it has some other."""
    if not pa.types.is_integer(ids):
        return column.cast(ids), pc.is_valid(column)
    theirs, limits = column.type, np.iinfo(ids.to_pandas_dtype())
    own = np.iinfo(theirs.to_pandas_dtype())
    low, high = (pa.scalar(bound, theirs) for bound in (max(limits.min, own.min), min(limits.max, own.max)))
    fits = pc.fill_null(pc.and_(pc.greater_equal(column, low), pc.less_equal(column, high)), False)
    return column.cast(ids, safe=False), fits


def _of_column(source: str, problem: str, remedy: str, column: str) -> Fault:
    return Fault(source, problem, remedy, value=column, key="publish.extends_id")
