"""Point spread functions: how wide one is, how far its transform reaches, and one of a given width."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from scipy import ndimage, special

from kernels.measure.transfer import FARTHEST, reach

__all__ = ["PSF", "full_width", "gaussian"]

_FINE = 8  # parts of a pixel
_BRIGHT, _AROUND = (
    0.25,
    2,
)  # of the brightest pixel, and pixels around: where the light above half of the peak lies
_SIGMA = 1 / math.sqrt(8 * math.log(2))  # in FWHM
_LADDER = 0.8  # from one reach to the next


class PSF:
    """The PSF of one object among others that have other ones; what follows from its image is found once.

    Parameters
    ----------
    image : (py, px) float tensor
        As for `kernels.measure.profiles.Camera`.
    """

    def __init__(self, image: torch.Tensor) -> None:
        self.image = image

    @functools.cached_property
    def fwhm(self) -> float:
        """See `full_width`; pixels."""
        return full_width(self.image)

    @functools.cached_property
    def reach(self) -> float:
        """The wave number up to which it is looked at: one of a few, so that many PSFs are seen on the same grid, and never less than `kernels.measure.transfer.reach`."""
        least, wanted = FARTHEST, reach(self.image)
        while least * _LADDER >= wanted:
            least *= _LADDER
        return least


def full_width(psf: torch.Tensor) -> float:
    """FWHM in pixels of a PSF (y, x): of the circle as large as what is above half of its peak, interpolated by a cubic spline."""
    image = psf.double().numpy(force=True)
    bright = image > _BRIGHT * image.max()
    near = (_near(bright.any(axis=1)), _near(bright.any(axis=0)))
    down, across = (_finer(size)[part] for size, part in zip(image.shape, near, strict=True))
    fine = down @ image @ across.T
    return float(2 * np.sqrt((fine > fine.max() / 2).sum() / math.pi) / _FINE)


def _near(bright: np.ndarray) -> slice:
    """Parts of pixels, from the first to the last bright one and a little farther."""
    places = np.flatnonzero(bright)
    first, last = (places[0], places[-1]) if len(places) else (0, len(bright) - 1)
    return slice(max(0, first - _AROUND) * _FINE, (last + 1 + _AROUND) * _FINE)


@functools.lru_cache(maxsize=64)
def _finer(size: int) -> np.ndarray:
    """What cubic splines make of each of so many pixels (parts, pixels): interpolation is linear, and along one axis at a time."""
    each = [ndimage.zoom(pixel, _FINE, order=3, grid_mode=True, mode="nearest") for pixel in np.eye(size)]
    return np.stack(each, axis=1)


def gaussian(fwhm: float) -> torch.Tensor:
    """Gaussian PSF (side, side) float32 of a FWHM in pixels, averaged over pixels, its sum 1; the side is odd and five sigma wide on either side."""
    sigma = fwhm * _SIGMA
    reach = max(1, math.ceil(5 * sigma))
    edges = (np.arange(-reach, reach + 2) - 0.5) / (sigma * math.sqrt(2))
    line = np.diff(special.erf(edges))
    image = torch.from_numpy(np.outer(line, line))
    return (image / image.sum()).float()
