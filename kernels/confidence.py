"""How sure a vote is: shares of the votes, branches of the groups' tree, and the probability that other bags would agree.

Hard votes rank objects coarsely, and members of one kind err alike; distances rank them finely, and know nothing of how far borders
move from bag to bag. A share (`kernels.vote.Ballot.shares`) is made of both. What it is worth is found out on the pilot: (b - 1) / 2 of b bags, drawn
with replacement, scatter as much around the vote as two independent draws of b bags do from each other (2 / b of a bag's variance, which
the bags themselves give as (b - 1) / b of what it is). Such draws share the luck that decided a close vote; so every fourth is of two halves
of the bags that have none in common. How often draws agree, as a monotone function of the share, is the confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.nearest import direct_distances, finite_matrix, nearest_in_segments
from kernels.vote import Ballot, Ensemble, count_votes, vote, winner
from kernels.ward import ward

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["Calibration", "branches", "calibrate", "level_share", "share_of"]

_DRAWS = 64  # of bags, for every object of the sample
_APART = 4  # one draw of so many is of disjoint halves: chosen on EFIGI and on simulated codes
_SAMPLE = 5000  # objects of the pilot that calibrate
_BINS, _LEAST = 100, 50  # bins of the share, and objects in one
_RANK = 0.01  # of a confidence is the share itself, so that what is certain still has an order


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a share of the votes is worth.

    Attributes
    ----------
    level
        (groups,) int16: groups with one number count as one.
    shares
        (k,) float64, ascending.
    values
        (k,) float64 within [0, 1], never falling: the probability at each of them; between them it is interpolated.
    """

    level: NDArray[np.int16]
    shares: NDArray[np.float64]
    values: NDArray[np.float64]

    def __call__(self, ballot: Ballot) -> NDArray[np.float32]:
        """Confidence of every object of a ballot, (n,) float32."""
        shares = share_of(ballot, self.level)
        known = np.interp(shares, self.shares, self.values)
        return ((1 - _RANK) * known + _RANK * shares).astype(np.float32)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """All fields as arrays."""
        return {"level": self.level, "shares": self.shares, "values": self.values}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Calibration:
        """Inverse of `to_arrays`."""
        return cls(
            np.asarray(arrays["level"], np.int16),
            np.asarray(arrays["shares"], np.float64),
            np.asarray(arrays["values"], np.float64),
        )


def branches(ensemble: Ensemble, pilot: NDArray[np.floating], count: int) -> NDArray[np.int16]:
    """Branch of every group: Ward's tree of the reference centres, cut into `count`.

    Parameters
    ----------
    ensemble
        From `kernels.vote.ensemble`.
    pilot
        (n, d) codes; a centre weighs as much as it has objects here.
    count
        Branches; as many as there are groups, if that is fewer.

    Returns
    -------
    ndarray
        (groups,) int16, from 0, in order of the groups.
    """
    home = nearest_in_segments(
        finite_matrix(pilot, "pilot"), ensemble.centres, np.array([0, ensemble.groups])
    )[:, 0]
    weights = np.maximum(np.bincount(home, minlength=ensemble.groups), 1).astype(np.float64)
    return ward(ensemble.centres, weights, min(count, ensemble.groups)).astype(np.int16)


def share_of(ballot: Ballot, level: NDArray[np.integer]) -> NDArray[np.float64]:
    """Share of the votes that count with an object's group at a level, (n,) float64."""
    return _summed_shares(ballot.shares, ballot.group, level)


def level_share(
    shares: NDArray[np.floating], group: NDArray[np.integer], level: NDArray[np.integer]
) -> NDArray[np.float32]:
    """The same from shares (n, groups) as parts keep them, in float16, and the objects' groups (n,): (n,) float32, at most 1."""
    return np.minimum(_summed_shares(shares.astype(np.float16), group, level), 1.0).astype(np.float32)


def _summed_shares(
    shares: NDArray[np.floating], group: NDArray[np.integer], level: NDArray[np.integer]
) -> NDArray[np.float64]:
    """One group after the other is added, so that the sum's bits are a row's own."""
    own = level[group]
    total = np.zeros(len(own))
    for column, place in enumerate(level):
        total += np.where(own == place, shares[:, column], shares.dtype.type(0))
    return total


def calibrate(
    pilot: NDArray[np.floating], ensemble: Ensemble, levels: Sequence[NDArray[np.integer]]
) -> list[Calibration]:
    """Find out on the pilot what shares of the votes are worth.

    Parameters
    ----------
    pilot
        (n, d) codes in canonical order, n >= 1: the leading ones are a fair sample.
    ensemble
        With two bags or more.
    levels
        Each (groups,), which groups count as one: a number for each group gives the probability that another draw of bags puts an
        object into the same group, their branches that it puts it into the same branch.

    Returns
    -------
    list of Calibration
        One a level. Equal input gives equal bits: what is counted are whole numbers, and bins are joined in order.
    """
    codes = finite_matrix(pilot, "pilot")[:_SAMPLE]
    bags = np.unique(ensemble.bags)
    if len(bags) < 2:
        raise ValueError(
            f"an ensemble of {len(bags)} bag has no other draw to be compared with: draw 2 or more"
        )
    ballot = vote(codes, ensemble)
    labels = ensemble.labels[nearest_in_segments(codes, ensemble.prototypes, ensemble.starts)]
    squared = direct_distances(codes.astype(np.float64), ensemble.centres.astype(np.float64))
    cast = [count_votes(labels[:, ensemble.bags == bag], ensemble.groups) for bag in bags]
    draw = np.random.Generator(np.random.PCG64(len(bags)))
    agreed = np.zeros((len(levels), len(codes)), np.int64)
    for number in range(_DRAWS):
        # as often half a bag less as half a bag more, where (b - 1) / 2 is no whole number
        some = draw.integers(len(bags), size=max(1, (len(bags) - number % 2) // 2))
        against = ballot.group.astype(np.intp)
        if number % _APART == 0:
            order = draw.permutation(len(bags))
            some, others = order[: len(bags) // 2], order[len(bags) // 2 : len(bags) // 2 * 2]
            against = winner(_summed(cast, others), squared)
        won = winner(_summed(cast, some), squared)
        for place, level in enumerate(levels):
            agreed[place] += level[won] == level[against]
    found = []
    for row, level in zip(agreed, levels, strict=True):
        shares, values = _monotone(share_of(ballot, level), row)
        found.append(Calibration(np.asarray(level, np.int16), shares, values / _DRAWS))
    return found


def _summed(cast: Sequence[NDArray[np.int16]], bags: NDArray[np.integer]) -> NDArray[np.int16]:
    """Votes of some bags together, (n, groups)."""
    counts = np.zeros_like(cast[0])
    for bag in bags:
        counts += cast[bag]
    return counts


def _monotone(
    shares: NDArray[np.float64], agreed: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of share and of `agreed` in bins, neighbours pooled where they fall (Ayer et al. 1955)."""
    order = np.argsort(shares, kind="stable")
    pooled: list[tuple[float, int, int]] = []  # summed share, summed draws that agreed, objects
    for part in np.array_split(order, max(1, min(_BINS, len(order) // _LEAST))):
        new = (float(np.add.accumulate(shares[part])[-1]), int(agreed[part].sum()), len(part))
        while pooled and pooled[-1][1] * new[2] >= new[1] * pooled[-1][2]:
            share, yes, objects = pooled.pop()
            new = (share + new[0], yes + new[1], objects + new[2])
        pooled.append(new)
    return (
        np.array([share / objects for share, _, objects in pooled]),
        np.array([yes / objects for _, yes, objects in pooled]),
    )
