"""Which sources are points: those whose half-light radius is that of the image's stars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["are_points", "point_radius"]

BRIGHT = 30.0
"""S/N of sources that the radius of stars is sought among."""
FEWEST = 5
"""Sources that it takes."""
SHARE = 0.1
"""Of the bright sources, that are looked for within one narrow range of radii."""
AS_DENSE = 2.0
"""How much wider than the narrowest range a range may be that is taken for it, being of smaller sources: nothing is smaller than stars."""
ROUND = 0.75
"""Axis ratio of a star, at least: an unround PSF has that too."""


def point_radius(radius: Floats, snr: Floats, axis_ratio: Floats, flags: NDArray[np.int16]) -> float:
    """Half-light radius of an image's stars, (n,) each: the densest place among bright round sources, in the logarithm.

    Stars of any brightness have one radius, and galaxies many, larger ones: where a tenth of the bright sources lie closest together is the
    stars' radius; of several such places that of the smallest. NaN where fewer than five are bright.
    """
    usable = (snr > BRIGHT) & (axis_ratio > ROUND) & ((flags & ~2) == 0) & np.isfinite(radius) & (radius > 0)
    sizes = np.sort(np.log(radius[usable]))
    if len(sizes) < FEWEST:
        return float("nan")
    most = max(FEWEST, round(SHARE * len(sizes)))
    widths = sizes[most - 1 :] - sizes[: len(sizes) - most + 1]
    first = int(np.flatnonzero(widths <= AS_DENSE * widths.min())[0])
    return float(np.exp(np.median(sizes[first : first + most])))


def are_points(
    radius: Floats, snr: Floats, axis_ratio: Floats, star: float, tolerance: float, least: float
) -> NDArray[np.bool_]:
    """Sources, (n,) each, that are no larger than stars of half-light radius `star` by more than `tolerance` of it, round, and of at least some S/N.

    None is where `star` is NaN.
    """
    with np.errstate(invalid="ignore"):
        small = radius < (1.0 + tolerance) * star
    return np.asarray(small & (axis_ratio > ROUND) & (snr >= least), np.bool_)
