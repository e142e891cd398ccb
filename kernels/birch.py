"""BIRCH leaves in batches: clustering features, a radius test, and a threshold found from the data.

Source: Zhang, Ramakrishnan & Livny 1996. The paper inserts one point at a time into a tree; here whole blocks are
compared with all leaves at once, and each leaf takes the longest run of its nearest candidates that keeps it within
the threshold. The features are kept in centred form (Lang & Schubert 2020): the published linear and square sums
cancel catastrophically when the mean dwarfs the radius.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.nearest import direct_distances, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Features", "leaves"]

_BLOCK = 2048  # rows that meet the leaves at once
_SEEDS = 256  # leftovers among which new leaves are founded at once


@dataclass(frozen=True, eq=False)
class Features:
    """Clustering features of m clusters.

    Attributes
    ----------
    count
        (m,) float64, objects in each.
    centre
        (m, d) float64; the linear sum is ``count * centre``.
    scatter
        (m,) float64, summed squared distance of the objects from the centre.
    """

    count: NDArray[np.float64]
    centre: NDArray[np.float64]
    scatter: NDArray[np.float64]

    @classmethod
    def of(cls, codes: NDArray[np.floating]) -> Features:
        """Each row of codes (n, d) a cluster of its own."""
        return cls(np.ones(len(codes)), codes.astype(np.float64), np.zeros(len(codes)))

    def __len__(self) -> int:
        """Number of clusters."""
        return len(self.count)

    def __getitem__(self, index: NDArray[np.generic] | slice) -> Features:
        """Some of the clusters, by slice, mask or indices."""
        return Features(self.count[index], self.centre[index], self.scatter[index])

    def __add__(self, other: Features) -> Features:
        """Both lists of clusters, one after the other."""
        return Features(
            np.concatenate([self.count, other.count]),
            np.concatenate([self.centre, other.centre]),
            np.concatenate([self.scatter, other.scatter]),
        )

    def linear_sum(self) -> NDArray[np.float64]:
        """LS of the paper, (m, d)."""
        return self.count[:, None] * self.centre


def leaves(
    codes: NDArray[np.floating], most: int, *, threshold: float | None = None, least: int = 1
) -> Features:
    """Leaf clusters that hold all rows, none with a radius above a common threshold.

    Parameters
    ----------
    codes
        (n, d) finite, n >= 1, in canonical order.
    most
        Bound on the number of leaves while the threshold is free: whenever it is passed, the threshold grows and the
        leaves are inserted anew (section 5.1 of the paper), which leaves about half of `most` to all of it.
    threshold
        Largest radius, the root mean square distance of a leaf's objects from its centre. None finds it from the
        data, starting at 0; a number holds it fixed, and then the number of leaves is not bounded.
    least
        A growth of the threshold never leaves fewer than this (data that would need it exceed `most` instead).

    Returns
    -------
    Features
        Total count n. Equal input gives equal bits on any number of threads.
    """
    held = Features.of(codes[:0])
    square = 0.0 if threshold is None else threshold * threshold
    for start in range(0, len(codes), _BLOCK):
        block = Features.of(codes[start : start + _BLOCK])
        held, rest = _absorb(held, block, square)
        while len(rest):
            held, rest = held + _found(rest[:_SEEDS], square), rest[_SEEDS:]
            if threshold is None and len(held) > most:
                held, square, most = _coarsen(held, square, most, least)
            # What still waits meets the new leaves before it founds its own.
            held, rest = _absorb(held, rest, square)
    return held


def _absorb(held: Features, items: Features, square: float) -> tuple[Features, Features]:
    """Leaves with the items that could join, and the items that could not."""
    held, out = _join(held, items, square)
    return held, items[out]


def _join(held: Features, items: Features, square: float) -> tuple[Features, NDArray[np.intp]]:
    """Let each item join its nearest leaf while the leaf's squared radius stays within `square`.

    Items reach a leaf by rising distance. Prefix sums give the radius after every one of them; the first that breaks
    the threshold and all after it stay out. Returns the leaves and the positions of the items that stay out.
    """
    if len(held) == 0 or len(items) == 0:
        return held, np.arange(len(items))
    home = nearest(items.centre, held.centre)
    offset = items.centre - held.centre[home]
    squared = (offset * offset).sum(axis=1)
    order = np.lexsort((squared, home))
    home, offset, squared, ranked = home[order], offset[order], squared[order], items[order]
    opens = np.flatnonzero(np.r_[True, home[1:] != home[:-1]])
    length = np.diff(np.r_[opens, len(home)])

    def running(values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.cumsum(values, axis=0)
        before = np.concatenate([np.zeros_like(sums[:1]), sums[:-1]])[opens]
        return sums - np.repeat(before, length, axis=0)

    count = held.count[home] + running(ranked.count)
    shift = running(ranked.count[:, None] * offset)
    about = held.scatter[home] + running(ranked.scatter + ranked.count * squared)
    scatter = np.maximum(about - (shift * shift).sum(axis=1) / count, 0.0)
    fits = scatter <= square * count
    broken = np.cumsum(~fits)
    joins = (broken - np.repeat((broken - ~fits)[opens], length)) == 0

    last = opens + np.add.reduceat(joins.astype(np.intp), opens) - 1
    last = last[last >= opens]
    where = home[last]
    new_count, new_centre, new_scatter = held.count.copy(), held.centre.copy(), held.scatter.copy()
    new_count[where] = count[last]
    new_centre[where] += shift[last] / count[last, None]
    new_scatter[where] = scatter[last]
    return Features(new_count, new_centre, new_scatter), np.sort(order[~joins])


def _found(items: Features, square: float) -> Features:
    """Make new leaves of items: the first founds one, and so does each that would not fit an earlier founder.

    The others join the founders; those that find their leaf full begin the next round.
    """
    fits = _pair_radius(items) <= square
    left = np.arange(len(items))
    made = items[:0]
    while len(left):
        covered = np.zeros(len(items), dtype=np.bool_)
        founders = []
        for item in left:
            if not covered[item]:
                founders.append(item)
                covered |= fits[item]
        waiting = np.setdiff1d(left, founders, assume_unique=True)
        joined, out = _join(items[np.array(founders)], items[waiting], square)
        made, left = made + joined, waiting[out]
    return made


def _pair_radius(items: Features) -> NDArray[np.float64]:
    """Squared radius of the union of each pair, (m, m)."""
    count, other = items.count[:, None], items.count[None, :]
    distance = direct_distances(items.centre, items.centre)
    joint = items.scatter[:, None] + items.scatter[None, :] + count * other / (count + other) * distance
    return joint / (count + other)


def _coarsen(held: Features, square: float, most: int, least: int) -> tuple[Features, float, int]:
    """Raise the threshold until the leaves number at most `most`, but not fewer than `least`.

    The next threshold is the median, over the leaves, of the radius of a union with the best partner: about half of
    them find one. Where that joins next to nothing (full leaves side by side) it grows further; where leaves lie in
    tight clumps and it joins too many, lower quantiles are tried. If no step is small enough (equidistant points),
    the bound is doubled instead.
    """
    floor = max(least, most // 4)
    while len(held) > most:
        radius = _pair_radius(held)
        np.fill_diagonal(radius, np.inf)
        partner = np.sort(radius.min(axis=1))
        for share in (0.5, 0.25, 0.1, 0.02, 0.0):
            wider = max(float(partner[int(share * (len(partner) - 1))]), square) * (1.0 + 1e-12)
            fewer = _reinsert(held, wider)
            while len(fewer) > 0.95 * len(held):
                wider = max(1.25 * wider, float(partner[0]))
                fewer = _reinsert(held, wider)
            if len(fewer) >= floor:
                held, square = fewer, wider
                break
        else:
            most *= 2
    return held, square, most


def _reinsert(items: Features, square: float) -> Features:
    """Leaves made of leaves, under a wider threshold."""
    held, rest = items[:0], items
    while len(rest):
        held, rest = _absorb(held + _found(rest[:_SEEDS], square), rest[_SEEDS:], square)
    return held
