"""First and second moments that merge exactly, and the principal components that follow from them.

Floating-point sums depend on their order, so a covariance gathered from many workers would depend on the sharding.
Here values become integers of at most 20 bits on a power-of-two grid. Products of such integers, summed over 4096
rows, stay below 2^53, where float64 arithmetic is exact: the matrix products run at BLAS speed and yet any split, any
order and any merge tree give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from kernels.nearest import finite_matrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = [
    "Components",
    "Moments",
    "fixed_point_exponent",
    "merge",
    "moments",
    "principal_components",
    "project",
]

_BITS = 20
_ROWS = 4096  # 2 * 20 bits of product + 12 bits of rows = 52 < 53
_AXIS_BITS = 24
_LIMB = 32
_MASK = np.int64((1 << _LIMB) - 1)
_MOST = 1 << 43  # rows: beyond it the first moments could leave int64


@dataclass(frozen=True, eq=False)
class Moments:
    """Count, sum and sum of outer products of the integers ``round(value * 2**exponent)``.

    Attributes
    ----------
    count
        Number of rows.
    first
        (d,) int64.
    high, low
        (d, d) int64 limbs of the second moments: ``high * 2**32 + low`` with ``0 <= low < 2**32``.
    exponent
        Binary exponent of the grid, from `fixed_point_exponent`.
    """

    count: int
    first: NDArray[np.int64]
    high: NDArray[np.int64]
    low: NDArray[np.int64]
    exponent: int

    def __add__(self, other: Moments) -> Moments:
        """Moments of both sets of rows together; exact, commutative and associative."""
        return merge(self, other)

    def to_arrays(self) -> dict[str, NDArray[np.int64]]:
        """All fields as arrays, as safetensors and Arrow store them."""
        return {
            "count": np.array([self.count], dtype=np.int64),
            "first": self.first,
            "high": self.high,
            "low": self.low,
            "exponent": np.array([self.exponent], dtype=np.int64),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.int64]]) -> Moments:
        """Inverse of `to_arrays`."""
        return cls(
            count=int(arrays["count"][0]),
            first=np.asarray(arrays["first"]),
            high=np.asarray(arrays["high"]),
            low=np.asarray(arrays["low"]),
            exponent=int(arrays["exponent"][0]),
        )


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components, by falling variance.

    Attributes
    ----------
    mean
        (d,) float64.
    axes
        (c, d) float64, rows orthonormal within 1e-6; the entry of largest magnitude of each is positive. Entries are
        multiples of 2**-24: LAPACK's last bits depend on the processor, those that are kept almost never do.
    variances
        (c,) float64, variance along each axis (divisor n - 1).
    total_variance
        Sum of the variances of all d dimensions.
    exponent
        Of the fixed-point grid of the moments, on which values are projected.
    """

    mean: NDArray[np.float64]
    axes: NDArray[np.float64]
    variances: NDArray[np.float64]
    total_variance: float
    exponent: int

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """All fields as arrays, as safetensors stores them."""
        return {
            "mean": self.mean,
            "axes": self.axes,
            "variances": self.variances,
            "total_variance": np.array([self.total_variance]),
            "exponent": np.array([self.exponent]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Components:
        """Inverse of `to_arrays`; other arrays beside its own are left alone."""
        return cls(
            mean=np.asarray(arrays["mean"], np.float64),
            axes=np.asarray(arrays["axes"], np.float64),
            variances=np.asarray(arrays["variances"], np.float64),
            total_variance=float(np.asarray(arrays["total_variance"], np.float64)[0]),
            exponent=int(np.asarray(arrays["exponent"], np.int64)[0]),
        )


def fixed_point_exponent(max_abs: float) -> int:
    """Largest e such that values up to `max_abs` become integers of at most 2**20 in magnitude.

    All parts of one reduction must share it, so `max_abs` is the maximum over the whole data set. A maximum of zero
    gives 0. NaN, infinity and negative values raise ValueError.
    """
    if not np.isfinite(max_abs) or max_abs < 0:
        raise ValueError(f"the largest magnitude must be finite and not negative, got {max_abs}")
    return _BITS - int(np.frexp(float(max_abs))[1]) if max_abs > 0 else 0


def moments(values: NDArray[np.floating], exponent: int) -> Moments:
    """Exact moments of rows on the fixed-point grid.

    Parameters
    ----------
    values
        (n, d) floating, finite; n may be 0.
    exponent
        From `fixed_point_exponent` of the global maximum.

    Returns
    -------
    Moments
        Independent of the order and of any split of the rows.

    Raises
    ------
    ValueError
        If a value is NaN or infinite, or exceeds the grid.
    """
    matrix = finite_matrix(values, "values")
    dimensions = matrix.shape[1]
    first = np.zeros(dimensions, dtype=np.int64)
    high = np.zeros((dimensions, dimensions), dtype=np.int64)
    low = np.zeros((dimensions, dimensions), dtype=np.int64)
    for start in range(0, len(matrix), _ROWS):
        block = np.rint(np.ldexp(matrix[start : start + _ROWS].astype(np.float64), exponent))
        if np.abs(block).max(initial=0.0) > 1 << _BITS:
            worst = float(np.abs(matrix[start : start + _ROWS]).max())
            raise ValueError(
                f"a value of magnitude {worst:g} does not fit the fixed-point exponent {exponent}: "
                "derive it from the largest magnitude of all the data"
            )
        first += block.sum(axis=0).astype(np.int64)
        high, low = _carry(high, low + (block.T @ block).astype(np.int64))
    return Moments(len(matrix), first, high, low, exponent)


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of both sets of rows together. Raises ValueError if they lie on different grids or dimensions."""
    if a.exponent != b.exponent:
        raise ValueError(
            f"moments on different fixed-point grids do not merge: {a.exponent} and {b.exponent}"
        )
    if a.first.shape != b.first.shape:
        raise ValueError(f"moments of {len(a.first)} and of {len(b.first)} dimensions do not merge")
    if a.count + b.count > _MOST:
        raise ValueError(f"{a.count + b.count} rows exceed the {_MOST} whose sums are exact")
    high, low = _carry(a.high + b.high, a.low + b.low)
    return Moments(a.count + b.count, a.first + b.first, high, low, a.exponent)


def principal_components(moments: Moments, components: float) -> Components:
    """Principal components of the rows that the moments describe.

    Parameters
    ----------
    moments
        At least two rows.
    components
        An int: that many components. A float in (0, 1): as few as explain this share of the variance.

    Raises
    ------
    ValueError
        Fewer than two rows; no variance; more components than dimensions; a share outside (0, 1).
    """
    dimensions = len(moments.first)
    if moments.count < 2:
        raise ValueError(f"principal components need at least 2 rows, got {moments.count}")
    whole = isinstance(components, int | np.integer)
    if whole and not 1 <= components <= dimensions:
        raise ValueError(f"{components} components asked of embeddings that have {dimensions} dimensions")
    if not whole and not 0.0 < components < 1.0:
        raise ValueError(
            f"components must be an int, or a share of the variance within (0, 1), got {components}"
        )
    covariance, mean = _covariance(moments)
    total = float(np.trace(covariance))
    if total <= 0.0:
        raise ValueError(f"all {moments.count} embeddings are equal: no variance to find components of")
    # LAPACK's last bits depend on its number of threads too.
    with threadpool_limits(1, user_api="blas"):
        eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    variances = np.maximum(eigenvalues[::-1], 0.0)
    axes = eigenvectors[:, ::-1].T
    if whole:
        kept = int(components)
    else:
        kept = min(int(np.searchsorted(np.cumsum(variances) / total, components)) + 1, dimensions)
    axes = axes[:kept]
    largest = np.abs(axes).argmax(axis=1)
    signs = np.where(axes[np.arange(kept), largest] < 0, -1.0, 1.0)
    axes = np.ldexp(np.rint(np.ldexp(axes * signs[:, None], _AXIS_BITS)), -_AXIS_BITS)
    return Components(mean, np.ascontiguousarray(axes), variances[:kept].copy(), total, moments.exponent)


def project(values: NDArray[np.floating], components: Components) -> NDArray[np.float32]:
    """Coordinates of rows along the principal axes.

    Parameters
    ----------
    values
        (n, d) floating, finite; n may be 0.
    components
        From `principal_components`.

    Returns
    -------
    ndarray
        (n, c) float32. Values are rounded to the grid of the moments (20 bits of the largest; float16 has 11), so
        both factors of the float64 product are integers. No partial sum exceeds |value| |axis| <= 2**44 sqrt(d),
        hence the product is exact: a row's result depends on no neighbour, batch, thread or BLAS. So it is for values of other
        data, if none is more than 2**9 / sqrt(d) times as large.
    """
    matrix = finite_matrix(values, "values")
    if matrix.shape[1] != len(components.mean):
        raise ValueError(f"values have {matrix.shape[1]} dimensions, the components {len(components.mean)}")
    columns = np.ascontiguousarray(np.ldexp(components.axes.T, _AXIS_BITS))
    origin = (components.axes * components.mean).sum(axis=1)
    result = np.empty((len(matrix), columns.shape[1]), dtype=np.float32)
    for start in range(0, len(matrix), _ROWS):
        part = slice(start, start + _ROWS)
        block = np.rint(np.ldexp(matrix[part].astype(np.float64), components.exponent))
        result[part] = np.ldexp(block @ columns, -_AXIS_BITS - components.exponent) - origin
    return result


def _carry(high: NDArray[np.int64], low: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bring the low limb back into 0 <= low < 2**32, so that equal sums have equal bits."""
    return high + (low >> _LIMB), low & _MASK


def _outer(small: NDArray[np.int64], large: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Outer product in limbs; `small` has at most 21 bits, `large` any."""
    return _carry(np.multiply.outer(small, large >> _LIMB), np.multiply.outer(small, large & _MASK))


def _covariance(moments: Moments) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Covariance and mean in the units of the values.

    The mean is taken off in integer arithmetic before anything is rounded: with m = round(mean) and
    r = first - n m, sum (x - m)(x - m)^T = second - m first^T - r m^T, and what remains to subtract,
    r r^T / n, is below n / 4. Embeddings whose mean dwarfs their scatter lose no digits.
    """
    count, first = moments.count, moments.first
    centre = np.floor_divide(2 * first + count, 2 * count)
    rest = first - count * centre
    high, low = moments.high, moments.low
    part_high, part_low = _outer(centre, first)
    high, low = _carry(high - part_high, low - part_low)
    part_high, part_low = _outer(centre, rest)
    high, low = _carry(high - part_high.T, low - part_low.T)
    # Both halves of the matrix are the same sum; rounding them alike keeps it symmetric.
    scatter = np.ldexp(high.astype(np.float64), _LIMB) + low
    scatter = np.tril(scatter) + np.tril(scatter, -1).T
    rest_float = rest.astype(np.float64)
    covariance = (scatter - np.multiply.outer(rest_float, rest_float / count)) / (count - 1)
    covariance = (covariance + covariance.T) / 2.0
    mean = (centre + rest_float / count) * 2.0**-moments.exponent
    return np.ldexp(covariance, -2 * moments.exponent), mean
