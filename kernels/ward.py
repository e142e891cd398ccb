"""Exact Ward clustering of weighted points.

Sources: Ward 1963; Lance & Williams 1967 (updates); Müllner 2011, section 3.2 (nearest-neighbour chain).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernels.nearest import direct_distances

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ward"]

_TILE = 128


def ward(points: NDArray[np.floating], weights: NDArray[np.floating], groups: int) -> NDArray[np.int32]:
    """Group labels of Ward's tree cut into `groups` branches.

    Parameters
    ----------
    points
        (n, d) finite.
    weights
        (n,) positive: how many objects each point stands for.
    groups
        Number of branches, 1 <= groups <= n.

    Returns
    -------
    ndarray
        (n,) int32 labels 0..groups-1 in order of first appearance. Unit weights give the partition of scikit-learn's
        ``AgglomerativeClustering(linkage="ward")``.

    Notes
    -----
    The distance of two clusters is the growth of the scatter when they merge,
    ``w_i w_j / (w_i + w_j) |c_i - c_j|^2``. Needs n^2 float64 (200 MB for 5,000 points) and about 3 n row scans. No
    BLAS takes part, so the bits depend on no thread count. Between equally near clusters the one with the lowest
    position wins.
    """
    from scipy.sparse import coo_matrix  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    if not 1 <= groups <= len(points):
        raise ValueError(f"{len(points)} points cannot make {groups} groups")
    left, right, heights = _chain(_scatter_growth(points, weights), weights)
    first = np.argsort(heights, kind="stable")[: len(points) - groups]
    links = coo_matrix((np.ones(len(first)), (left[first], right[first])), shape=(len(points), len(points)))
    labels = connected_components(links, directed=False)[1]
    # connected_components promises no numbering: number the groups as they appear
    _, where, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(groups, dtype=np.int32)
    rank[np.argsort(where)] = np.arange(groups)
    return rank[inverse]


def _scatter_growth(points: NDArray[np.floating], weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ward distances of all pairs, (n, n); infinite on the diagonal."""
    wide = points.astype(np.float64)
    mass = weights.astype(np.float64)
    growth = np.empty((len(wide), len(wide)))
    # Half of the pairs are measured, a tile at a time, and copied across while the tile is in the cache.
    for top in range(0, len(wide), _TILE):
        rows = slice(top, top + _TILE)
        for left in range(top, len(wide), _TILE):
            columns = slice(left, left + _TILE)
            tile = direct_distances(wide[rows], wide[columns])
            tile *= np.multiply.outer(mass[rows], mass[columns]) / np.add.outer(mass[rows], mass[columns])
            growth[rows, columns] = tile
            if left > top:
                growth[columns, rows] = tile.T
    np.fill_diagonal(growth, np.inf)
    return growth


def _chain(
    growth: NDArray[np.float64], weights: NDArray[np.floating]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """All n - 1 merges: one original point of either side, and the height. Overwrites `growth`.

    Follow nearest neighbours until two clusters are each other's nearest, merge them, go on from what is left of the
    chain. A merged cluster keeps the higher of the two rows; the other row is dead and masked by `dead` when a row
    is searched. Once half of the rows are dead the table is packed, which keeps the scans short and in the cache.
    """
    total = len(growth)
    left, right = np.empty(total - 1, dtype=np.intp), np.empty(total - 1, dtype=np.intp)
    heights = np.empty(total - 1)
    point = np.arange(total)  # an original point of the cluster in each row
    mass = weights.astype(np.float64)
    dead = np.zeros(total)
    alive = total
    row = np.empty(total)
    chain: list[int] = []
    for step in range(total - 1):
        if alive < len(growth) // 2:
            keep = np.flatnonzero(dead == 0.0)
            position = np.cumsum(dead == 0.0) - 1
            chain = [int(position[link]) for link in chain]
            growth = growth[np.ix_(keep, keep)]
            point, mass, dead, row = point[keep], mass[keep], np.zeros(alive), np.empty(alive)
        if not chain:
            chain.append(int(dead.argmin()))
        while True:
            tip = chain[-1]
            np.add(growth[tip], dead, out=row)
            near = int(row.argmin())
            if len(chain) > 1 and growth[tip, chain[-2]] <= row[near]:
                near = chain[-2]  # on a tie go back: otherwise equal distances could lead in circles
                break
            chain.append(near)
        del chain[-2:]
        low, high = min(tip, near), max(tip, near)
        height = growth[low, high]
        left[step], right[step], heights[step] = point[low], point[high], height
        np.multiply(growth[low], mass[low] + mass, out=row)
        row += (mass[high] + mass) * growth[high]
        row -= height * mass
        row /= mass[low] + mass[high] + mass
        row[high] = np.inf
        growth[high], growth[:, high] = row, row
        mass[high] += mass[low]
        dead[low] = np.inf
        alive -= 1
    return left, right, heights
