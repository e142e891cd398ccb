"""G2: how much of the gradient field of an object has no counterpart on the other side of its centre."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled

__all__ = ["g2"]

_LENGTH, _ANGLE = (
    0.01,
    0.01,
)  # of the longest gradient, and radians: what counts as the same (CyMorph's defaults)


def g2(images: torch.Tensor, region: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """Second gradient moment (Rosa et al. 2018, MNRAS 477, L101; Barchi et al. 2020, Astronomy and Computing 30, 100334).

        G2 = V_A / V (2 - |sum of v| / sum of |v|)

    V gradients are known, V_A of them, v, are asymmetric: they are longer than 0.01 of the longest one, and the one on the other side of the centre differs in length by more than that or
    is not opposite to within 0.01 radians. A gradient whose counterpart is not known is asymmetric.

    Parameters
    ----------
    images : (n, y, x) float tensor
    region : (n, y, x) bool tensor
        Gradients are known where a pixel and its four neighbours are in it.
    centre : (n, 2) float tensor
        x, y in pixels; the nearest whole or half pixel is taken, so that every pixel has a counterpart.

    Returns
    -------
    (n,) float64 tensor from 0, for symmetric objects, to 2. NaN where no gradient is known, or the centre is not.
    """
    found = np.full(len(images), np.nan)
    _moments(
        images.float().numpy(force=True),
        region.numpy(force=True),
        centre.double().numpy(force=True),
        found,
    )
    return torch.from_numpy(found).to(images.device)


@compiled
def _moments(images: Any, region: Any, centre: Any, found: Any) -> None:
    n, height, width = images.shape
    slopes = np.empty((height, width, 2))
    for i in range(n):
        if not np.isfinite(centre[i, 0] + centre[i, 1]):
            continue
        longest = _slopes(images[i], region[i], slopes)
        across, down = int(np.floor(2 * centre[i, 0] + 0.5)), int(np.floor(2 * centre[i, 1] + 0.5))
        known, odd, sum_x, sum_y, lengths = 0, 0, 0.0, 0.0, 0.0
        for y in range(1, height - 1):
            for x in range(1, width - 1):
                gx, gy = slopes[y, x, 0], slopes[y, x, 1]
                if np.isnan(gx):
                    continue
                known += 1
                length = np.sqrt(gx * gx + gy * gy)
                to_x, to_y = across - x, down - y
                hx, hy = np.nan, np.nan
                if 0 <= to_x < width and 0 <= to_y < height:
                    hx, hy = slopes[to_y, to_x, 0], slopes[to_y, to_x, 1]
                if length <= _LENGTH * longest or _opposite(gx, gy, hx, hy, _LENGTH * longest):
                    continue
                odd += 1
                sum_x += gx
                sum_y += gy
                lengths += length
        if known > 0 and longest > 0:
            confluence = np.sqrt(sum_x * sum_x + sum_y * sum_y) / lengths if odd > 0 else 0.0
            found[i] = odd / known * (2 - min(confluence, 1.0))


@compiled
def _slopes(image: Any, region: Any, slopes: Any) -> float:
    """Fill in the gradients (y, x, 2), x and y, NaN where they are not known; the length of the longest."""
    height, width = image.shape
    slopes[:] = np.nan
    longest = 0.0
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            if not (region[y, x] and region[y, x - 1] and region[y, x + 1]):
                continue
            if region[y - 1, x] and region[y + 1, x]:
                gx = (float(image[y, x + 1]) - image[y, x - 1]) / 2
                gy = (float(image[y + 1, x]) - image[y - 1, x]) / 2
                slopes[y, x, 0], slopes[y, x, 1] = gx, gy
                longest = max(longest, np.sqrt(gx * gx + gy * gy))
    return longest


@compiled
def _opposite(gx: float, gy: float, hx: float, hy: float, length: float) -> bool:
    """Whether two gradients have about the same length and opposite directions; False for NaN."""
    one, other = np.sqrt(gx * gx + gy * gy), np.sqrt(hx * hx + hy * hy)
    if not abs(one - other) <= length:
        return False
    # the sine of a small angle is the angle
    return gx * hx + gy * hy < 0 and abs(gx * hy - gy * hx) <= _ANGLE * one * other
