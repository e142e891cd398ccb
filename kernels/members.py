"""The members of the vote: one fitted clusterer of one bag, reduced to labelled prototypes.

Every clusterer becomes the same thing, prototypes with labels, and labels any object by its nearest prototype. So a
member fitted on a bag can vote on every object of the release, and all members vote through one kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kernels.birch import Features, leaves
from kernels.families import FAMILIES, Family
from kernels.kmeans import distinct_rows, kmeans, lloyd, plus_plus
from kernels.nearest import finite_matrix, nearest
from kernels.ward import ward

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Member", "fit_member", "micro_clusters_of"]

_MICRO_CLUSTERS = 512


@dataclass(frozen=True, eq=False)
class Member:
    """One fitted clusterer.

    Attributes
    ----------
    family
        The clusterer's kind.
    bag
        Number of the bag it was fitted on.
    prototypes
        (p, d) float32.
    labels
        (p,) int32: the cluster, or after alignment the group, that each prototype stands for.
    """

    family: Family
    bag: int
    prototypes: NDArray[np.float32]
    labels: NDArray[np.int32]

    def __call__(self, codes: NDArray[np.floating]) -> NDArray[np.int32]:
        """Label of the nearest prototype of each row of codes (n, d)."""
        return self.labels[nearest(codes, self.prototypes)]


def fit_member(
    family: Family,
    codes: NDArray[np.floating],
    groups: int,
    seed: int,
    bag: int = 0,
    micro_clusters: int | None = None,
    exact_rows: int = 5000,
) -> Member:
    """Fit one member to one bag.

    Parameters
    ----------
    family
        "kmeans": k-means, `groups` prototypes.
        "birch": BIRCH leaves, their centres joined by unweighted Ward, as scikit-learn's ``Birch(n_clusters=...)``
        does: dense regions count no more than sparse ones, which is what sets this family's vote apart.
        "ward": Ward of the objects themselves up to `exact_rows` of them, beyond that of micro-clusters weighted
        by their counts.
    codes
        (n, d) finite, in canonical order (`kernels.bags.canonical_order`): the seeding and BIRCH depend on it.
    groups
        Number of clusters, 1 <= groups <= number of distinct codes.
    seed
        Of the draws; the bag's number is mixed in.
    bag
        Number of the bag.
    micro_clusters
        Prototypes of a BIRCH or large Ward member, about. At least `groups`; by default 512, or twice the groups where those are more.
    exact_rows
        Largest bag whose Ward is exact; costs n^2 float64.

    Returns
    -------
    Member
        Equal input gives equal bits, on any number of threads.

    Raises
    ------
    ValueError
        For NaN or infinity, an unknown family, or fewer (distinct) codes or micro-clusters than groups.
    """
    if family not in FAMILIES:
        raise ValueError(f"unknown family {family!r}: choose from {', '.join(FAMILIES)}")
    matrix = finite_matrix(codes, "codes").astype(np.float32, copy=False)
    if micro_clusters is None:
        micro_clusters = _MICRO_CLUSTERS if groups <= _MICRO_CLUSTERS else 2 * groups
    _check_enough(matrix, groups, micro_clusters)
    stream = int(np.random.SeedSequence([seed & (2**64 - 1), bag]).generate_state(1, np.uint64)[0])
    return Member(family, bag, *_FITS[family](_Bag(matrix, groups, stream, micro_clusters, exact_rows)))


class _Bag(NamedTuple):
    codes: NDArray[np.float32]
    groups: int
    seed: int
    micro_clusters: int
    exact_rows: int


Prototypes = tuple["NDArray[np.float32]", "NDArray[np.int32]"]


def _fit_kmeans(bag: _Bag) -> Prototypes:
    return kmeans(bag.codes, bag.groups, bag.seed), np.arange(bag.groups, dtype=np.int32)


def _fit_birch(bag: _Bag) -> Prototypes:
    features = leaves(bag.codes, bag.micro_clusters, least=bag.groups)
    labels = ward(features.centre, np.ones(len(features)), bag.groups)
    return features.centre.astype(np.float32), labels


def _fit_ward(bag: _Bag) -> Prototypes:
    if len(bag.codes) <= bag.exact_rows:
        return bag.codes.copy(), ward(bag.codes, np.ones(len(bag.codes)), bag.groups)
    features = micro_clusters_of(bag.codes, bag.micro_clusters, bag.seed)
    return features.centre.astype(np.float32), ward(features.centre, features.count, bag.groups)


_FITS: dict[Family, Callable[[_Bag], Prototypes]] = {
    "kmeans": _fit_kmeans,
    "birch": _fit_birch,
    "ward": _fit_ward,
}
"""How each family is fitted."""


def micro_clusters_of(codes: NDArray[np.float32], most: int, seed: int) -> Features:
    """Features of a fine k-means, the stand-ins for the objects of a large bag.

    Parameters
    ----------
    codes
        (n, d) finite.
    most
        Number of micro-clusters; fewer if there are fewer distinct codes.
    seed
        Of the seeding.

    Returns
    -------
    Features
        No empty ones; total count n. On a mixture without gaps (10,000 x 10, 20 groups) Ward of 512 of them agrees
        with Ward of the objects about as well (ARI 0.36) as that does with itself on nine objects of ten (0.4).
    """
    sample = codes[:: max(1, len(codes) // (16 * most))]
    wanted = distinct_rows(sample, most)
    if wanted < most:  # many copies of a few codes: the sample may miss the rest
        sample = codes
        wanted = distinct_rows(codes, most)
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 1])))
    # Ten rounds on a sample place the centres; two more on all rows settle them.
    centres = lloyd(codes, lloyd(sample, plus_plus(sample, wanted, generator), 10), 2)
    home = nearest(codes, centres)
    features = Features.of(codes)
    order = np.argsort(home, kind="stable")
    found, opens = np.unique(home[order], return_index=True)
    count = np.bincount(home, minlength=len(centres))[found].astype(np.float64)
    centre = np.add.reduceat(features.centre[order], opens, axis=0) / count[:, None]
    position = np.searchsorted(found, home[order])
    squared = ((features.centre[order] - centre[position]) ** 2).sum(axis=1)
    return Features(count, centre, np.add.reduceat(squared, opens))


def _check_enough(codes: NDArray[np.float32], groups: int, micro_clusters: int) -> None:
    if groups < 1:
        raise ValueError(f"groups must be positive, got {groups}")
    if len(codes) < groups:
        raise ValueError(f"{len(codes)} objects cannot make {groups} groups: use larger bags or fewer groups")
    if micro_clusters < groups:
        raise ValueError(f"{micro_clusters} micro-clusters cannot make {groups} groups: raise micro_clusters")
    distinct = distinct_rows(codes, groups)
    if distinct < groups:
        raise ValueError(
            f"only {distinct} distinct codes among {len(codes)} objects cannot make {groups} groups: "
            "the embeddings may have collapsed"
        )
