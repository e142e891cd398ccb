"""A linear map whose bits depend on no neighbour, batch, thread or BLAS: both factors of its product are integers.

The idea is that of `kernels.moments.project`: values on a grid of 20 bits, weights on one of 24, so that no partial sum of the float64 product is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.moments import fixed_point_exponent
from kernels.nearest import finite_matrix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["LinearMap"]

_BITS = 24
_ROWS = 4096
_ROOM = (
    8.0  # values may be so many times as large as those that the map was made for; larger ones are cut off
)


@dataclass(frozen=True, eq=False)
class LinearMap:
    """``weight @ value + bias``.

    Attributes
    ----------
    weight, bias
        (outputs, d) and (outputs,) float64, weights on their grid.
    exponent
        Binary exponent of the values' grid, see `kernels.moments.fixed_point_exponent`.
    largest
        Values beyond it are cut off.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    exponent: int
    largest: float

    @classmethod
    def of(cls, weight: NDArray[np.floating], bias: NDArray[np.floating], largest: float) -> LinearMap:
        """The map for values of which the largest was `largest`; weights are rounded to 24 bits of their row's length."""
        grid = np.ldexp(1.0, _grid(weight))
        room = _ROOM * max(largest, 1e-3)
        return cls(
            np.rint(weight / grid) * grid, np.asarray(bias, np.float64), fixed_point_exponent(room), room
        )

    def __call__(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Values (n, d), finite, n may be 0, to (n, outputs) float64."""
        matrix = finite_matrix(values, "values")
        if matrix.shape[1] != self.weight.shape[1]:
            raise ValueError(f"values have {matrix.shape[1]} dimensions, the map {self.weight.shape[1]}")
        grid = _grid(self.weight)
        columns = np.ascontiguousarray(np.rint(np.ldexp(self.weight, -grid)).T)
        result = np.empty((len(matrix), len(self.bias)))
        for start in range(0, len(matrix), _ROWS):
            part = slice(start, start + _ROWS)
            block = np.clip(matrix[part].astype(np.float64), -self.largest, self.largest)
            block = np.rint(np.ldexp(block, self.exponent))
            result[part] = np.ldexp(block @ columns, grid.T - self.exponent) + self.bias
        return result

    def to_arrays(self) -> dict[str, NDArray[np.float64]]:
        """As safetensors store it."""
        return {
            "weight": self.weight,
            "bias": self.bias,
            "grid": np.array([self.exponent, self.largest]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> LinearMap:
        """Inverse of `to_arrays`."""
        exponent, largest = arrays["grid"].tolist()
        return cls(
            arrays["weight"].astype(np.float64),
            arrays["bias"].astype(np.float64),
            int(exponent),
            float(largest),
        )


def _grid(weight: NDArray[np.floating]) -> NDArray[np.int64]:
    """Binary exponent (outputs, 1) of the grid of each row: 2**-24 of the power of two above its length."""
    length = np.sqrt((np.asarray(weight, np.float64) ** 2).sum(axis=1, keepdims=True))
    return np.frexp(np.maximum(length, 1e-30))[1].astype(np.int64) - _BITS
