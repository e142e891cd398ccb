"""The frame that a picture's central galaxy fills: cutouts of one angular size become stamps of one apparent size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

if TYPE_CHECKING:
    from catalogs._types import Array

SMOOTHING = 3.0
"""Sigma in pixels before the threshold: noise must not join neighbours."""
THRESHOLD = 4.0
"""Sigmas of the sky above which a pixel belongs to an object."""
FAINTEST = 8.0
"""Least height of the threshold in 8-bit steps: compression has flattened the sky's noise."""
ROOM = 1.3
"""Half the frame's side, in units of the radius that holds 95 % of the galaxy's pixels."""
SMALLEST, UNSEEN = 24.0, 60.0
"""Half sides in pixels: the least, and that of a picture whose centre is dark."""


def galaxy_frame(picture: Array) -> tuple[float, float, float, float]:
    """Square around the picture's centre that the galaxy there fills.

    Parameters
    ----------
    picture : (y, x) or (y, x, band) array

    Returns
    -------
    left, upper, right, lower : float
        In pixels, as Pillow counts them, within the picture.
    """
    faintest = FAINTEST if np.asarray(picture).dtype == np.uint8 else 0.0
    light = np.asarray(picture, np.float32)
    lit = np.isfinite(light)
    if not lit.all():  # a pixel without value would spoil all that smoothing brings together
        light = np.where(lit, light, np.median(light[lit]) if lit.any() else 0)
    light = ndimage.gaussian_filter(light.mean(axis=2) if light.ndim > 2 else light, SMOOTHING)
    height, width = light.shape
    border = max(1, min(height, width) // 20)
    sky = np.concatenate(
        [
            light[:border].ravel(),
            light[-border:].ravel(),
            light[:, :border].ravel(),
            light[:, -border:].ravel(),
        ]
    )
    middle = np.median(sky)
    sigma = 1.4826 * np.median(np.abs(sky - middle))
    objects, _ = ndimage.label(light > middle + max(THRESHOLD * sigma, faintest))
    y, x = np.nonzero(objects == objects[height // 2, width // 2])
    half = UNSEEN
    if objects[height // 2, width // 2]:
        half = ROOM * float(np.percentile(np.hypot(y - height / 2, x - width / 2), 95))
    half = min(max(half, SMALLEST), min(height, width) / 2)
    return width / 2 - half, height / 2 - half, width / 2 + half, height / 2 + half
