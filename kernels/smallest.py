"""The few smallest of many numbers, compiled: a sort, or NumPy's partition, moves all of them about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["smallest"]

_LANES = 64


def smallest(values: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The `count` smallest of each row of finite values (n, m), ascending: (n, count), with count from 1 to m."""
    found = np.empty((len(values), count), np.float32)
    _smallest(values, found)
    return found


@compiled
def _smallest(values: Any, found: Any) -> None:
    n, m = values.shape
    count = found.shape[1]
    few = np.empty(_LANES, np.float32)
    for i in range(n):
        row, least = values[i], found[i]
        least[:] = np.inf
        limit = np.float32(np.inf)
        if count < _LANES <= m // 4:
            # the smallest of so many parts of the row are of the row: no smaller ones than `count` of them are wanted
            _least_of_parts(row, few)
            for k in range(_LANES):
                _insert(few[k], least)
            limit = least[count - 1]
            least[:] = np.inf
        for k in range(m):
            if row[k] <= limit:
                _insert(row[k], least)
                limit = min(limit, least[count - 1])


@compiled
def _least_of_parts(row: Any, few: Any) -> None:
    for k in range(_LANES):
        few[k] = row[k]
    for begin in range(_LANES, len(row) - _LANES + 1, _LANES):
        part = row[begin : begin + _LANES]
        for k in range(_LANES):
            few[k] = min(few[k], part[k])


@compiled
def _insert(value: Any, least: Any) -> None:
    """Into ascending numbers, the largest of which it takes the place of."""
    place = len(least) - 1
    if value >= least[place]:
        return
    while place > 0 and least[place - 1] > value:
        least[place] = least[place - 1]
        place -= 1
    least[place] = value
