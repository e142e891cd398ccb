"""The tree of the groups: which are alike, in which order they stand beside each other, and what merging them loses.

Sources: Ward 1963; Gruvaeus & Wainer 1972 (the order of the leaves).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.nearest import direct_distances, finite_matrix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["GroupTree", "group_tree"]


@dataclass(frozen=True, eq=False)
class GroupTree:
    """Ward's tree of g groups.

    Attributes
    ----------
    merges
        (g - 1, 2) int64, the two nodes of each merge, the one that stands first in `order` before the other. Node i < g is group i,
        node g + m is what merge m made (scipy's numbering).
    heights
        (g - 1,) float64, never falling: the share of the scatter between all groups that each merge loses. They sum to 1.
    order
        (g,) int64, the groups as the tree's leaves: every branch stands together, and groups that are alike stand beside each other.
    """

    merges: NDArray[np.int64]
    heights: NDArray[np.float64]
    order: NDArray[np.int64]

    def members(self) -> list[list[int]]:
        """Groups of every node, in order."""
        place = np.argsort(self.order)
        found = [[group] for group in range(len(self.order))]
        for first, second in self.merges:
            found.append(sorted(found[first] + found[second], key=lambda group: int(place[group])))
        return found

    def gaps(self) -> NDArray[np.float64]:
        """Height at which each group of `order` and the next one come together, (g - 1,)."""
        place, members = np.argsort(self.order), self.members()
        heights = np.empty(len(self.heights))
        for (first, _), height in zip(self.merges, self.heights, strict=True):
            heights[place[members[first][-1]]] = height
        return heights


def group_tree(centres: NDArray[np.floating], weights: NDArray[np.floating]) -> GroupTree:
    """Ward's tree of the groups' centres.

    Parameters
    ----------
    centres
        (g, d) finite, g >= 1.
    weights
        (g,) positive: the objects of each group.

    Returns
    -------
    GroupTree
        Cut anywhere, it is the partition of `kernels.ward.ward`. Two nodes merge where the scatter grows least,
        ``w_i w_j / (w_i + w_j) |c_i - c_j|^2``; of equal ones those with the lowest groups. Costs g^3: groups are few.
    """
    points, mass = finite_matrix(centres, "centres").astype(np.float64), np.array(weights, np.float64)
    groups = len(points)
    if groups == 0 or mass.shape != (groups,) or not (mass > 0).all():
        raise ValueError(f"{groups} centres need as many positive weights, got {mass}")
    apart = direct_distances(points, points, squared=False)
    growth = np.array([_growth(points, mass, row) for row in range(groups)])
    alive = np.ones(groups, dtype=np.bool_)
    nodes, leaves = np.arange(groups), [[group] for group in range(groups)]
    merges, heights = np.empty((groups - 1, 2), np.int64), np.empty(groups - 1)
    for step in range(groups - 1):
        low, high = sorted(divmod(int(growth.argmin()), groups))
        merges[step], heights[step] = (nodes[low], nodes[high]), growth[low, high]
        leaves[low] = _beside(leaves[low], leaves[high], apart)
        points[low] = np.average(points[[low, high]], axis=0, weights=mass[[low, high]])
        mass[low] += mass[high]
        nodes[low], alive[high] = groups + step, False
        growth[high] = growth[:, high] = np.inf
        growth[low] = growth[:, low] = np.where(alive, _growth(points, mass, low), np.inf)
    order = np.array(leaves[0] if leaves[0][0] <= leaves[0][-1] else leaves[0][::-1])
    total = heights.sum()
    heights = np.maximum.accumulate(heights / total if total > 0 else heights)
    return GroupTree(_in_order(merges, order), heights, order)


def _growth(points: NDArray[np.float64], mass: NDArray[np.float64], row: int) -> NDArray[np.float64]:
    """Growth of the scatter when a node merges with each other one, (g,); infinite with itself."""
    squared = ((points - points[row]) ** 2).sum(axis=1)
    grown = mass * mass[row] / (mass + mass[row]) * squared
    grown[row] = np.inf
    return grown


def _beside(one: list[int], other: list[int], apart: NDArray[np.float64]) -> list[int]:
    """Both branches in one row, each turned so that the leaves that meet are as near as can be."""
    ways: Sequence[tuple[list[int], list[int]]] = [
        (left, right) for left in (one, one[::-1]) for right in (other, other[::-1])
    ]
    left, right = min(ways, key=lambda way: apart[way[0][-1], way[1][0]])
    return left + right


def _in_order(merges: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """The nodes of each merge as they stand in the order of the leaves."""
    first = [*np.argsort(order)]
    for one, other in merges:
        first.append(min(first[one], first[other]))
    places = np.array(first)[merges]
    return np.take_along_axis(merges, np.argsort(places, axis=1), axis=1)
