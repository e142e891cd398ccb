"""How odd an object is: the distance from its code to the k-th nearest of a fixed sample of codes, and what share of that sample it exceeds.

The score of Ramaswamy, Rastogi & Shim (2000, SIGMOD 427), against a sample instead of against everything: its cost grows with the number of objects, not with its
square, as that of the local outlier factor does (Breunig et al. 2000, SIGMOD 93). Codes are taken along principal axes in units of the standard deviation: what differs
from galaxies differs along axes on which galaxies vary little. Distances are exact, since codes are put on a grid of whole numbers, so that a row's result
depends on no neighbour, batch, thread or BLAS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.linear_map import LinearMap
from kernels.moments import principal_components

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from kernels.moments import Moments

__all__ = ["NEIGHBOUR", "Oddness", "most_axes", "oddness_of"]

AXES = 64
"""At most, as many as predictors look along (`kernels.heads.domain`). Strangers among EFIGI were found better along 48 and 64 than along 10, 32 or 128."""
OBJECTS_AN_AXIS = 4
"""Along more axes than that, few objects spread less than others of their kind."""
NEIGHBOUR = 20
"""Which one the distance is to: more than a handful of strangers that are alike must not hide each other."""
MOST_CODES = 4096
"""Of the sample: what an object costs grows with it."""
LIMIT = 0.99
"""Distances are in units of that which one object in a hundred exceeds."""
_GRID = 16.0
"""Steps in a standard deviation."""
_REACH = 64.0, 250.0
"""Standard deviations beyond which codes of the sample, and of other objects, are drawn in towards the middle. Their product, on the grid, is below 2**22."""
_TABLE = 1 << 18
"""Distances in memory at once, 1 MiB: what a core's cache holds."""


@dataclass(frozen=True, eq=False)
class Oddness:
    """A sample of codes, and how far apart they lie.

    Attributes
    ----------
    axes
        From codes (n, d) to coordinates (n, a), in standard deviations.
    codes
        (m, a) float32, whole numbers: coordinates of the sample on the grid.
    distances
        (m,) float64, ascending: of each to its k-th nearest other one, in steps of the grid.
    """

    axes: LinearMap
    codes: NDArray[np.float32]
    distances: NDArray[np.float64]

    def __call__(self, codes: NDArray[np.floating]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """How odd codes (n, d) are; n may be 0.

        Returns
        -------
        anomaly, distance : (n,) float32
            Percentile of the distance among those of the sample, 0 to 100, and the distance in units of that which one object in a hundred exceeds. A code that
            is one of the sample's is compared with the others: it has the distance that it has there.
        """
        found = _kth(_on_grid(self.axes(codes), _REACH[1]), self.codes)
        steps = (np.arange(len(self.distances)) + 0.5) / len(self.distances)
        limit = max(float(np.quantile(self.distances, LIMIT)), 1.0)
        return (
            (100 * np.interp(found, self.distances, steps)).astype(np.float32),
            (found / limit).astype(np.float32),
        )

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """As safetensors store it, under names of its own."""
        axes = {f"oddness.axes.{name}": value for name, value in self.axes.to_arrays().items()}
        return {**axes, "oddness.codes": self.codes, "oddness.distances": self.distances}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Oddness:
        """Inverse of `to_arrays`; other arrays beside its own are left alone."""
        axes = {name: arrays[f"oddness.axes.{name}"] for name in ("weight", "bias", "grid")}
        return cls(
            LinearMap.from_arrays(axes),
            arrays["oddness.codes"].astype(np.float32),
            arrays["oddness.distances"].astype(np.float64),
        )


def most_axes(objects: int, features: int) -> int:
    """How many principal axes codes of so many objects are taken along."""
    return min(AXES, features, max(1, objects // OBJECTS_AN_AXIS))


def oddness_of(moments: Moments, sample: NDArray[np.floating], largest: float) -> Oddness:
    """The oddness of a release.

    Parameters
    ----------
    moments
        Of the codes of all its objects.
    sample
        (m, d) codes of some of them, m >= 2, in an order that does not depend on what they are like: the first 4,096 are kept.
    largest
        Largest absolute value in the codes.
    """
    found = principal_components(moments, most_axes(moments.count, len(moments.first)))
    spread = np.sqrt(found.variances)
    varied = spread > 1e-6 * spread[0]
    weight = found.axes[varied] / spread[varied, None]
    axes = LinearMap.of(weight, -(weight * found.mean).sum(axis=1), largest)
    codes = _on_grid(axes(sample[:MOST_CODES]), _REACH[0])
    return Oddness(axes, codes, np.sort(_kth(codes, codes)))


def _on_grid(coordinates: NDArray[np.float64], reach: float) -> NDArray[np.float32]:
    """Coordinates (n, a) on the grid, those of rows beyond the reach drawn in."""
    length = np.sqrt((coordinates**2).sum(axis=1, keepdims=True))
    within = np.minimum(1.0, reach / np.maximum(length, 1.0))
    return np.rint(coordinates * within * _GRID).astype(np.float32)


def _kth(rows: NDArray[np.float32], codes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Distance of each row (n, a) to the k-th nearest code (m, a), one code that is equal to it left out, (n,) in steps of the grid.

    All are whole numbers. Of |x - c|^2 = |x|^2 + (|c|^2 - 2 x.c), no partial sum of the product exceeds |x| |c| < 2**22 by Cauchy and Schwarz, and the bracket is below
    2**24: float32 holds them exactly, whatever the order of summation.
    """
    from kernels.smallest import smallest  # noqa: PLC0415 - loads a compiler

    place = min(NEIGHBOUR, len(codes) - 1)
    lengths = (codes.astype(np.float64) ** 2).sum(axis=1)
    table = np.ascontiguousarray(-2.0 * codes.T)
    norms = lengths.astype(np.float32)
    found = np.empty(len(rows))
    step = max(16, _TABLE // len(codes))
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        scores = block @ table
        scores += norms
        least = smallest(scores, place + 1)
        own = (block.astype(np.float64) ** 2).sum(axis=1)
        chosen = np.where(least[:, 0] + own == 0, least[:, place], least[:, place - 1])
        found[start : start + step] = np.sqrt(np.maximum(chosen + own, 0))
    return found
