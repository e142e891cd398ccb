"""Exact nearest points: float32 matrix products find the candidates, float64 differences decide.

A matrix product is by far the fastest way to a table of distances, but its last bits depend on the library, the
number of threads and the shape of the batch. Here it is only a filter. Its rounding error has a proven bound; where
the two best scores are closer than that bound, every candidate within it is measured again by direct float64
differences. The winner is therefore a function of the row and the points alone.

NumPy and not torch: its products cannot be switched to TF32 or bfloat16 by a global setting elsewhere.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["direct_distances", "finite_matrix", "nearest", "nearest_in_segments", "squared_distances"]

_TABLE = 1 << 18  # float32 scores in flight: a MiB, which a core's caches hold
_COLUMNS = 512  # columns of one product; narrow segments share one
_ROUNDING = 2.0**-24  # unit roundoff of float32


def direct_distances(
    points: NDArray[np.floating], others: NDArray[np.floating], *, squared: bool = True
) -> NDArray[np.float64]:
    """Distances of all pairs, (n, d) and (m, d) to (n, m), from differences in float64.

    scipy's, which is loaded when it is needed: a quarter of a second of every command otherwise.
    """
    from scipy.spatial.distance import cdist  # noqa: PLC0415

    found: NDArray[np.float64] = cdist(points, others, "sqeuclidean" if squared else "euclidean")
    return found


def finite_matrix(values: NDArray[np.floating], name: str) -> NDArray[np.floating]:
    """Return `values` as a C-ordered 2-d floating array; raise if it is not one or holds NaN or infinity."""
    matrix = np.ascontiguousarray(values)
    if matrix.ndim != 2 or matrix.dtype.kind != "f":
        raise ValueError(f"{name} must be a 2-d floating-point array, got {matrix.dtype} {matrix.shape}")
    if not np.isfinite(matrix).all():
        bad = int((~np.isfinite(matrix).all(axis=1)).sum())
        raise ValueError(f"{name} holds NaN or infinity in {bad} of {len(matrix)} rows: leave those rows out")
    return matrix


def squared_distances(rows: NDArray[np.floating], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Squared Euclidean distances row by row.

    Parameters
    ----------
    rows, points
        (n, d) each; row i is compared with point i.

    Returns
    -------
    ndarray
        (n,) float64. Summed in an order that depends on d only.
    """
    difference = np.subtract(rows, points, dtype=np.float64, order="C")
    np.multiply(difference, difference, out=difference)
    return difference.sum(axis=1)


def nearest(rows: NDArray[np.floating], points: NDArray[np.floating]) -> NDArray[np.int32]:
    """Index of the nearest point of each row.

    Parameters
    ----------
    rows
        (n, d) finite; n may be 0.
    points
        (p, d) finite, p >= 1.

    Returns
    -------
    ndarray
        (n,) int32. Equal distances go to the lowest index.
    """
    return nearest_in_segments(rows, points, np.array([0, len(points)]))[:, 0]


def nearest_in_segments(
    rows: NDArray[np.floating], points: NDArray[np.floating], starts: NDArray[np.integer]
) -> NDArray[np.int32]:
    """Index of the nearest point of each row within each segment of the points.

    Parameters
    ----------
    rows
        (n, d) finite; n may be 0.
    points
        (p, d) finite: the segments, one after the other.
    starts
        (m + 1,) ascending, from 0 to p; segment s is ``points[starts[s]:starts[s + 1]]``, never empty.

    Returns
    -------
    ndarray
        (n, m) int32, counted from the start of the points. Equal distances go to the lowest index.

    Notes
    -----
    With c and x seen from a common origin, ``|x - c|^2 = |x|^2 + (|c|^2 - 2 x.c)``; the bracket is the score. Any
    summation order gives it within ``(d + 6) u (|c|^2 + 2 |x| |c|)`` of the truth, u = 2^-24 (Higham 2002, section
    3.1, with the rounding of the inputs), and two scores differ by no more than twice that.
    """
    edges = [int(start) for start in starts]
    dimensions = points.shape[1]
    if rows.ndim != 2 or rows.shape[1] != dimensions:
        raise ValueError(f"rows have shape {rows.shape}, points {points.shape}: the second sizes must agree")
    if edges[0] != 0 or edges[-1] != len(points) or any(b <= a for a, b in pairwise(edges)):
        raise ValueError(f"segments must be non-empty and cover all {len(points)} points, got starts {edges}")

    # Any origin and any power of two will do. Rounded to float32, the origin may be taken off float32 rows in float32:
    # that rounds once, as the conversion of a float64 difference would.
    origin = points.mean(axis=0, dtype=np.float64).astype(np.float32)
    working = np.float32 if rows.dtype.itemsize <= 4 else np.float64
    centred = points - origin.astype(np.float64)
    scale = np.float32(2.0 ** -np.clip(np.frexp(np.abs(centred).max())[1], -100, 120))
    centred *= scale
    norms = np.einsum("pd,pd->p", centred, centred)
    table = np.empty((dimensions + 1, len(points)), dtype=np.float32)
    table[:dimensions] = -2.0 * centred.T
    table[dimensions] = norms
    radii = np.sqrt(np.maximum.reduceat(norms, edges[:-1]))
    margin = 2.0 * (dimensions + 16) * _ROUNDING

    winners = np.empty((len(rows), len(edges) - 1), dtype=np.int32)
    products = _products(edges)
    widest = max(edges[last] - edges[first] for first, last in products)
    step = max(64, _TABLE // widest)
    augmented = np.ones((min(step, max(len(rows), 1)), dimensions + 1), dtype=np.float32)
    scores = np.empty(len(augmented) * widest, dtype=np.float32)
    # Rows that lie absurdly far away overflow float32: their scores compare false and are measured directly.
    with np.errstate(over="ignore", invalid="ignore"):
        for begin in range(0, len(rows), step):
            block = rows[begin : begin + step]
            seen = augmented[: len(block)]
            local = seen[:, :dimensions]
            np.subtract(block, origin, out=local, dtype=working, casting="same_kind")
            local *= scale
            lengths = np.sqrt(np.einsum("nd,nd->n", local, local))
            for first, last in products:
                low, high = edges[first], edges[last]
                view = scores[: len(block) * (high - low)].reshape(len(block), high - low)
                np.matmul(seen, table[:, low:high], out=view)
                reach = radii[None, first:last]
                slack = margin * reach * (reach + 2.0 * lengths[:, None]) + 1e-30
                # So far out float64 itself sees ties; then all candidates must be compared, not some.
                slack[lengths[:, None] > 1e6 * reach] = np.inf
                inner = np.array(edges[first : last + 1]) - low
                found = _decide(view, inner, slack.astype(np.float32), block, points[low:high])
                winners[begin : begin + step, first:last] = low + found
    return winners


def _products(edges: list[int]) -> list[tuple[int, int]]:
    """Runs of segments that share one matrix product."""
    runs, first = [], 0
    for segment in range(1, len(edges)):
        if segment == len(edges) - 1 or edges[segment + 1] - edges[first] > _COLUMNS:
            runs.append((first, segment))
            first = segment
    return runs


def _decide(
    scores: NDArray[np.float32],
    edges: NDArray[np.int64],
    slack: NDArray[np.float32],
    rows: NDArray[np.floating],
    points: NDArray[np.floating],
) -> NDArray[np.int32]:
    """Nearest point of each row in each of m segments, (n, m), given scores (n, p) that are right within `slack` (n, m)/2."""
    from kernels.nearest_loops import list_close, lowest  # noqa: PLC0415 - loads a compiler

    best, count = np.empty(slack.shape, np.int32), np.empty(slack.shape, np.int32)
    lowest(scores, edges, slack, best, count)
    pairs = int(count[count > 1].sum())
    if not pairs:
        return best
    place, row, point = np.empty((3, pairs), np.int64)
    list_close(scores, edges, slack, count, place, row, point)
    distance = squared_distances(rows[row], points[point])
    order = np.lexsort(
        (point, distance, place)
    )  # for a row in a segment: the smallest distance, then the lowest index
    chosen = order[np.unique(place[order], return_index=True)[1]]
    best.ravel()[place[chosen]] = point[chosen]
    return best
