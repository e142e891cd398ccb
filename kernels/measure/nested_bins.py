"""Pixels around an object as nested grids: pixels in its middle, means of twice as many a side from one grid to the next outwards."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compiled import compiled

__all__ = ["SIDE", "nested", "outer_grids"]

SIDE = 24
"""Bins a side of each grid; even, its half too."""
_SMOOTH = 0.5  # half-light radii from the centre: farther out light is even enough over a bin to be known from a part of it
_FEWEST = 16  # bins
_OFF = 1 / 32  # of a bin's side: so far from its middle the middle of that part may lie


def outer_grids(half: Any, factor: Any) -> Any:
    """How many grids (n,) around the innermost one reach so far (n,), pixels, from the middle, where that one's bins have so many pixels (n,) a side."""
    times = np.maximum(half / (SIDE / 2 * factor), 1.0)
    return np.ceil(np.log2(times) - 1e-9).astype(np.int64)


@compiled
def nested(
    images: Any,
    masked: Any,
    weights: Any,
    rows: Any,
    frames: Any,
    size: Any,
    grids: Any,
    light: Any,
    weight: Any,
    place: Any,
    where: Any,
    counts: Any,
) -> None:
    """Fill in the means of bins, their weights and their places.

    The innermost grid comes first, whole, row by row; of the others only bins that count follow. A bin of which some pixels do not count is left out, unless it is
    farther than half a half-light radius from the centre and the middle of those that count is within 1/32 of its side from its own: then it is their mean.
    Means are over the largest of a stamp, so that no float32 overflows.

    Parameters
    ----------
    images : (n, y, x) float32 array
    masked : (n, y, x) bool array
    weights : (n, y, x) float32 array
        One over the variance of each pixel, in any unit; or (1, 1, 1), where that is one everywhere.
    rows : (k,) int64 array
        Which stamps.
    frames : (n, 4) int64 array
        Column and row of the pixel to whose first corner the innermost grid's middle is nearest; pixels a side of that grid's bins; and how far
        columns and rows may lie from the middle at most, pixels.
    size : (n,) float64 array
        Half-light radii, pixels.
    grids : (n,) int64 array
        Around the innermost one.
    light, weight : (k, bins) float32 arrays
        Weights are over that of an innermost bin of pixels of weight one. Zero behind the last bin.
    place : (k, 2, bins) float32 array
        x and y from the middle, in innermost bins.
    where : (k, bins, 2) int64 array
        Each bin's grid and its place there.
    counts : (k, 2) float64 array
        How many bins there are, and the largest mean; zero where fewer than 16 count, or none has light.
    """
    for k in range(len(rows)):
        i = rows[k]
        known = weights[0] if len(weights) == 1 else weights[i]
        count = _of_one(
            images[i], masked[i], known, frames[i], size[i], grids[i], light[k], weight[k], place[k], where[k]
        )
        largest, used = 0.0, 0
        for one in range(count):
            if weight[k, one] > 0:
                largest = max(largest, abs(light[k, one]))
                used += 1
        if used >= _FEWEST and largest > 0:
            counts[k, 0], counts[k, 1] = count, largest
            for one in range(count):
                light[k, one] /= largest


@compiled
def _of_one(
    image: Any,
    masked: Any,
    weights: Any,
    frame: Any,
    size: float,
    grids: int,
    light: Any,
    weight: Any,
    place: Any,
    where: Any,
) -> int:
    """The same for one stamp: how many bins there are."""
    height, width = masked.shape
    across, down, factor, reach = frame[0], frame[1], frame[2], frame[3]
    count = 0
    for grid in range(grids + 1):
        side = factor << grid
        middle = (side - 1) / 2
        for row in range(SIDE):
            for column in range(SIDE):
                inner = SIDE // 4 <= row < 3 * SIDE // 4 and SIDE // 4 <= column < 3 * SIDE // 4
                if grid > 0 and inner:
                    continue
                left, top = across + (column - SIDE // 2) * side, down + (row - SIDE // 2) * side
                total, variance, off_x, off_y, pixels = 0.0, 0.0, 0.0, 0.0, 0
                near = abs(left + middle - across + 0.5) < reach and abs(top + middle - down + 0.5) < reach
                if near:
                    for y in range(max(top, 0), min(top + side, height)):
                        for x in range(max(left, 0), min(left + side, width)):
                            value = image[y, x]
                            known = 1.0 if weights.size == 1 else weights[y, x]
                            if masked[y, x] or not np.isfinite(value) or not known > 0:
                                continue
                            total += value
                            variance += 1 / known
                            off_x += x - left - middle
                            off_y += y - top - middle
                            pixels += 1
                good = pixels > 0
                if good and pixels < side * side:
                    away = np.hypot(left + middle - across + 0.5, top + middle - down + 0.5)
                    good = away > _SMOOTH * size and np.hypot(off_x, off_y) <= _OFF * side * pixels
                if grid > 0 and not good:
                    continue
                light[count], weight[count] = 0.0, 0.0
                if good:
                    light[count] = total / pixels
                    weight[count] = pixels * pixels / (variance * factor * factor)
                place[0, count] = (column - SIDE // 2 + 0.5) * (1 << grid)
                place[1, count] = (row - SIDE // 2 + 0.5) * (1 << grid)
                where[count, 0], where[count, 1] = grid, row * SIDE + column
                count += 1
    return count
