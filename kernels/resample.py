"""The middle of a stamp on fewer pixels: its light is kept, and nothing finer than the new pixels is left to alias."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["resample"]

_LARGEST = float(np.finfo(np.float32).max)


def resample(stamps: NDArray[np.float32], extents: NDArray[np.floating], size: int) -> NDArray[np.float32]:
    """Bring the central square of each stamp to one number of pixels.

    Each new pixel holds the light that fell on its area, every old one shared out by how much of it lies there (as drizzle does with whole pixels, Fruchter
    & Hook 2002, PASP 114, 144, and reproject's "exact"). So the sum over the square is kept whatever its side, and the mean over a pixel's area is what
    keeps finer detail from aliasing. Where pixels are shared, the noise of new ones differs a little from pixel to pixel, and is correlated.

    Parameters
    ----------
    stamps : (n, b, side, side) float32 array
        Finite.
    extents : (n,) float array
        Side of the square, in pixels of the stamp: at most `side`, and at least `size`.
    size : int
        Pixels a side of what comes out.

    Returns
    -------
    (n, b, size, size) float32 array; a square of `size` pixels in a stamp of `size` is the stamp itself. Sums that float32 cannot hold become its largest number.

    Raises
    ------
    ValueError
        If an extent is beyond those limits.
    """
    n, bands, side, _ = stamps.shape
    if not ((extents >= size) & (extents <= side)).all():
        raise ValueError(
            f"extents of {extents.min():g} to {extents.max():g} pixels: they are {size} to {side}"
        )
    if side == size:
        return stamps
    found = np.empty((n, bands, size, size), np.float32)
    _resample(stamps, extents.astype(np.float64), found)
    return found


@compiled
def _resample(stamps: Any, extents: Any, found: Any) -> None:
    n, bands, side, _ = stamps.shape
    size = found.shape[-1]
    rows = np.empty((size, side), np.float64)
    for i in range(n):
        first, step = (side - extents[i]) / 2, extents[i] / size
        for b in range(bands):
            rows[:] = 0.0
            for y in range(size):
                low, high = max(first + y * step, 0.0), min(first + (y + 1) * step, float(side))
                for old in range(int(low), min(int(np.ceil(high)), side)):
                    share = min(high, old + 1.0) - max(low, float(old))
                    for x in range(side):
                        rows[y, x] += share * stamps[i, b, old, x]
            for x in range(size):
                low, high = max(first + x * step, 0.0), min(first + (x + 1) * step, float(side))
                for y in range(size):
                    light = 0.0
                    for old in range(int(low), min(int(np.ceil(high)), side)):
                        light += (min(high, old + 1.0) - max(low, float(old))) * rows[y, old]
                    found[i, b, y, x] = min(max(light, -_LARGEST), _LARGEST)
