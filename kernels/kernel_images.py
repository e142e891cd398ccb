"""Kernels that an image is convolved with before sources are found in it."""

from __future__ import annotations

import numpy as np

__all__ = ["kernel_of"]

PYRAMID = ((1.0, 2.0, 1.0), (2.0, 4.0, 2.0), (1.0, 2.0, 1.0))
"""SExtractor's default.conv."""
WIDTH = 1.5
"""FWHMs that half a Gaussian kernel's side has."""


def kernel_of(kernel: str | float) -> tuple[tuple[float, ...], ...] | None:
    """A kernel by its name or the FWHM of a Gaussian, pixels; None where there is none. An odd number of rows, peak at 1 but for SExtractor's."""
    if kernel == "none":
        return None
    if isinstance(kernel, str):
        return PYRAMID
    half = max(1, int(np.ceil(WIDTH * kernel)))
    offset = np.arange(-half, half + 1)
    line = np.exp(-4.0 * np.log(2.0) * (offset / kernel) ** 2)
    return tuple(tuple(float(value) for value in row) for row in np.outer(line, line))
