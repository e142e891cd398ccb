"""Partitions of a catalog in the HATS layout, and their files. What makes a catalog of them is in `catalogs.hats_metadata`."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from hats.io import paths
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

    @property
    def first(self) -> int:
        """The first order-29 index in the pixel."""
        return self.pixel << 2 * (29 - self.order)

    @property
    def after(self) -> int:
        """The first order-29 index behind the pixel."""
        return (self.pixel + 1) << 2 * (29 - self.order)

    @property
    def healpix(self) -> HealpixPixel:
        """The same for the `hats` library."""
        return HealpixPixel(self.order, self.pixel)

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
    return dict(sorted(found.items(), key=lambda item: item[0].first))


def partition_file(catalog: str, partition: Partition) -> str:
    """Where the rows of a partition lie."""
    return str(paths.pixel_catalog_file(UPath(catalog), partition.healpix))


def write_partition(catalog: str, partition: Partition, rows: pa.Table) -> int:
    """Write a partition's rows, sorted by position and id, and say how many they are."""
    write_sorted(partition_file(catalog, partition), rows, [INDEX, "object_id"])
    return rows.num_rows


def write_sorted(url: str, rows: pa.Table, keys: Sequence[str]) -> None:
    """Write a Parquet file whose bytes depend on the set of rows alone."""
    rows = rows.take(pc.sort_indices(rows, [(key, "ascending") for key in keys]))
    buffer = io.BytesIO()
    pq.write_table(rows.combine_chunks(), buffer, compression="zstd", row_group_size=122_880)
    storage.write(url, buffer.getvalue())
