"""The margin cache of a HATS catalog: which objects lie just outside a partition, and how their rows get to it.

An object is in the margin of a pixel if it lies in a pixel of the margin's order that touches it, as the `hats` library has it
(`hats.pixel_math.get_margin`): those are at least as wide as the margin. Pixels between the partitions have margins too: objects of
other catalogs lie there.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cdshealpix
import hats.pixel_math.healpix_shim as hp
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalogs import storage
from catalogs.hats_catalog import INDEX, Partition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from catalogs._types import Integers


@dataclass(frozen=True, eq=False)
class Cover:
    """The whole sky in pixels: the partitions of a catalog, and the largest pixels that fit between them; and a width of margins."""

    pixels: list[Partition]
    """In the order of their places."""
    firsts: Integers
    """Their first order-29 indices, (n,) int64."""
    order: int
    """HEALPix order of the pixels that margins are made of."""

    @classmethod
    def of(cls, found: Iterable[Partition], arcsec: float) -> Cover:
        """The cover of some partitions, of which there is one at least, for margins of a width in arcsec."""
        partitions = sorted(found, key=lambda each: each.first)
        pixels, place = [], 0
        for each in partitions:
            pixels += [*_filling(place, each.first), each]
            place = each.after
        pixels += _filling(place, 12 << 2 * 29)
        order = int(hp.margin2order(np.asarray(arcsec / 60)))
        assert order >= max(each.order for each in partitions), "the margin is as wide as a partition"
        return cls(pixels, np.array([each.first for each in pixels], np.int64), order)

    def holders(self, index: Integers) -> Integers:
        """Numbers of the pixels that hold order-29 indices; same shape."""
        return np.searchsorted(self.firsts, index, "right") - 1


def _filling(start: int, stop: int) -> Iterator[Partition]:
    """The largest pixels that fill a stretch of order-29 indices; the library's `compute_negative_tree_pixels` compiles for 4 s first."""
    while start < stop:
        step = 29
        while start & ((1 << 2 * step) - 1) or start + (1 << 2 * step) > stop:
            step -= 1
        yield Partition(29 - step, start >> 2 * step)
        start += 1 << 2 * step


def borders(cover: Cover, index: Integers) -> list[tuple[Partition, Integers]]:
    """Which rows of one partition are in the margins of others.

    Parameters
    ----------
    cover : Cover
    index : array
        Order-29 indices of the partition's objects, (n,) int64.

    Returns
    -------
    list
        Each pixel whose margin has some, in order, and the numbers of those rows.
    """
    shift = 2 * (29 - cover.order)
    cells, of_cell = np.unique(index >> shift, return_inverse=True)
    touching = cdshealpix.neighbours(cells.astype(np.uint64), cover.order, num_threads=1).astype(np.int64)
    own = cover.holders(cells << shift)[:, None]
    holders = np.where(
        touching < 0, own, cover.holders(touching << shift)
    )  # some pixels have seven neighbours
    cell, place = np.nonzero(holders != own)
    pairs = np.unique(np.stack([holders[cell, place], cell], 1), axis=0)
    at_border = np.flatnonzero(np.isin(of_cell, pairs[:, 1]))
    return [
        (cover.pixels[target], at_border[np.isin(of_cell[at_border], pairs[pairs[:, 0] == target, 1])])
        for target in np.unique(pairs[:, 0]).tolist()
    ]


@dataclass(frozen=True)
class Border:
    """Rows of one partition for the margin of another pixel, in a file for the meantime."""

    target: Partition
    url: str
    group: int
    """Row group of the file."""
    rows: int


def set_aside(url: str, cover: Cover, rows: pa.Table) -> list[Border]:
    """Write those rows of a partition that belong to margins into one file, a row group for each margin."""
    found = borders(cover, rows[INDEX].to_numpy())
    if not found:
        return []
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, rows.schema, compression="zstd") as writer:
        for _, numbers in found:
            writer.write_table(rows.take(pa.array(numbers)), row_group_size=numbers.size)
    storage.write(url, buffer.getvalue())
    return [Border(target, url, group, numbers.size) for group, (target, numbers) in enumerate(found)]


def collect(pieces: Sequence[Border]) -> pa.Table:
    """The rows that were set aside for one margin."""
    tables = []
    for piece in pieces:
        with storage.reading(piece.url, None) as stream, pq.ParquetFile(stream) as file:
            tables.append(file.read_row_group(piece.group))
    return pa.concat_tables(tables)
