"""How alike codes are: the cosine between them as seen from the middle of their release, and coordinates in which those that are most alike are found fast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.kmeans import lloyd
from kernels.linear_map import LinearMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.anomaly import Oddness

__all__ = ["Axes", "cells_for", "centres_of", "direction", "similarity"]

MOST_CELLS = 1 << 15
SAMPLE_A_CELL = 40
"""Codes that a cell's centre is the mean of, about."""
ITERATIONS = 8


def direction(examples: NDArray[np.floating], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """What some examples (n, d) have in common, (d,) of length one: the mean of their directions as seen from the mean code (d,) of their release.

    On EFIGI the 50 objects nearest to the mean of five examples shared their property more often (0.57) than that of the 50 most like any one of them (0.45); seen from
    zero instead of from the mean it were 0.49.
    """
    seen = examples.astype(np.float64) - mean
    lengths = np.sqrt((seen**2).sum(axis=1, keepdims=True))
    found = (seen / np.maximum(lengths, 1e-30)).mean(axis=0)
    return np.asarray(found / max(float(np.sqrt((found**2).sum())), 1e-30))


def similarity(
    codes: NDArray[np.floating], wanted: NDArray[np.float64], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cosine of codes (n, d) with a direction (d,), both as seen from the mean code (d,), (n,) within [-1, 1]; a row's own, whatever stands beside it."""
    seen = codes.astype(np.float64) - mean
    lengths = np.sqrt((seen**2).sum(axis=1))
    return np.asarray((seen * wanted).sum(axis=1) / np.maximum(lengths, 1e-30))


@dataclass(frozen=True, eq=False)
class Axes:
    """The leading principal axes of a release: along them, directions of codes (d,) are told apart almost as well as in all dimensions."""

    map: LinearMap
    """From codes to coordinates seen from their mean."""

    @classmethod
    def of(cls, oddness: Oddness) -> Axes:
        """Those along which the oddness of objects is judged."""
        given = oddness.axes
        lengths = np.sqrt((given.weight**2).sum(axis=1))
        room = given.largest / 8  # which `LinearMap.of` multiplies by again
        return cls(LinearMap.of(given.weight / lengths[:, None], given.bias / lengths, room))

    def points(self, codes: NDArray[np.floating]) -> NDArray[np.float32]:
        """Codes (n, d) as points on a sphere, (n, a) float32 of length one."""
        return _unit(self.map(codes))

    def point(self, wanted: NDArray[np.float64]) -> NDArray[np.float32]:
        """A direction (d,) as a point on that sphere, (1, a) float32."""
        return _unit((self.map.weight * wanted).sum(axis=1)[None])


def cells_for(objects: int) -> int:
    """Into how many cells the sphere is cut for so many objects: a power of two near their square root."""
    return int(min(MOST_CELLS, 2 ** max(0, int(np.log2(max(1.3 * objects**0.5, 1))))))


def centres_of(sample: NDArray[np.float32], cells: int) -> NDArray[np.float32]:
    """Centres (c, a) float32 of at most so many cells, from points (n, a) in an order that does not depend on where they lie: equal input gives equal bits."""
    seeds = np.unique(sample[: 2 * cells], axis=0, return_index=True)[1]
    return lloyd(sample, sample[np.sort(seeds)[:cells]], ITERATIONS)


def _unit(coordinates: NDArray[np.float64]) -> NDArray[np.float32]:
    lengths = np.sqrt((coordinates**2).sum(axis=1, keepdims=True))
    return (coordinates / np.maximum(lengths, 1e-30)).astype(np.float32)
