"""Medians by counting: tallies that can be added in any order, and give the same medians whatever the order was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DROPPED = 13
"""Bits of a float32 that are rounded away: ten bits of the fraction stay, so a value moves by 2^-11 of itself at most."""

_MIDDLE = 1 << 18
_LARGEST = int(np.float32(np.finfo(np.float32).max).view(np.int32)) >> DROPPED


@dataclass(frozen=True)
class Tally:
    """How often each value, rounded to ten bits of its fraction, stands in each group.

    What it holds grows with the distinct rounded values (1024 an octave and group), not with the objects.
    """

    codes: NDArray[np.int64]
    """(m,) group and value in one number, ascending, each once."""
    counts: NDArray[np.int64]
    """(m,) objects of each code."""

    @classmethod
    def of(cls, groups: NDArray[np.integer[Any]], values: NDArray[np.floating[Any]]) -> Tally:
        """Count values.

        Parameters
        ----------
        groups
            (n,) group of each value, from 0.
        values
            (n,) float. NaN, infinities and what is infinite in float32 are left out. n may be 0.
        """
        with np.errstate(over="ignore"):
            single = np.asarray(values).astype(np.float32)
        known = np.isfinite(single)
        codes = np.asarray(groups)[known].astype(np.int64) * (2 * _MIDDLE) + _keys(single[known]) + _MIDDLE
        found, counts = np.unique(codes, return_counts=True)
        return cls(found, counts.astype(np.int64))

    def __add__(self, other: Tally) -> Tally:
        """Both counts together; exact, so the order of additions does not matter."""
        found, place = np.unique(np.concatenate([self.codes, other.codes]), return_inverse=True)
        counts = np.zeros(len(found), np.int64)
        np.add.at(counts, place, np.concatenate([self.counts, other.counts]))
        return Tally(found, counts)

    def medians(self, groups: int) -> NDArray[np.float64]:
        """Median of each group, (groups,), NaN for a group without values.

        Each of the one or two middle values is known to 2^-11 (0.05 %) of itself; of an even number the mean of the
        two is taken, as NumPy does. Integers up to 2048 come back as they were.
        """
        edges = np.searchsorted(self.codes, np.arange(groups + 1, dtype=np.int64) * (2 * _MIDDLE))
        medians = np.full(groups, np.nan)
        for group in range(groups):
            mine = slice(edges[group], edges[group + 1])
            below = np.cumsum(self.counts[mine])
            if not len(below):
                continue
            middle = np.searchsorted(below, [(below[-1] - 1) // 2, below[-1] // 2], side="right")
            keys = self.codes[mine][middle] - group * (2 * _MIDDLE) - _MIDDLE
            medians[group] = _values(keys).mean()
        return medians


def _keys(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Integers in the order of the values, (n,): a float's bits ascend with its size, the sign stands apart."""
    bits = values.view(np.int32).astype(np.int64)
    size = np.minimum(((bits & 0x7FFFFFFF) + (1 << (DROPPED - 1))) >> DROPPED, _LARGEST)
    return np.where(bits < 0, -size, size)


def _values(keys: NDArray[np.int64]) -> NDArray[np.float64]:
    size = (np.abs(keys) << DROPPED).astype(np.int32).view(np.float32).astype(np.float64)
    return np.where(keys < 0, -size, size)
