"""k-means: k-means++ seeding, then Lloyd's iterations with exact assignments.

Sources: Lloyd 1982; Arthur & Vassilvitskii 2007 (seeding).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernels.nearest import direct_distances, nearest, squared_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["distinct_rows", "kmeans", "lloyd", "plus_plus"]

_SAMPLE = 8192  # rows on which restarts compete


def distinct_rows(codes: NDArray[np.floating], enough: int) -> int:
    """Number of distinct rows, counted no further than `enough`.

    Looks at ever longer leading parts, so that ordinary data cost next to nothing.
    """
    taken, found = 4 * enough, 0
    while True:
        found = len(np.unique(codes[:taken], axis=0)) if len(codes) else 0
        if found >= enough or taken >= len(codes):
            return min(found, enough)
        taken *= 8


def kmeans(
    codes: NDArray[np.float32],
    groups: int,
    seed: int,
    *,
    restarts: int = 4,
    iterations: int = 300,
    tolerance: float = 1e-4,
) -> NDArray[np.float32]:
    """Centres of the k-means groups.

    Parameters
    ----------
    codes
        (n, d) finite, with at least `groups` distinct rows. Rows in random (canonical) order.
    groups
        k.
    seed
        Of the seeding.
    restarts
        Seedings that compete, each iterated to convergence on (at most) 8192 rows spread evenly over the codes; the
        one with the least scatter goes on to all rows.
    iterations, tolerance
        Stop when no centre moves, when the summed squared movement is below `tolerance` times the mean variance of
        the dimensions (the convention of scikit-learn), or after so many iterations.

    Returns
    -------
    ndarray
        (k, d) float32. Equal input gives equal bits on any number of threads.
    """
    sample = codes[:: max(1, -(-len(codes) // _SAMPLE))]
    if distinct_rows(sample, groups) < groups:
        sample = codes
    stop = tolerance * float(sample.var(axis=0, dtype=np.float64).mean())
    best, least = None, np.inf
    for restart in range(restarts):
        generator = np.random.Generator(
            np.random.PCG64(np.random.SeedSequence([seed & (2**64 - 1), restart]))
        )
        trials = 2 + int(np.log(groups))
        centres = lloyd(sample, plus_plus(sample, groups, generator, trials), iterations, stop)
        scatter = float(squared_distances(sample, centres[nearest(sample, centres)]).sum())
        if best is None or scatter < least:
            best, least = centres, scatter
    assert best is not None
    return best if len(sample) == len(codes) else lloyd(codes, best, iterations, stop)


def plus_plus(
    codes: NDArray[np.float32], groups: int, generator: np.random.Generator, trials: int = 1
) -> NDArray[np.float32]:
    """Seeds drawn with probability proportional to the squared distance from the seeds so far.

    With `trials` > 1 the best of several draws is taken each time (the greedy variant of section 5 of the paper).
    Returns (groups, d) float32, distinct rows of `codes`.
    """
    chosen = np.empty(groups, dtype=np.intp)
    chosen[0] = generator.integers(len(codes))
    wide = codes.astype(np.float64)
    gap = direct_distances(wide[chosen[:1]], wide)[0]
    for position in range(1, groups):
        ladder = np.cumsum(gap)
        if ladder[-1] <= 0.0:
            raise ValueError(f"only {position} distinct codes for {groups} groups: ask for fewer groups")
        # side="right" never lands on a row of weight zero, that is on a copy of a seed
        draws = np.searchsorted(ladder, generator.random(trials) * ladder[-1], side="right")
        draws = np.minimum(draws, np.searchsorted(ladder, ladder[-1]))
        gaps = np.minimum(direct_distances(wide[draws], wide), gap)
        best = int(gaps.sum(axis=1).argmin())
        chosen[position], gap = draws[best], gaps[best]
    return codes[chosen]


def lloyd(
    codes: NDArray[np.float32], centres: NDArray[np.float32], iterations: int = 300, stop: float = 0.0
) -> NDArray[np.float32]:
    """Lloyd's iterations from given centres.

    Parameters
    ----------
    codes
        (n, d) finite.
    centres
        (k, d).
    iterations
        At most so many.
    stop
        Stop when the summed squared movement of the centres is not above this.

    Returns
    -------
    ndarray
        (k, d) float32. A centre that loses all its rows moves to the row that lies farthest from its own centre.
    """
    centres = centres.astype(np.float32, copy=True)
    wide = codes.astype(np.float64)
    for _ in range(iterations):
        labels = nearest(codes, centres)
        counts = np.bincount(labels, minlength=len(centres))
        moved = (_sums(wide, labels, len(centres)) / np.maximum(counts, 1)[:, None]).astype(np.float32)
        vacant = bool((counts == 0).any())
        if vacant:
            # One at a time: the two farthest rows may be copies of each other. The others keep their place and wait.
            moved[counts == 0] = centres[counts == 0]
            moved[counts.argmin()] = codes[squared_distances(codes, centres[labels]).argmax()]
        shift = float(squared_distances(moved, centres).sum())
        centres = moved
        if shift <= stop and not vacant:
            break
    return centres


def _sums(wide: NDArray[np.float64], labels: NDArray[np.int32], groups: int) -> NDArray[np.float64]:
    """Sum of the rows of each label, (groups, d), one row after the other and so in one order always."""
    from scipy import sparse  # noqa: PLC0415

    pointer = np.arange(len(labels) + 1, dtype=np.int32)
    members = sparse.csc_matrix((np.ones(len(labels)), labels, pointer), shape=(groups, len(labels)))
    return members @ wide
