"""Point spread functions: how wide one is, and one of a given width."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import ndimage, special

__all__ = ["full_width", "gaussian"]

_FINE = 8  # parts of a pixel
_SIGMA = 1 / math.sqrt(8 * math.log(2))  # in FWHM


def full_width(psf: torch.Tensor) -> float:
    """FWHM in pixels of a PSF (y, x): of the circle as large as what is above half of its peak, interpolated by a cubic spline."""
    fine = ndimage.zoom(psf.double().numpy(force=True), _FINE, order=3, grid_mode=True, mode="nearest")
    return float(2 * np.sqrt((fine > fine.max() / 2).sum() / math.pi) / _FINE)


def gaussian(fwhm: float) -> torch.Tensor:
    """Gaussian PSF (side, side) float32 of a FWHM in pixels, averaged over pixels, its sum 1; the side is odd and five sigma wide on either side."""
    sigma = fwhm * _SIGMA
    reach = max(1, math.ceil(5 * sigma))
    edges = (np.arange(-reach, reach + 2) - 0.5) / (sigma * math.sqrt(2))
    line = np.diff(special.erf(edges))
    image = torch.from_numpy(np.outer(line, line))
    return (image / image.sum()).float()
