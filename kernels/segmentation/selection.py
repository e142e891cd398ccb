"""Medians of a few thousand numbers, in loops over stamps."""

from __future__ import annotations

from typing import Any

from kernels.compiled import compiled

__all__ = ["median"]


@compiled
def median(values: Any, count: int) -> float:
    """Median of the first `count` values, at least one and all finite, which are reordered; of an even number the mean of the two in the middle."""
    upper = _select(values, count, count // 2)
    if count % 2:
        return upper
    lower = values[0]
    for i in range(1, count // 2):
        lower = max(lower, values[i])
    return (lower + upper) / 2


@compiled
def _select(values: Any, count: int, k: int) -> Any:
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
