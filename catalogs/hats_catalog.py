"""The published catalog in the HATS layout, written through the `hats` library's own writers."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from hats.catalog import PartitionInfo, TableProperties
from hats.io import paths, write_parquet_metadata
from hats.pixel_math import HealpixPixel
from hats.pixel_math.spatial_index import compute_spatial_index
from upath import UPath

from catalogs import storage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalogs._types import Array, Integers

INDEX = "_healpix_29"
ORDER = 10
"""HEALPix order of the histogram that partitions are planned on: pixels of 3.4 arcmin."""
INDEX_FIELD = pa.field(
    INDEX, pa.int64(), metadata={"ucd": "pos.healpix", "description": "HEALPix index of order 29, nested"}
)


@dataclass(frozen=True)
class Partition:
    """One partition of a HATS catalog: a HEALPix pixel (nested)."""

    order: int
    pixel: int

    def holds(self, index: Integers) -> Array:
        """Which order-29 indices lie in the pixel, (n,) bool."""
        return (index >> 2 * (29 - self.order)) == self.pixel


def spatial_index(ra: Array, dec: Array) -> Integers:
    """HEALPix index of order 29 of positions in degrees, (n,) int64."""
    return np.asarray(compute_spatial_index(ra, dec), np.int64)


def partitions(counts: Mapping[int, int], most_rows: int) -> dict[Partition, set[int]]:
    """Adaptive partitions of at most `most_rows` objects, and the pixels of order `ORDER` that each holds.

    Parameters
    ----------
    counts : mapping
        Objects in each pixel of order `ORDER`.
    most_rows : int
        More objects than this in one pixel of order `ORDER` stay together all the same.
    """
    pixels = np.array(sorted(counts), np.int64)
    rows = np.array([counts[pixel] for pixel in pixels.tolist()], np.int64)
    threshold = max(most_rows, int(rows.max()))
    found: dict[Partition, set[int]] = {}
    # Only pixels that hold objects are looked at: the library's own `generate_alignment` walks the whole sky, for 7 s.
    for order in range(ORDER + 1):
        parents = pixels >> 2 * (ORDER - order)
        _, of_parent = np.unique(parents, return_inverse=True)
        fits = np.bincount(of_parent, weights=rows)[of_parent] <= threshold
        for pixel, parent in zip(pixels[fits].tolist(), parents[fits].tolist(), strict=True):
            found.setdefault(Partition(order, parent), set()).add(pixel)
        pixels, rows = pixels[~fits], rows[~fits]
    return dict(sorted(found.items(), key=lambda item: item[0].pixel << 2 * (29 - item[0].order)))


def write_partition(catalog: str, partition: Partition, rows: pa.Table) -> int:
    """Write a partition's rows, sorted by position and id, and say how many they are."""
    path = paths.pixel_catalog_file(UPath(catalog), HealpixPixel(partition.order, partition.pixel))
    write_sorted(str(path), rows, [INDEX, "object_id"])
    return rows.num_rows


def write_sorted(url: str, rows: pa.Table, keys: Sequence[str]) -> None:
    """Write a Parquet file whose bytes depend on the set of rows alone."""
    rows = rows.take(pc.sort_indices(rows, [(key, "ascending") for key in keys]))
    buffer = io.BytesIO()
    pq.write_table(rows.combine_chunks(), buffer, compression="zstd", row_group_size=122_880)
    storage.write(url, buffer.getvalue())


def finish(catalog: str, name: str, found: Sequence[Partition], rows: int) -> None:
    """Write what makes a folder of partitions a HATS catalog: partition list, `_metadata`, properties.

    Nothing in them depends on when or where the catalog was written.
    """
    values: dict[str, Any] = {
        "catalog_name": name,
        "catalog_type": "object",
        "total_rows": rows,
        "ra_column": "ra",
        "dec_column": "dec",
        "healpix_column": INDEX,
        "healpix_order": 29,
        "npix_suffix": ".parquet",
        "hats_builder": f"tuningfork v{version('tuningfork')}, hats v{version('hats')}",
        "hats_version": "v1.0",
    }
    # The library writes into a local folder, and the files go from there in one piece each, to any kind of storage.
    with tempfile.TemporaryDirectory() as scratch:
        info = PartitionInfo.from_healpix([HealpixPixel(p.order, p.pixel) for p in found])
        info.write_to_file(catalog_path=scratch)
        write_parquet_metadata(UPath(catalog), output_path=scratch)
        TableProperties(**values).to_properties_file(scratch)
        for path in sorted(p for p in Path(scratch).rglob("*") if p.is_file()):
            data = path.read_bytes()
            if path.suffix == ".properties" or path.name == "properties":
                data = _without_date(data)
            storage.write(storage.join(catalog, *path.relative_to(scratch).parts), data)


def _without_date(properties: bytes) -> bytes:
    # The properties writer stamps the time of writing into a comment; equal catalogs must be equal bytes.
    lines = properties.decode().splitlines()
    return ("\n".join(line for line in lines if not line.startswith("#")) + "\n").encode()
