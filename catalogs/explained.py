"""Objects that look odd because of their pixels, not because they are: edges, bad or saturated pixels, stars, blends, and stamps without an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from catalogs.flags import Flag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalogs._types import Array

__all__ = ["FLAGS", "MEASURE_FLAGS", "are_explained", "condition"]

FLAGS = int(Flag.EDGE | Flag.BAD_PIXELS | Flag.SATURATED)
"""Bits of `flags`."""
MEASURE_FLAGS = 1 | 8 | 32 | 2048 | 65536
"""Bits of `measure_flags`: no_object, below_psf, off_centre, bad_pixels, blended (`kernels.measure.flags`)."""


def condition(columns: Mapping[str, object]) -> str:
    """SQL that is true of objects that flags explain, over a catalog with these columns."""
    measured = f" OR measure_flags & {MEASURE_FLAGS} <> 0" if "measure_flags" in columns else ""
    return f"(flags & {FLAGS} <> 0{measured})"


def are_explained(flags: Array, measure_flags: Array | None) -> Array:
    """Whether flags (n,) explain objects, (n,) bool; nothing is known of measures without `measure_flags`."""
    found = flags & FLAGS != 0
    return np.asarray(found if measure_flags is None else found | (measure_flags & MEASURE_FLAGS != 0))
