"""Codes: what objects are grouped by. Principal components of their embeddings, and beside them numbers of their own, scaled to what components are like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.moments import Components, project

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Codes", "Scales", "scales_of"]

LIMIT = 3.0
"""Standard deviations, of a normal distribution, beyond which a number counts as this many: a fit that ran away groups nothing."""


@dataclass(frozen=True, eq=False)
class Scales:
    """How columns of numbers become coordinates.

    Attributes
    ----------
    medians
        (k,) float64: what an object without a number is taken to have.
    sigmas
        (k,) float64, half of the distance between the 16th and the 84th percentile.
    unit
        Length of one sigma among the codes.
    """

    medians: NDArray[np.float64]
    sigmas: NDArray[np.float64]
    unit: float

    def __call__(self, columns: NDArray[np.float64]) -> NDArray[np.float32]:
        """Coordinates (n, k) of numbers (n, k); what is not finite is unknown."""
        if columns.shape[1] != len(self.medians):
            raise ValueError(f"there are {columns.shape[1]} columns, and scales of {len(self.medians)}")
        known = np.where(np.isfinite(columns), columns, self.medians)
        return (np.clip((known - self.medians) / self.sigmas, -LIMIT, LIMIT) * self.unit).astype(np.float32)


def scales_of(columns: NDArray[np.float64], components: Components, weight: float) -> Scales:
    """Scales by which all columns together vary `weight` times as much as the components, each of them alike.

    Parameters
    ----------
    columns
        (n, k) numbers of a sample; what is not finite is unknown; k may be 0.
    components
        That the columns are to stand beside.
    weight
        Above 0.

    Raises
    ------
    ValueError
        If a column has no numbers, or no spread: the message says which, counted from 0.
    """
    count = columns.shape[1]
    found = np.full((3, count), np.nan)
    for number, column in enumerate(columns.T):
        known = column[np.isfinite(column)]
        if len(known):
            found[:, number] = np.percentile(known, (16, 50, 84))
    low, medians, high = found
    sigmas = (high - low) / 2
    for number in np.flatnonzero(~(sigmas > 0)).tolist():
        raise NoSpread(number)
    variance = float(components.variances.sum())
    return Scales(medians, sigmas, float(np.sqrt(weight * variance / count)) if count else 0.0)


class NoSpread(ValueError):
    """A column tells no two objects apart; `column` is its number, from 0."""

    def __init__(self, column: int) -> None:
        self.column = column
        super().__init__("has no spread: two thirds of the objects have the same value, or none has any")


@dataclass(frozen=True, eq=False)
class Codes:
    """Where objects lie when they are grouped."""

    components: Components
    scales: Scales

    def __call__(self, values: NDArray[np.floating], columns: NDArray[np.float64]) -> NDArray[np.float32]:
        """Codes (n, c + k) of embeddings (n, d) and numbers (n, k); a row's code rests on its own values alone."""
        return np.hstack([project(values, self.components), self.scales(columns)])

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """As safetensors stores them; without columns, those of the components alone."""
        arrays = self.components.to_arrays()
        if len(self.scales.medians):
            arrays |= {
                "column_medians": self.scales.medians,
                "column_sigmas": self.scales.sigmas,
                "column_unit": np.array([self.scales.unit]),
            }
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Codes:
        """Inverse of `to_arrays`; other arrays beside its own are left alone."""
        medians, sigmas, unit = (
            np.asarray(arrays.get(f"column_{name}", ()), np.float64) for name in ("medians", "sigmas", "unit")
        )
        return cls(Components.from_arrays(arrays), Scales(medians, sigmas, float(unit.sum())))
