"""The vote of a run, in one process: codes, bags, members and ballots of one matrix of embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.bags import bag_masks, canonical_order, inclusion, stratify
from kernels.families import FAMILIES
from kernels.members import fit_member
from kernels.moments import fixed_point_exponent, moments, principal_components, project
from kernels.vote import align, ensemble, kept, vote

if TYPE_CHECKING:
    from numpy.typing import NDArray

COMPONENTS, GROUPS, BAGS, THRESHOLD = 10, 20, 8, 0.6


@dataclass(frozen=True)
class Outcome:
    """What a vote decided on every object."""

    group: NDArray[np.int16]
    kept: NDArray[np.bool_]
    unanimous: NDArray[np.bool_]
    single: NDArray[np.int16]
    """Groups of one k-means."""


def vote_on(embeddings: NDArray[np.float32], ids: NDArray[np.str_]) -> Outcome:
    """Vote with a run's defaults: PCA to 10, 8 bags, k-means, BIRCH and Ward, 20 groups, agreement of 0.6."""
    values = embeddings.astype(np.float16).astype(np.float32)
    exponent = fixed_point_exponent(float(np.abs(values).max()))
    codes = project(values, principal_components(moments(values, exponent), COMPONENTS))
    order = canonical_order(ids, 0)
    strata = stratify(codes[order], seed=0)
    masks = bag_masks(ids, codes, strata, inclusion(strata.shares, len(ids), 100_000), BAGS, 0)
    reference = fit_member("kmeans", codes[order], GROUPS, 0)
    members = [
        fit_member(family, codes[order[mask[order]]], GROUPS, 0, bag)
        for bag, mask in enumerate(masks)
        for family in FAMILIES
    ]
    ballot = vote(codes, ensemble(align(members, reference, codes[order]), reference))
    return Outcome(
        group=ballot.group,
        kept=kept(ballot.agreement, "agreement", THRESHOLD),
        unanimous=kept(ballot.agreement, "unanimous"),
        single=ballot.reference_group,
    )


def purity(
    groups: NDArray[np.int16], truth: NDArray[np.int64], counted: NDArray[np.bool_], others: NDArray[np.bool_]
) -> float:
    """Share of the counted objects that are of the truth that is commonest among the others of their group.

    NaN if none is counted.
    """
    if not counted.any():
        return float("nan")
    table = np.zeros((groups.max() + 1, truth.max() + 1), np.int64)
    np.add.at(table, (groups[others], truth[others]), 1)
    return float((table.argmax(axis=1)[groups[counted]] == truth[counted]).mean())
