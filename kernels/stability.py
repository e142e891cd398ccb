"""How many groups the codes carry: what k-means of several numbers of groups is worth.

Sources: Hubert & Arabie 1985 (adjusted Rand index); Rousseeuw 1987 (silhouette); Davies & Bouldin 1979; Hennig 2007
(stability of one group); Lange et al. 2004 (agreement of disjoint halves).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import adjusted_rand_score, davies_bouldin_score, silhouette_score

from kernels.kmeans import distinct_rows, kmeans, lloyd
from kernels.nearest import direct_distances, finite_matrix, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["ROWS", "Stability", "judged", "most_groups", "stability"]

ROWS = 10_000
"""Objects that are looked at, at most."""
SPLITS = 5
"""Ways to part the objects into two halves."""
_FEWEST = 5  # objects of a half for each group: fewer say nothing of a group
_LEADING, _TOLERANCE = 2500, 1e-3  # of the fits of halves: ten times the tolerance of others agrees as well
_SAMPLE = 2000  # objects whose silhouettes are averaged: it takes the distances of all pairs


@dataclass(frozen=True, eq=False)
class Stability:
    """What k groups are worth.

    Attributes
    ----------
    groups
        k.
    agreement, spread
        Mean and standard deviation, over the splits, of the adjusted Rand index between two k-means, each fitted on one of two
        disjoint halves: 1 where both put all objects into the same groups, 0 where they agree as chance does.
    silhouette
        Mean over a sample, from -1 to 1: how much nearer objects are to their own group than to the next. NaN where the sample is of
        one group.
    davies_bouldin
        How wide groups are beside the distance to the group they are most like; lower is better. NaN likewise.
    smallest
        Share of the objects in the smallest group.
    jaccard
        (k,) float64, for each group: the part that it and the most similar group of another fit have in common of what
        both hold together, mean over the fits. Below about 0.5 a group dissolves, from 0.75 it is stable.
    """

    groups: int
    agreement: float
    spread: float
    silhouette: float
    davies_bouldin: float
    smallest: float
    jaccard: NDArray[np.float64]


def most_groups(codes: NDArray[np.floating], seed: int, enough: int) -> int:
    """The largest number of groups that halves of the codes (n, d) carry: five different objects each; counted up to `enough`."""
    halves = [half for split in _splits(_own_order(codes, seed), seed) for half in split]
    return min(distinct_rows(half, _FEWEST * enough) for half in halves) // _FEWEST


def stability(
    codes: NDArray[np.floating], numbers: Sequence[int], seed: int, fitted: NDArray[np.floating] | None = None
) -> list[Stability]:
    """Try several numbers of groups.

    Parameters
    ----------
    codes
        (n, d) finite; of more than `ROWS` rows a sample is taken.
    numbers
        Numbers of groups, each from 2 to `most_groups`.
    seed
        Of the sample, the halves and the k-means.
    fitted
        (k, d) centres of a k-means that is there already: silhouette, widths and sizes of k groups are those of its own groups.

    Returns
    -------
    list of Stability
        One a number. The order of the rows is of no account, and equal input gives equal bits.
    """
    rows = _own_order(codes, seed)
    splits, sample = list(_splits(rows, seed)), rows[:_SAMPLE].astype(np.float64)
    apart = direct_distances(sample, sample, squared=False)
    found = []
    for number in numbers:
        own = fitted if fitted is not None and len(fitted) == number else kmeans(rows, number, seed)
        labels = nearest(rows, own)
        fits = [[_fitted(half, number, seed) for half in split] for split in splits]
        pairs = [(nearest(rows, one), nearest(rows, other)) for one, other in fits]
        found.append(judged(number, rows, labels, pairs, apart))
    return found


def judged(
    groups: int,
    codes: NDArray[np.float32],
    labels: NDArray[np.int32],
    pairs: Sequence[tuple[NDArray[np.int32], NDArray[np.int32]]],
    apart: NDArray[np.float64],
) -> Stability:
    """What a partition is worth.

    Parameters
    ----------
    groups
        k.
    codes
        (n, d).
    labels
        (n,) groups of the objects, 0..k-1.
    pairs
        Two or more; of each two fits that have nothing in common, labels of all objects.
    apart
        (s, s) distances of the leading objects from each other.
    """
    agreed = [adjusted_rand_score(one, other) for one, other in pairs]
    sizes = np.bincount(labels, minlength=groups)
    common = [_jaccard(labels, other, groups) for pair in pairs for other in pair]
    return Stability(
        groups,
        float(np.mean(agreed)),
        float(np.std(agreed, ddof=1)),
        _silhouette(apart, labels[: len(apart)]),
        float(davies_bouldin_score(codes, labels)) if (sizes > 0).sum() > 1 else float("nan"),
        float(sizes.min() / len(codes)),
        np.mean(common, axis=0),
    )


def _own_order(codes: NDArray[np.floating], seed: int) -> NDArray[np.float32]:
    """Rows sorted by their values, then shuffled: in whatever order they came, they are the same matrix, and a leading part is a fair sample."""
    matrix = finite_matrix(codes, "codes").astype(np.float32, copy=False)
    shuffled = np.random.Generator(np.random.PCG64(seed & (2**64 - 1))).permutation(len(matrix))[:ROWS]
    return matrix[np.lexsort(matrix.T)[shuffled]]


def _splits(
    rows: NDArray[np.float32], seed: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Two disjoint halves, so many times."""
    for split in range(SPLITS):
        stream = np.random.SeedSequence([seed & (2**64 - 1), split])
        order = np.random.Generator(np.random.PCG64(stream)).permutation(len(rows))
        yield rows[order[: len(rows) // 2]], rows[order[len(rows) // 2 :]]


def _fitted(half: NDArray[np.float32], groups: int, seed: int) -> NDArray[np.float32]:
    """Centres of a k-means of one half: seedings compete on its leading rows, which agree as well and take half of the time."""
    leading = half[:_LEADING]
    if distinct_rows(leading, groups) < groups:
        leading = half
    centres = kmeans(leading, groups, seed, tolerance=_TOLERANCE)
    return lloyd(half, centres, stop=_TOLERANCE * float(half.var(axis=0, dtype=np.float64).mean()))


def _silhouette(apart: NDArray[np.float64], labels: NDArray[np.int32]) -> float:
    if not 1 < len(np.unique(labels)) < len(labels):
        return float("nan")
    return float(silhouette_score(apart, labels, metric="precomputed"))


def _jaccard(labels: NDArray[np.int32], others: NDArray[np.int32], groups: int) -> NDArray[np.float64]:
    """Largest Jaccard index of each group with a group of another fit, (groups,); 0 of a group without objects."""
    common = np.bincount(labels * groups + others, minlength=groups * groups).reshape(groups, groups)
    either = common.sum(axis=1)[:, None] + common.sum(axis=0) - common
    return (common / np.maximum(either, 1)).max(axis=1)
