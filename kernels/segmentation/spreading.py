"""What a watershed takes from the object, given back."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compiled import compiled
from kernels.segmentation.noise import grow
from kernels.segmentation.selection import marked

__all__ = ["spread"]

_HALF = 0.5  # of a pixel's light


@compiled
def spread(light: Any, region: Any, own: int) -> None:
    """Give the object those pixels of regions that touch it of which half the light is its own: as much as it has where they are turned to about its peak.

    A watershed parts light along its valleys, and a star on a disc would take a piece of the disc along.

    Parameters
    ----------
    light, region : arrays
        See `kernels.segmentation.watershed.part`; the regions are changed.
    own : int
        The object's region.
    """
    height, width = light.shape
    values, regions = light.ravel(), region.ravel()
    before, marks, line = (
        np.zeros(light.shape, np.uint8),
        np.zeros(light.shape, np.uint8),
        np.empty(width, np.uint8),
    )
    for y in range(height):
        row, here = before[y], region[y]
        for x in range(width):
            row[x] = here[x] == own
    grow(before, marks, line, 1)
    for y in range(height):
        row, here = marks[y], region[y]
        for x in range(width):
            row[x] &= (here[x] >= 0) & (here[x] != own)
    waiting, ours, count = np.empty(values.size, np.int32), before.ravel(), 0
    touching = np.empty(values.size, np.int32)
    for place in touching[: marked(marks.ravel(), touching)]:
        count = _hand_over(values, regions, ours, place, own, width, waiting, count)
    while count:
        count -= 1
        place = waiting[count]
        for step in (-width - 1, -width, 1 - width, -1, 1, width - 1, width, width + 1):
            if regions[place + step] >= 0:
                count = _hand_over(values, regions, ours, place + step, own, width, waiting, count)


@compiled
def _hand_over(
    values: Any, regions: Any, before: Any, place: int, own: int, width: int, waiting: Any, count: int
) -> int:
    """Give the object a pixel of another region, if half of its light is the object's, and let it wait for its neighbours' turn; how many wait."""
    x, turned = 2 * (own % width) - place % width, 2 * own - place
    shown = 0 <= x < width and 0 <= turned < values.size and before[turned]
    if regions[place] == own or not shown or values[turned] < _HALF * values[place]:
        return count
    regions[place] = own
    waiting[count] = place
    return count + 1
