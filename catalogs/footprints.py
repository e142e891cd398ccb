"""Footprints of tiles on the sky, and which tile each position is cut from.

A footprint is the outline of a tile's pixels, which its WCS puts on the tangent plane around its centre: a polygon, of four corners where the edges
are great circles, of more where distortions or the projection bend them, until it is within a twentieth of a pixel of the WCS. Positions are
compared with it one by one, by elementary arithmetic alone: what is found of one never depends on the others that are asked for with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from catalogs.sky import pixel_to_sky, unit_vectors

if TYPE_CHECKING:
    from astropy.wcs import WCS
    from scipy.spatial import cKDTree

    from catalogs._types import Array, Bools, Floats, Integers
    from catalogs.image_header import ImageHeader

__all__ = ["EQUALLY_DEEP", "BadFootprint", "Footprints", "Outline", "outline"]

BENT = 0.05
"""Pixels by which an edge may differ from the straight lines that stand for it."""
MOST_LINES = 64
"""Straight lines that stand for one edge at most."""
CHECKED = 8
"""Places on each line that are compared with the WCS."""
WIDEST = 60.0
"""Degrees from the centre of a tile to a corner, at most: the tangent plane ends at 90."""
EQUALLY_DEEP = 0.8
"""Share of the deepest tile's inverse variance from which another one counts as deep as it (0.12 mag)."""
AT_ONCE = 1 << 16
"""Positions that are compared with tiles at once."""
ARCSEC = 180.0 / np.pi * 3600.0
SAME = 1e4
"""Distances from edges are compared in so many steps an arcsec: what differs by rounding alone is equal."""


class BadFootprint(ValueError):
    """A tile's footprint cannot be told from its WCS."""


@dataclass(frozen=True, eq=False)
class Outline:
    """The footprint of one tile."""

    axes: Floats
    """(3, 3): unit vectors towards east, north and the tile's centre."""
    corners: Floats
    """(m, 2): vertices on the tangent plane, arcsec from the centre, going round."""
    scale: float
    """Arcsec a pixel."""
    shape: tuple[int, int]

    @property
    def reach(self) -> float:
        """Length of the chord from the centre to the farthest vertex, on the unit sphere."""
        angle = np.arctan(np.hypot(*self.corners.T).max() / ARCSEC)
        return float(2 * np.sin(angle / 2)) * (1 + 1e-9)

    def is_like(self, other: Outline) -> bool:
        """Whether another tile has the same pixels, within half a pixel."""
        if self.shape != other.shape or len(self.corners) != len(other.corners):
            return False
        centre = ARCSEC * np.linalg.norm(self.axes[2] - other.axes[2])
        turned = np.abs(self.corners - other.corners).max()
        return bool(centre < self.scale / 2 and turned < self.scale / 2)


def outline(image: ImageHeader) -> Outline:
    """The footprint of a tile.

    Raises
    ------
    BadFootprint
        If there is no WCS, or it does not have all of the edge on the sky, or too much of the sky.
    NotAnImage
        If the WCS makes no sense.
    """
    wcs, scale = image.wcs, image.pixel_scale
    if wcs is None or scale is None:
        raise BadFootprint("has no WCS, so that nothing says which objects are on it")
    high, wide = image.shape
    ra, dec = pixel_to_sky(wcs, np.array([(wide - 1) / 2]), np.array([(high - 1) / 2]))
    axes = _axes(float(ra[0]), float(dec[0]))
    lines = 1
    while True:
        points = _on_sky(wcs, axes, _around(CHECKED * lines, wide, high))
        ends = points[::CHECKED]
        along = np.roll(ends, -1, axis=0) - ends
        beside = points.reshape(-1, CHECKED, 2) - ends[:, None]
        bent = np.abs(along[:, None, 0] * beside[..., 1] - along[:, None, 1] * beside[..., 0]).max(axis=1)
        if (bent <= BENT * scale * np.hypot(*along.T)).all() or lines >= MOST_LINES:
            return Outline(axes, ends, scale, image.shape)
        lines *= 2


def _on_sky(wcs: WCS, axes: Floats, pixels: Floats) -> Floats:
    """Where pixels (n, 2) are on a tile's tangent plane, arcsec."""
    vectors = unit_vectors(*pixel_to_sky(wcs, *pixels.T))
    if not (vectors @ axes[2] > np.cos(np.radians(WIDEST))).all():
        raise BadFootprint(
            f"has a WCS that does not put all of its edge on the sky, within {WIDEST:g} degrees of its centre"
        )
    return _on_plane(vectors, axes)


def _around(lines: int, wide: int, high: int) -> Floats:
    """Points on the edge of a tile, 0-based pixels, (4 lines, 2), beginning at the first pixel's corner."""
    step = np.arange(lines) / lines
    low, x, y = np.full(lines, -0.5), -0.5 + wide * step, -0.5 + high * step
    right, top = low + wide, low + high
    sides = [(x, low), (right, y), (right - wide * step, top), (low, top - high * step)]
    return np.concatenate([np.stack(side, axis=1) for side in sides])


def _axes(ra: float, dec: float) -> Floats:
    a, d = np.radians(ra), np.radians(dec)
    east = [-np.sin(a), np.cos(a), 0.0]
    north = [-np.sin(d) * np.cos(a), -np.sin(d) * np.sin(a), np.cos(d)]
    return np.array([east, north, [np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)]])


def _on_plane(vectors: Floats, axes: Floats) -> Floats:
    """Tangent-plane coordinates (n, 2) in arcsec of unit vectors (n, 3), by axes (3, 3) or (n, 3, 3)."""
    # sums written out: what BLAS makes of a product depends on how many rows there are
    east, north, ahead = (
        vectors[:, 0] * axes[..., i, 0] + vectors[:, 1] * axes[..., i, 1] + vectors[:, 2] * axes[..., i, 2]
        for i in range(3)
    )
    return np.stack([east / ahead * ARCSEC, north / ahead * ARCSEC], axis=1)


def _cross(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


@dataclass(frozen=True, eq=False)
class Footprints:
    """The footprints of all tiles of a release, in the order of their names."""

    axes: Floats
    """(n, 3, 3), as in `Outline`."""
    corners: Floats
    """(n, m, 2)."""
    reach: Floats
    """(n,)."""
    scale: Floats
    """(n,) arcsec a pixel."""
    depth: Floats
    """(n,) inverse variance of a typical pixel; all NaN where there are no weight maps."""

    @classmethod
    def of(cls, shapes: list[Outline], depth: Floats) -> Footprints:
        """Put the shapes of tiles together."""
        most = max(len(each.corners) for each in shapes)
        # a vertex that stands again adds an edge of no length
        corners = [
            np.concatenate([each.corners, np.repeat(each.corners[-1:], most - len(each.corners), axis=0)])
            for each in shapes
        ]
        return cls(
            np.stack([each.axes for each in shapes]),
            np.stack(corners),
            np.array([each.reach for each in shapes]),
            np.array([each.scale for each in shapes]),
            depth,
        )

    @cached_property
    def _tree(self) -> cKDTree:
        from scipy.spatial import cKDTree  # noqa: PLC0415 - only globs of tiles need it

        return cKDTree(self.axes[:, 2])

    def tile_of(self, ra: Floats, dec: Floats, size: int) -> Integers:
        """Which tile each position is cut from.

        Of several tiles that a position is on, those count first that its whole stamp is on; of these the deepest, with all that are about as deep (`EQUALLY_DEEP`),
        where the depth is known; of these the one in which it is farthest from the edge, in arcsec; and where that is equal, the first one.

        Parameters
        ----------
        ra, dec : (n,) float
            Degrees, ICRS; those that are no position are on no tile.
        size : int
            Side of a stamp in pixels.

        Returns
        -------
        (n,) int32, -1 for a position on no tile.
        """
        found = np.full(len(ra), -1, np.int32)
        usable = np.flatnonzero((ra >= 0) & (ra <= 360) & (np.abs(dec) <= 90))
        for first in range(0, len(usable), AT_ONCE):
            now = usable[first : first + AT_ONCE]
            found[now] = self._tile_of(unit_vectors(ra[now], dec[now]), size)
        return found

    def _tile_of(self, vectors: Floats, size: int) -> Integers:
        near = self._tree.query_ball_point(vectors, self.reach.max())
        row = np.repeat(np.arange(len(vectors)), [len(tiles) for tiles in near])
        tile = np.fromiter((tile for tiles in near for tile in tiles), np.int64, len(row))
        close = ((vectors[row] - self.axes[tile, 2]) ** 2).sum(axis=1) <= self.reach[tile] ** 2
        row, tile = row[close], tile[close]
        points = _on_plane(vectors[row], self.axes[tile])
        inside, edge = self._inside(points, tile)
        row, tile, edge = row[inside], tile[inside], edge[inside]
        whole = edge >= size / 2 * self.scale[tile]
        keep = whole | ~_of_rows(np.logical_or, whole, row)
        row, tile, edge = row[keep], tile[keep], edge[keep]
        depth = self.depth[tile]
        with np.errstate(invalid="ignore"):
            keep = ~(depth < EQUALLY_DEEP * _of_rows(np.maximum, depth, row))  # what is unknown stays
        row, tile, edge = row[keep], tile[keep], edge[keep]
        order = np.lexsort((tile, -np.rint(edge * SAME), row))
        rows, firsts = np.unique(row[order], return_index=True)
        found = np.full(len(vectors), -1, np.int32)
        found[rows] = tile[order[firsts]]
        return found

    def _inside(self, points: Floats, tile: Integers) -> tuple[Bools, Floats]:
        """Which points are in a tile's outline, and how far they are from its edge, arcsec; (n,) each."""
        inside, least = np.zeros(len(points), bool), np.full(len(points), np.inf)
        for i in range(self.corners.shape[1]):
            a, b = self.corners[tile, i - 1], self.corners[tile, i]
            line, from_a = b - a, points - a
            length = np.maximum(line[:, 0] ** 2 + line[:, 1] ** 2, 1e-30)
            part = ((from_a[:, 0] * line[:, 0] + from_a[:, 1] * line[:, 1]) / length).clip(0, 1)[:, None]
            apart = from_a - part * line
            least = np.minimum(least, apart[:, 0] ** 2 + apart[:, 1] ** 2)
            crosses = (a[:, 1] > points[:, 1]) != (b[:, 1] > points[:, 1])
            left = _cross(line, from_a) > 0
            inside ^= crosses & (left == (b[:, 1] > a[:, 1]))
        return inside, np.sqrt(least)


def _of_rows(reduce: np.ufunc, values: Array, row: Integers) -> Array:
    """What a ufunc makes of the values of each row's tiles, for each of them; rows ascend."""
    if not len(row):
        return values
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    return np.repeat(reduce.reduceat(values, starts), np.diff(starts, append=len(row)))
