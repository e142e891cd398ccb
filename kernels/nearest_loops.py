"""Lowest scores by segments, compiled: all segments of a row while the row is in the processor's cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compiled import compiled

__all__ = ["list_close", "lowest"]

_NEGATIVE = np.int32(0x7FFFFFFF)


@compiled
def lowest(scores: Any, edges: Any, slack: Any, best: Any, count: Any) -> None:
    """Fill in, for each row and segment, how many scores lie within the slack of the lowest, and where that is if it is alone.

    Parameters
    ----------
    scores : (n, p) float32 array
        Finite where the slack is.
    edges : (m + 1,) integer array
        Segment s is columns ``edges[s]`` to ``edges[s + 1]``.
    slack : (n, m) float32 array
        Infinite: all scores count.
    best, count : (n, m) int32 array
        What is filled in.
    """
    least = np.empty(1, np.int32)
    for i in range(len(scores)):
        for s in range(len(edges) - 1):
            own = scores[i, edges[s] : edges[s + 1]]
            least[0] = _least(own.view(np.int32))
            place, count[i, s] = _near(own, least.view(np.float32)[0], slack[i, s])
            best[i, s] = edges[s] + place


@compiled
def _least(bits: Any) -> Any:
    """Bits of the least of some floats: a minimum of whole numbers, which is the same in any order, so that the compiler may take many at once.

    Bits of positive floats are ordered as they are, those of negative ones the other way round.
    """
    least = _NEGATIVE
    for k in range(len(bits)):
        least = min(least, bits[k] ^ ((bits[k] >> np.int32(31)) & _NEGATIVE))
    return least ^ ((least >> np.int32(31)) & _NEGATIVE)


@compiled
def _near(scores: Any, least: Any, slack: Any) -> Any:
    """Sum of the places of those within the slack of the least, and how many they are."""
    place, count = np.int32(0), np.int32(0)
    for k in range(len(scores)):
        near = np.int32(not scores[k] - least > slack)
        place += near * np.int32(k)
        count += near
    return place, count


@compiled
def list_close(scores: Any, edges: Any, slack: Any, count: Any, place: Any, row: Any, point: Any) -> None:
    """List the scores that count where there are more than one: number of the row's segment (row x m + segment), row, and column."""
    m, listed = len(edges) - 1, 0
    for i in range(len(scores)):
        for s in range(m):
            if count[i, s] < 2:
                continue
            own = scores[i, edges[s] : edges[s + 1]]
            score = own.min()
            for k in range(len(own)):
                if not own[k] - score > slack[i, s]:
                    place[listed], row[listed], point[listed] = i * m + s, i, edges[s] + k
                    listed += 1
