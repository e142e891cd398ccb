"""Medians, and the places of what is marked, in loops over stamps."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compiled import compiled

__all__ = ["marked", "median", "select", "thinned"]

_BLOCK = 64


@compiled
def median(values: Any, count: int) -> float:
    """Median of the first `count` values, at least one and all finite, which are reordered; of an even number the mean of the two in the middle."""
    upper = select(values, count, count // 2)
    if count % 2:
        return upper
    lower = values[0]
    for i in range(1, count // 2):
        lower = max(lower, values[i])
    return (lower + upper) / 2


@compiled
def select(values: Any, count: int, k: int) -> Any:
    """The k-th smallest of the first values, from 0, with no larger one left before it: Hoare's selection (1961), its partitions without branches that depend on the values."""
    low, high = 0, count
    while high - low > 1:
        first, middle, last = values[low], values[(low + high) // 2], values[high - 1]
        pivot = max(min(first, middle), min(max(first, middle), last))
        below = low
        for i in range(low, high):
            value = values[i]
            values[i] = values[below]
            values[below] = value
            below += value < pivot
        if k < below:
            high = below
            continue
        upto = below
        for i in range(below, high):
            value = values[i]
            values[i] = values[upto]
            values[upto] = value
            upto += value <= pivot
        if k < upto:
            return pivot
        low = upto
    return values[low]


@compiled
def marked(marks: Any, places: Any) -> int:
    """Fill in the places of ones among `marks` (k,) uint8, zeros and ones, ascending; how many."""
    count, whole = 0, marks.size - marks.size % 8
    words = marks[:whole].view(np.uint64)
    for k in range(words.size):
        if words[k] == 0:
            continue
        for place in range(8 * k, 8 * k + 8):
            places[count] = place
            count += marks[place]
    for place in range(whole, marks.size):
        if marks[place]:
            places[count] = place
            count += 1
    return count


@compiled
def thinned(marks: Any, step: int, places: Any) -> int:
    """Fill in the places of every step-th one among `marks` (k,) uint8, zeros and ones, from the first on; how many."""
    count, after = 0, 0  # so many ones are passed over before the next
    for start in range(0, marks.size, _BLOCK):
        block = marks[start : start + _BLOCK]
        ones = 0
        for k in range(block.size):
            ones += block[k]
        k = 0
        while ones > after:
            ones -= after + 1
            while after or not block[k]:
                after -= block[k]
                k += 1
            places[count] = start + k
            count, k, after = count + 1, k + 1, step - 1
        after -= ones
    return count
