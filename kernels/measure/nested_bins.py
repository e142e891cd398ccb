"""Pixels around an object as nested grids: pixels in its middle, means of twice as many a side from one grid to the next outwards."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compiled import compiled

__all__ = ["SIDE", "nested", "outer_grids"]

SIDE = 24
"""Bins a side of each grid; even, its half too."""
_SMOOTH = 0.5  # half-light radii from the centre: farther out light is even enough over a bin to be known from a part of it
_OFF = 1 / 32  # of a bin's side: so far from its middle the middle of that part may lie


def outer_grids(half: Any, factor: Any) -> Any:
    """How many grids (n,) around the innermost one reach so far (n,), pixels, from the middle, where that one's bins have so many pixels (n,) a side."""
    times = np.maximum(half / (SIDE / 2 * factor), 1.0)
    return np.ceil(np.log2(times) - 1e-9).astype(np.int64)


@compiled
def nested(
    image: Any, masked: Any, weights: Any, frame: Any, size: float, grids: int, light: Any, weight: Any, place: Any
) -> int:
    """Fill in the means of bins, their weights and their places, and say how many there are.

    The innermost grid comes first, whole, row by row; of the others only bins that count follow. A bin of which some pixels do not count is left out, unless it is
    farther than half a half-light radius from the centre and the middle of those that count is within 1/32 of its side from its own: then it is their mean.

    Parameters
    ----------
    image : (y, x) float32 array
    masked : (y, x) bool array
    weights : (y, x) float32 array
        One over the variance of each pixel, in any unit; or (0, 0), where that is one everywhere.
    frame : (6,) int64 array
        Column and row of the innermost grid's middle, which is the corner of four pixels: that of the fourth; pixels a side of its bins;
        and how far columns and rows may lie from the middle at most, pixels; first column and row behind the middle excluded.
    size : float
        Half-light radius, pixels.
    grids : int
        Around the innermost one.
    light, weight : (bins,) float32 arrays
        Weights are over that of an innermost bin of pixels of weight one.
    place : (bins, 5) float64 array
        x and y from the middle, how many innermost bins it is as large as, its grid and its place there; the first three in innermost bins.
    """
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
                            known = 1.0 if weights.size == 0 else weights[y, x]
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
                place[count, 0] = (column - SIDE // 2 + 0.5) * (1 << grid)
                place[count, 1] = (row - SIDE // 2 + 0.5) * (1 << grid)
                place[count, 2] = (1 << grid) * (1 << grid)
                place[count, 3] = grid
                place[count, 4] = row * SIDE + column
                count += 1
    return count
