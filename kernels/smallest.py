"""The smallest of many numbers, compiled: a sort of few, or NumPy's partition, touches all of them several times."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compiled import compiled

__all__ = ["smallest"]


def smallest(values: Any, count: int) -> Any:
    """The `count` smallest of each row of finite values (n, m), ascending: (n, count) of their type; count is 1 to m."""
    found = np.empty((len(values), count), values.dtype)
    _smallest(values, found)
    return found


@compiled
def _smallest(values: Any, found: Any) -> None:
    n, m = values.shape
    last = found.shape[1] - 1
    for i in range(n):
        row, least = values[i], found[i]
        least[:] = np.inf
        largest = least[last]
        for k in range(m):
            value = row[k]
            if value < largest:
                place = last
                while place > 0 and least[place - 1] > value:
                    least[place] = least[place - 1]
                    place -= 1
                least[place] = value
                largest = least[last]
