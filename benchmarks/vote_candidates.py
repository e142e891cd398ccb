"""Other ways to group and rank than the vote's: co-association, HDBSCAN, UMAP before the vote, and a second encoder.

Every way takes a `Sample` and a setting, and returns rankings: for each score a group and a number for every object. Ways know no labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist, squareform
from scipy.stats import rankdata
from sklearn.cluster import HDBSCAN

from benchmarks.vote_rules import BRANCHES, apart, drawer, margin
from benchmarks.votes import BAGS, COMPONENTS, GROUPS
from kernels.bags import bag_masks, canonical_order, in_pilot, inclusion, stratify
from kernels.confidence import branches, share_of
from kernels.families import FAMILIES
from kernels.members import fit_member
from kernels.moments import fixed_point_exponent, moments, principal_components, project
from kernels.vote import count_votes, vote

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from kernels.members import Member

Rankings = dict[str, tuple["NDArray", "NDArray"]]
"""Score: groups and scores of all objects."""
CORE_SIZES = (3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40)
"""Smallest clusters of HDBSCAN, among which the one is taken that finds nearly `GROUPS` of them."""


@dataclass(frozen=True)
class Sample:
    """All galaxies of a set, as one seed votes on them."""

    values: NDArray[np.float32]
    """(n, 320) galaxy-atto's embeddings."""
    second: NDArray[np.float32] | None
    """(n, 1280) those of a second encoder, if it is installed."""
    ids: NDArray
    seed: int
    store: Path
    """Where coordinates that took long are kept; named after the set."""

    @cached_property
    def codes(self) -> NDArray[np.float32]:
        """(n, 10), as the vote has them."""
        return reduced(self.values, COMPONENTS)

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """Canonical order."""
        return canonical_order(self.ids, self.seed)

    def masks(self, codes: NDArray) -> NDArray[np.bool_]:
        """(bags, n), which object is in which bag."""
        strata = stratify(codes[self.order], seed=self.seed)
        rates = inclusion(strata.shares, len(self.ids), 100_000)
        return bag_masks(self.ids, codes, strata, rates, BAGS, self.seed)


def reduced(values: NDArray[np.float32], components: int) -> NDArray[np.float32]:
    """Principal components of all rows, as a run makes them."""
    exponent = fixed_point_exponent(float(np.abs(values).max()))
    return project(values, principal_components(moments(values, exponent), components))


def default(sample: Sample, codes: NDArray[np.float32] | None = None) -> Rankings:
    """The vote as it is, on the sample's codes or on others."""
    codes = sample.codes if codes is None else codes
    members = drawer(codes, sample.ids, sample.seed)(sample.seed)
    ballot = vote(codes, members)
    level = branches(members, codes[sample.order], BRANCHES)
    return {
        "share of the group": (ballot.group, share_of(ballot, np.arange(GROUPS))),
        "share of the branch": (ballot.group, share_of(ballot, level)),
    }


def single(sample: Sample) -> Rankings:
    """One k-means, by its margin between branches."""
    members = drawer(sample.codes, sample.ids, sample.seed)(sample.seed)
    level = branches(members, sample.codes[sample.order], BRANCHES)
    squared = cdist(sample.codes.astype(float), members.centres.astype(float), "sqeuclidean")
    return {"margin between branches": (squared.argmin(axis=1), margin(apart(squared, level)))}


def co_association(sample: Sample, clusters: int, families: int, of: str) -> Rankings:
    """Fine clusters of every bag, merged by average linkage of how often objects share one (Fred & Jain 2005).

    `of` objects: the tree is of all pairs of objects. `of` clusters: of pairs of clusters, each by the mean of its objects; an object is in
    the group with most votes. Shares: of an object's clusters, the mean of how much of each is in the group.
    """
    codes, order = sample.codes, sample.order
    members = [
        fit_member(family, codes[order[mask[order]]], clusters, sample.seed + 1 + bag, bag)
        for bag, mask in enumerate(sample.masks(codes))
        for family in FAMILIES[:families]
    ]
    homes = np.stack([member(codes) + clusters * place for place, member in enumerate(members)], axis=1)
    inside = np.zeros((len(codes), clusters * len(members)), np.float32)
    np.put_along_axis(inside, homes, 1.0, axis=1)
    inside = inside[:, inside.any(axis=0)]
    together = inside @ inside.T / len(members)
    if of == "objects":
        fine, coarse = _merged(1 - together)
    else:
        sizes = inside.sum(axis=0)
        merged = _merged(1 - inside.T @ together @ inside / np.outer(sizes, sizes))
        fine, coarse = (_elected(inside, labels) for labels in merged)
    shares = [_shares_of_clusters(inside, labels) for labels in (fine, coarse)]
    every = np.arange(len(codes))
    return {
        "share of the group": (fine, shares[0][every, fine]),
        "share of the branch": (fine, shares[1][every, coarse]),
    }


def _merged(distances: NDArray) -> NDArray[np.intp]:
    """Average linkage of a matrix of distances, cut into groups and into branches, (2, n)."""
    symmetric = np.clip((distances + distances.T) / 2, 0, None)
    np.fill_diagonal(symmetric, 0)
    tree = linkage(squareform(symmetric, checks=False), "average")
    return cut_tree(tree, [GROUPS, BRANCHES]).T


def _elected(inside: NDArray[np.float32], labels: NDArray) -> NDArray[np.intp]:
    return (inside @ np.eye(labels.max() + 1, dtype=np.float32)[labels]).argmax(axis=1)


def _shares_of_clusters(inside: NDArray[np.float32], groups: NDArray) -> NDArray[np.float32]:
    """(n, groups) mean over an object's clusters of the share of their objects that is in each group."""
    of_cluster = inside.T @ np.eye(groups.max() + 1, dtype=np.float32)[groups]
    of_cluster /= inside.sum(axis=0)[:, None]
    return inside @ of_cluster / inside[0].sum()


def cores(sample: Sample, neighbours: int, size: int | None) -> Rankings:
    """HDBSCAN on the vote's components."""
    return {"probability": _cores_of(sample.codes, neighbours, size)}


def bagged_cores(sample: Sample, neighbours: int, size: int) -> Rankings:
    """The vote's groups, ranked by HDBSCAN of every bag, and by the mean rank in that and in the share of the branch."""
    density = bagged_probabilities(sample, neighbours, size)
    groups, share = default(sample)["share of the branch"]
    return {
        "probability": (groups, density),
        "probability and share of the branch": (groups, rankdata(density) + rankdata(share)),
    }


def bagged_probabilities(sample: Sample, neighbours: int, size: int) -> NDArray[np.float64]:
    """Mean over bags of the probability that HDBSCAN gives to the nearest object in each, (n,)."""
    total = np.zeros(len(sample.ids))
    for mask in sample.masks(sample.codes):
        own = sample.codes[mask]
        total += _hdbscan(own, neighbours, size, "eom").probabilities_[cKDTree(own).query(sample.codes)[1]]
    return total / BAGS


def _cores_of(codes: NDArray, neighbours: int, size: int | None) -> tuple[NDArray, NDArray]:
    """Groups and scores of HDBSCAN. What is in no core comes last, the nearer to one the earlier, and in that one's group.

    Size None: the leaves of its tree, as nearly `GROUPS` of them as can be had.
    """
    if size is None:
        found = _hdbscan(codes, neighbours, _size_of_leaves(codes, neighbours), "leaf")
    else:
        found = _hdbscan(codes, neighbours, size, "eom")
    core = found.labels_ >= 0
    if not core.any():
        return np.zeros(len(codes), np.intp), np.zeros(len(codes))
    gap, nearest = cKDTree(codes[core]).query(codes)
    return found.labels_[core][nearest], np.where(core, found.probabilities_, -gap)


def _size_of_leaves(codes: NDArray, neighbours: int) -> int:
    """The smallest cluster's size with which there are nearly `GROUPS` leaves."""
    leaves = {size: _hdbscan(codes, neighbours, size, "leaf").labels_.max() + 1 for size in CORE_SIZES}
    return min(leaves, key=lambda size: abs(leaves[size] - GROUPS))


def _hdbscan(codes: NDArray, neighbours: int, size: int, method: str) -> Any:
    return HDBSCAN(
        min_cluster_size=size, min_samples=neighbours, cluster_selection_method=method, copy=True
    ).fit(codes.astype(float))


def manifold(sample: Sample, components: int, pilot: float) -> Rankings:
    """UMAP, fitted on a share of the objects and applied to the others, before the vote."""
    return default(sample, umap_codes(sample, components, pilot))


def manifold_cores(sample: Sample, components: int, size: int | None) -> Rankings:
    """HDBSCAN on UMAP's coordinates."""
    return {"probability": _cores_of(umap_codes(sample, components, 1.0), 10, size)}


def umap_codes(sample: Sample, components: int, pilot: float) -> NDArray[np.float32]:
    """(n, components) coordinates of UMAP; made once."""
    name = f"{sample.store.name}-umap-{sample.seed}-{components}-{pilot:g}.npy"
    file = sample.store.with_name(name)
    if not file.exists():
        import umap  # takes seconds, and is an extra

        total = len(sample.ids)
        known = in_pilot(sample.ids, total, round(pilot * total), sample.seed)
        net = umap.UMAP(
            n_neighbors=15,
            n_components=components,
            min_dist=0.0,
            n_epochs=200,  # as UMAP does with more than 10,000 objects
            random_state=sample.seed,
            n_jobs=1,
        )
        found = np.empty((total, components), np.float32)
        found[known] = net.fit_transform(sample.values[known])
        if not known.all():
            found[~known] = net.transform(sample.values[~known])
        np.save(file, found)
    return np.load(file)


def both_components(sample: Sample, weight: float, each: bool) -> Rankings:
    """Components of two encoders side by side; `each` of them standardised, or each encoder's as a whole; the second's times a weight."""
    first, second = sample.codes, second_codes(sample)
    spread = [codes.std(axis=0) if each else np.sqrt(codes.var(axis=0).sum()) for codes in (first, second)]
    return default(sample, np.hstack([first / spread[0], weight * second / spread[1]]).astype(np.float32))


def second_alone(sample: Sample) -> Rankings:
    """The vote on the second encoder's components."""
    return default(sample, second_codes(sample))


def second_codes(sample: Sample) -> NDArray[np.float32]:
    """(n, 10) components of the second encoder."""
    assert sample.second is not None
    return reduced(sample.second, COMPONENTS)


def both_members(sample: Sample, weight: float) -> Rankings:
    """Members of two encoders, each voting in its own components, aligned to one reference: that of the first.

    Shares are means, with a weight of the second encoder's; the groups are those of most share, or the first encoder's.
    """
    codes, other, order = sample.codes, second_codes(sample), sample.order
    ensemble = drawer(codes, sample.ids, sample.seed)(sample.seed)
    ballot = vote(codes, ensemble)
    members = [
        fit_member(family, other[order[mask[order]]], GROUPS, sample.seed + 1 + bag, bag)
        for bag, mask in enumerate(sample.masks(codes))
        for family in FAMILIES
    ]
    shares = (1 - weight) * ballot.shares + weight * _shares_elsewhere(other, members, ballot.reference_group)
    level = branches(ensemble, codes[order], BRANCHES)
    every, voted = np.arange(len(codes)), shares.argmax(axis=1)
    of_branch = np.stack([shares[:, level == place].sum(axis=1) for place in range(level.max() + 1)], axis=1)
    return {
        "share of the group": (voted, shares[every, voted]),
        "share of the branch": (voted, of_branch[every, level[voted]]),
        "share of the branch, groups of the first": (ballot.group, of_branch[every, level[ballot.group]]),
    }


def _shares_elsewhere(codes: NDArray, members: list[Member], reference: NDArray) -> NDArray:
    """What `kernels.vote` calls shares, in other codes than the reference's: clusters take the group that most of their objects are in."""
    cast = []
    for member in members:
        held = member(codes)
        table = np.bincount(held * GROUPS + reference, minlength=GROUPS * GROUPS).reshape(GROUPS, GROUPS)
        cast.append(table.argmax(axis=1)[held])
    counts = count_votes(np.stack(cast, axis=1).astype(np.int16), GROUPS)
    centres = np.stack([codes[reference == group].mean(axis=0) for group in range(GROUPS)])
    inverse = 1 / np.maximum(cdist(codes.astype(float), centres, "sqeuclidean"), 1e-12)
    return 0.25 * counts / len(members) + 0.75 * inverse / inverse.sum(axis=1, keepdims=True)
