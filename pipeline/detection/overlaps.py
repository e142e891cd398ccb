"""Sources that lie on several tiles are written once: which tile's stays.

A tile owns what lies deeper in it, farther from its edge in arcsec, than in any other tile that has data there; where that is equal, the
first tile in order. Of two sources that are each other's nearest within `match` on two tiles, the one deeper in its own tile stays, so that
none is lost, or written twice, where both tiles own the place by what each has measured. It all follows from positions and headers: neither
the order of work nor the number of workers matters.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from catalogs.sky import pixel_to_sky, sky_to_pixel, unit_vectors
from catalogs.storage import reading
from catalogs.tile_pixels import open_tile
from pipeline.detection.columns import SKY, as_numpy
from pipeline.detection.find import CELL, META

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy.spatial import cKDTree

    from catalogs.image_header import ImageHeader
    from pipeline.detection.job import Job

    Floats = NDArray[np.floating[Any]]
    Bools = NDArray[np.bool_]

__all__ = ["footprint", "kept", "neighbours"]


def footprint(tile: int, job: Job) -> tuple[float, float, float]:
    """Centre of a tile, ra and dec in degrees, and the radius of a circle around its corners, degrees."""
    header = open_tile(job.layout, job.tiles[tile], job.bands[0], job.folder)
    assert header.wcs is not None
    high, wide = header.shape
    x = np.array([(wide - 1) / 2, -0.5, wide - 0.5, -0.5, wide - 0.5])
    y = np.array([(high - 1) / 2, -0.5, -0.5, high - 0.5, high - 0.5])
    ra, dec = pixel_to_sky(header.wcs, x, y)
    vectors = unit_vectors(ra, dec)
    half = np.linalg.norm(vectors[1:] - vectors[0], axis=1).max() / 2
    return float(ra[0]), float(dec[0]), float(np.degrees(2 * np.arcsin(min(half, 1.0))))


def neighbours(circles: list[tuple[float, float, float]]) -> list[tuple[int, ...]]:
    """Tiles whose circles overlap that of each tile, in order."""
    ra, dec, radius = (np.array(values) for values in zip(*circles, strict=True))
    vectors = unit_vectors(ra, dec)
    reach = 2 * np.sin(np.radians(np.minimum(radius + radius.max(), 180.0)) / 2)
    near = _tree(vectors).query_ball_point(vectors, reach)
    found = []
    for i, others in enumerate(near):
        apart = np.degrees(
            2 * np.arcsin(np.minimum(np.linalg.norm(vectors[others] - vectors[i], axis=1) / 2, 1))
        )
        close = apart < radius[i] + radius[others]
        found.append(
            tuple(sorted(j for j, is_close in zip(others, close, strict=True) if is_close and j != i))
        )
    return found


def kept(tile: int, others: tuple[int, ...], job: Job) -> tuple[bytes, int]:
    """Which of a tile's sources stay beside those of tiles that may overlap it, a bit each, packed; and how many there are."""
    if not others:
        with reading(job.part(tile), None) as stream:
            count = int(pq.read_metadata(stream).num_rows)
        return np.packbits(np.ones(count, bool)).tobytes(), count
    own = _Tile(tile, job)
    stay = np.ones(len(own.ra), bool)
    for other in others if len(stay) else ():
        stay &= own.wins_over(_Tile(other, job))
    return np.packbits(stay).tobytes(), len(stay)


class _Tile:
    """A tile's sources and where it has data."""

    def __init__(self, number: int, job: Job) -> None:
        self.number, self._match = number, job.detect.match
        self._header = open_tile(job.layout, job.tiles[number], job.bands[0], job.folder)
        with reading(job.part(number), None) as stream:
            part = pq.ParquetFile(stream).read([*SKY, "X_IMAGE", "Y_IMAGE"])
        self.ra, self.dec, self.x, self.y = (as_numpy(part[name]) for name in (*SKY, "X_IMAGE", "Y_IMAGE"))
        about = json.loads((part.schema.metadata or {})[META])
        self._cells = _cells(about["cells"])
        self.depth = _depth(self._header, self.x - 1, self.y - 1)

    def wins_over(self, other: _Tile) -> Bools:
        """Which of this tile's sources stay beside another tile's."""
        x, y = sky_to_pixel(other.wcs, other.shape, self.ra, self.dec)
        theirs = np.where(other.covers(x, y), _depth(other._header, x, y), -np.inf)
        pair = self._pairs(other)
        twin = pair >= 0
        theirs[twin] = other.depth[pair[twin]]
        return np.asarray((self.depth > theirs) | ((self.depth == theirs) & (self.number < other.number)))

    @property
    def wcs(self) -> Any:
        return self._header.wcs

    @property
    def shape(self) -> tuple[int, int]:
        return self._header.shape

    def covers(self, x: Floats, y: Floats) -> Bools:
        """Where this tile has data, for 0-based pixel positions; NaN is off it."""
        high, wide = self._header.shape
        with np.errstate(invalid="ignore"):
            inside = (x > -0.5) & (y > -0.5) & (x < wide - 0.5) & (y < high - 0.5)
        column, row = (np.where(inside, np.rint(np.nan_to_num(v)), 0).astype(int) // CELL for v in (x, y))
        row, column = (np.minimum(v, n - 1) for v, n in zip((row, column), self._cells.shape, strict=True))
        return np.asarray(inside & self._cells[row, column])

    def _pairs(self, other: _Tile) -> NDArray[np.int64]:
        """The other tile's source that is each source's own, each the other's nearest; -1 where there is none."""
        none = np.full(len(self.ra), -1, np.int64)
        if not len(self.ra) or not len(other.ra):
            return none
        ours, theirs = unit_vectors(self.ra, self.dec), unit_vectors(other.ra, other.dec)
        limit = 2 * np.sin(np.radians(self._match / 3600) / 2)
        apart, nearest = _tree(theirs).query(ours, distance_upper_bound=limit)
        _, back = _tree(ours).query(theirs)
        close = np.isfinite(apart)
        mutual = close & (back[np.where(close, nearest, 0)] == np.arange(len(ours)))
        return np.where(mutual, nearest, none)


def _cells(stored: list[Any]) -> Bools:
    high, wide, text = stored
    bits = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
    return np.unpackbits(bits, count=high * wide).astype(bool).reshape(high, wide)


def _depth(header: ImageHeader, x: Floats, y: Floats) -> Floats:
    """How far positions are from a tile's edge, arcsec, 0-based pixels."""
    high, wide = header.shape
    inside = np.minimum(np.minimum(x, wide - 1 - x), np.minimum(y, high - 1 - y)) + 0.5
    return np.asarray(inside * (header.pixel_scale or 1.0))


def _tree(vectors: Floats) -> cKDTree:
    from scipy.spatial import cKDTree  # noqa: PLC0415 - separate tiles need not wait for it

    return cKDTree(vectors)
