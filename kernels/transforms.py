"""Functions of a value that are learned instead of it, and their inverses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Transform", "transformed", "untransformed"]

Transform = Literal["none", "log", "log1p", "asinh"]

_FORWARD = {"log": np.log, "log1p": np.log1p, "asinh": np.arcsinh}
_BACK = {"log": np.exp, "log1p": np.expm1, "asinh": np.sinh}


def transformed(values: NDArray[np.float64], how: Transform) -> NDArray[np.float64]:
    """Values as they are learned; NaN where the function has no finite value."""
    if how == "none":
        return values
    with np.errstate(invalid="ignore", divide="ignore"):
        found = _FORWARD[how](values)
    return np.where(np.isfinite(found), found, np.nan)


def untransformed(values: NDArray[np.float64], how: Transform) -> NDArray[np.float64]:
    """Inverse of `transformed`; what is too large for float64 is its largest number."""
    if how == "none":
        return values
    with np.errstate(over="ignore"):
        return np.nan_to_num(_BACK[how](values))
