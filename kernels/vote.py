"""The vote: members aligned to one reference, every object judged by all of them.

The published vote (arXiv 2501.00380, its code's ``get_final_result.py``) intersects lists of objects label by label.
Two of its faults cannot occur here, because every member casts exactly one vote on every object: clusters that map
to the same group vote for it together instead of overwriting each other, and a group that no cluster of a member
maps to gets no vote of that member instead of passing unchecked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kernels.families import FAMILIES, Family
from kernels.nearest import direct_distances, finite_matrix, nearest, nearest_in_segments
from kernels.rules import RULES, Rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from kernels.members import Member

__all__ = ["Ballot", "Ensemble", "align", "count_votes", "ensemble", "kept", "vote", "winner"]

_ROWS = 8192  # rows counted at once: the tables of distances and counts stay in the cache
_VOTES = 0.25  # of a share comes from the members' votes


@dataclass(frozen=True, eq=False)
class Ensemble:
    """All aligned members in one stack.

    Attributes
    ----------
    prototypes
        (p, d) float32, member after member.
    labels
        (p,) int16, the group each stands for.
    starts
        (m + 1,) int64; member i owns ``prototypes[starts[i]:starts[i + 1]]``.
    families
        m names.
    centres
        (groups, d) float32, the reference's centres; group g is the one around centre g.
    bags
        (m,) int32, the bag that each member was fitted on.
    """

    prototypes: NDArray[np.float32]
    labels: NDArray[np.int16]
    starts: NDArray[np.int64]
    families: tuple[Family, ...]
    centres: NDArray[np.float32]
    bags: NDArray[np.int32]

    @property
    def groups(self) -> int:
        """Number of groups."""
        return len(self.centres)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """All fields as arrays, as safetensors stores them; families as positions in ``members.FAMILIES``."""
        return {
            "prototypes": self.prototypes,
            "labels": self.labels,
            "starts": self.starts,
            "families": np.array([FAMILIES.index(family) for family in self.families], dtype=np.uint8),
            "centres": self.centres,
            "bags": self.bags,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Ensemble:
        """Inverse of `to_arrays`."""
        return cls(
            prototypes=np.asarray(arrays["prototypes"], dtype=np.float32),
            labels=np.asarray(arrays["labels"], dtype=np.int16),
            starts=np.asarray(arrays["starts"], dtype=np.int64),
            families=tuple(FAMILIES[int(code)] for code in np.asarray(arrays["families"], dtype=np.int64)),
            centres=np.asarray(arrays["centres"], dtype=np.float32),
            bags=np.asarray(arrays["bags"], dtype=np.int32),
        )


@dataclass(frozen=True, eq=False)
class Ballot:
    """The members' votes on n objects.

    Attributes
    ----------
    group
        (n,) int16, the group with most votes.
    agreement
        (n,) float32, votes for it over all members.
    runner_up
        (n,) masked int16, the group with the second most votes; masked where all members agree.
    distance
        (n,) float32, from the object to the reference centre of its group, in the units of the codes.
    family_groups
        For each family present (n,) int16: the group with most votes within it.
    reference_group
        (n,) int16, the group of the nearest reference centre: what a single k-means says.
    shares
        (n, groups) float32, a quarter of each from the members' votes, the rest from the distances to the reference centres
        (memberships of fuzzy c-means with fuzzifier 2, Bezdek 1981); a row sums to 1. The weights were chosen on EFIGI and GZ1.
    """

    group: NDArray[np.int16]
    agreement: NDArray[np.float32]
    runner_up: np.ma.MaskedArray
    distance: NDArray[np.float32]
    family_groups: dict[Family, NDArray[np.int16]]
    reference_group: NDArray[np.int16]
    shares: NDArray[np.float32]


def align(members: Sequence[Member], reference: Member, codes: NDArray[np.floating]) -> list[Member]:
    """Rename the clusters of every member to the groups of a reference.

    Parameters
    ----------
    members
        As fitted.
    reference
        A k-means member fitted on the pilot; its cluster g is group g.
    codes
        (n, d) codes of the pilot, n >= 1.

    Returns
    -------
    list of Member
        With group ids as labels. A cluster takes the group that most of the pilot objects in it hold (the lowest id
        among equals; several clusters may take the same one). A cluster without pilot objects takes the group of the
        reference centre nearest to the mean of its prototypes.
    """
    if reference.family != "kmeans":
        raise ValueError(f"the reference must be a k-means member, got {reference.family!r}")
    pilot = finite_matrix(codes, "codes")
    if len(pilot) == 0:
        raise ValueError("alignment needs pilot objects, got none")
    groups = len(reference.prototypes)
    held = reference(pilot)
    aligned = []
    for member in members:
        clusters = int(member.labels.max()) + 1
        table = np.bincount(member(pilot) * groups + held, minlength=clusters * groups).reshape(
            clusters, groups
        )
        renamed = table.argmax(axis=1).astype(np.int32)
        for cluster in np.flatnonzero(table.sum(axis=1) == 0):
            own = member.prototypes[member.labels == cluster]
            if len(own):
                middle = own.mean(axis=0, dtype=np.float64, keepdims=True)
                renamed[cluster] = reference.labels[nearest(middle, reference.prototypes)[0]]
        aligned.append(replace(member, labels=renamed[member.labels]))
    return aligned


def ensemble(members: Sequence[Member], reference: Member) -> Ensemble:
    """Stack aligned members (at least one) and the reference's centres for `vote`."""
    if not members:
        raise ValueError("an ensemble needs at least one member")
    groups = len(reference.prototypes)
    labels = np.concatenate([member.labels for member in members])
    if labels.min() < 0 or labels.max() >= groups:
        raise ValueError(
            f"labels reach from {labels.min()} to {labels.max()} for {groups} groups: align first"
        )
    centres = np.empty_like(reference.prototypes)
    centres[reference.labels] = reference.prototypes
    return Ensemble(
        prototypes=np.concatenate([member.prototypes for member in members]),
        labels=labels.astype(np.int16),
        starts=np.cumsum([0, *(len(member.labels) for member in members)], dtype=np.int64),
        families=tuple(member.family for member in members),
        centres=centres,
        bags=np.array([member.bag for member in members], dtype=np.int32),
    )


def vote(codes: NDArray[np.floating], ensemble: Ensemble) -> Ballot:
    """Let every member vote on every object.

    Parameters
    ----------
    codes
        (n, d) finite; n may be 0.
    ensemble
        From `ensemble`.

    Returns
    -------
    Ballot
        A row depends on its own code only: not on its neighbours, the batch, the threads or the BLAS, because
        matrix products only nominate and float64 differences decide (`kernels.nearest`). Between groups with equal
        votes the one with the nearer reference centre wins, then the lowest id.
    """
    matrix = finite_matrix(codes, "codes")
    groups, total = ensemble.groups, len(ensemble.families)
    labels = ensemble.labels[nearest_in_segments(matrix, ensemble.prototypes, ensemble.starts)]
    columns = {
        family: np.flatnonzero([own == family for own in ensemble.families])
        for family in FAMILIES
        if family in ensemble.families
    }
    group, second, reference = (np.empty(len(matrix), dtype=np.int16) for _ in range(3))
    agreement, distance = (np.empty(len(matrix), dtype=np.float32) for _ in range(2))
    unopposed = np.empty(len(matrix), dtype=np.bool_)
    shares = np.empty((len(matrix), groups), dtype=np.float32)
    family_groups: dict[Family, NDArray[np.int16]] = {
        family: np.empty(len(matrix), dtype=np.int16) for family in columns
    }
    centres = ensemble.centres.astype(np.float64)
    for start in range(0, len(matrix), _ROWS):
        part = slice(start, start + _ROWS)
        squared = direct_distances(matrix[part].astype(np.float64), centres)
        every = np.arange(len(squared))
        reference[part] = squared.argmin(axis=1)
        counts = np.zeros(squared.shape, dtype=np.int16)
        for family, own in columns.items():
            cast = count_votes(labels[part, own], groups)
            family_groups[family][part] = winner(cast, squared)
            counts += cast
        shares[part] = _VOTES * counts / np.float64(total) + (1.0 - _VOTES) * _memberships(squared)
        won = winner(counts, squared)
        group[part] = won
        agreement[part] = counts[every, won] / np.float64(total)
        distance[part] = np.sqrt(squared[every, won])
        counts[every, won] = 0
        unopposed[part] = counts.max(axis=1) == 0
        second[part] = winner(counts, squared)
    second[unopposed] = 0
    runner_up = np.ma.array(second, mask=unopposed)
    return Ballot(group, agreement, runner_up, distance, family_groups, reference, shares)


def kept(values: NDArray[np.floating], rule: Rule, threshold: float = 1.0) -> NDArray[np.bool_]:
    """Objects whose group counts as settled, (n,) bool.

    Parameters
    ----------
    values
        (n,) what the rule goes by: agreements from `Ballot`, or confidences from `kernels.confidence`; NaN (an object nobody
        voted on) is never kept.
    rule
        "unanimous": every member voted for the group. The others: the value is at least `threshold`.
    threshold
        Within (0, 1]; compared in float32, as agreements are, so that 0.7 means 7 members of 10.
    """
    if rule == "unanimous":
        return values == 1.0
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}: choose from {', '.join(RULES)}")
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"the threshold must lie within (0, 1], got {threshold}")
    return values >= np.float32(threshold)


def _memberships(squared: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse squared distances, (n, groups), each row over its sum; a row on a centre is all of that."""
    least = squared.min(axis=1, keepdims=True)
    inverse = np.divide(least, squared, out=np.ones_like(squared), where=squared > least)
    return inverse / inverse.sum(axis=1, keepdims=True)


def count_votes(labels: NDArray[np.int16], groups: int) -> NDArray[np.int16]:
    """Votes for each group, (n, groups), from one label a member, (n, m)."""
    cells = labels + np.arange(len(labels), dtype=np.int64)[:, None] * groups
    return np.bincount(cells.ravel(), minlength=len(labels) * groups).reshape(-1, groups).astype(np.int16)


def winner(counts: NDArray[np.int16], squared: NDArray[np.float64]) -> NDArray[np.intp]:
    """Group with most votes; among equals the nearest centre, then the lowest id."""
    leading = counts == counts.max(axis=1, keepdims=True)
    won = leading.argmax(axis=1)
    tied = np.flatnonzero(leading.sum(axis=1) > 1)
    won[tied] = np.where(leading[tied], squared[tied], np.inf).argmin(axis=1)
    return won
