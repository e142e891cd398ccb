"""Intensity, of the MID statistics: light around the second brightest peak over that around the brightest."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compiled import compiled
from kernels.measure.disjoint_sets import root_of

__all__ = ["intensity"]


@compiled
def intensity(smooth: Any) -> tuple[float, int]:
    """Light of the second brightest peak over that of the brightest, and the place of that one."""
    height, width = smooth.shape
    values = smooth.ravel()
    up, light = _brightest_neighbours(smooth).ravel(), np.zeros(height * width)
    for place in range(height * width):
        if values[place] > 0:
            light[root_of(up, place)] += values[place]
    first = 0
    for place in range(1, height * width):
        if light[place] > light[first]:
            first = place
    second = 0.0
    for place in range(height * width):
        if place != first:
            second = max(second, light[place])
    return second / light[first], first


@compiled
def _brightest_neighbours(smooth: Any) -> Any:
    """The place (y, x) of the brightest of a pixel and its neighbours; of equal ones the first, and the pixel itself before them."""
    height, width = smooth.shape
    up, best = np.empty((height, width), np.int32), np.empty(width, np.float32)
    for y in range(height):
        for x in range(width):
            up[y, x], best[x] = y * width + x, smooth[y, x]
        for to_y in range(max(y - 1, 0), min(y + 2, height)):
            for step in range(-1, 2):
                first, last = max(-step, 0), width - max(step, 0)
                place, there = to_y * width + first + step, smooth[to_y, first + step : last + step]
                to, brightest = up[y, first:last], best[first:last]
                for x in range(there.size):
                    brighter = there[x] > brightest[x]
                    to[x] = place + x if brighter else to[x]
                    brightest[x] = there[x] if brighter else brightest[x]
    return up
