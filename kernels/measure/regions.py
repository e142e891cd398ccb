"""The pixels that Gini, M20 and S/N are measured on: what is brighter than the Petrosian radius, smoothed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.measure.flood import flood

__all__ = ["PetrosianRegion", "blur", "petrosian_region"]

_SMOOTHING = 0.2  # of the Petrosian radius
_TAILS = 4.0  # sigma at which a Gaussian is cut off


@dataclass(frozen=True)
class PetrosianRegion:
    """Pixels (n, y, x) bool of objects, and what was noticed about them (n,) bool."""

    pixels: torch.Tensor
    disjoint: torch.Tensor
    """Other pixels were as bright, apart from these."""
    full: torch.Tensor
    """The region reaches every border of the stamp: the object is larger."""


def petrosian_region(
    images: torch.Tensor,
    masked: torch.Tensor,
    centre: torch.Tensor,
    radius: torch.Tensor,
    ratio: torch.Tensor,
    angle: torch.Tensor,
) -> PetrosianRegion:
    """Connected pixels that are as bright, smoothed, as the ellipse of the Petrosian radius (Lotz et al. 2004, 2.2.1).

    The image is smoothed by a Gaussian with sigma = 0.2 r; the threshold is the mean of the smoothed image on an elliptical ring one
    pixel wide. Of several regions the one with the brightest smoothed pixel within r counts. As in Rodriguez-Gomez et al. (2019), but
    that pixel is not looked for in the whole stamp, and masked pixels are left out rather than counted as empty.

    Parameters
    ----------
    images : (n, y, x) float tensor
    masked : (n, y, x) bool tensor
    centre : (n, 2) float tensor
        x, y in pixels.
    radius : (n,) float tensor
        Petrosian radius along the major axis, pixels.
    ratio, angle : (n,) float tensor
        See `kernels.measure.growth.grow`.

    Returns
    -------
    PetrosianRegion
        Empty where a number is not finite, or nothing is bright enough.
    """
    found = np.zeros(images.shape, np.bool_)
    noticed = np.zeros((len(images), 2), np.bool_)
    light = torch.where(masked, 0.0, images.float()).numpy(force=True)
    shape = torch.cat([centre, radius[:, None], ratio[:, None], angle[:, None]], dim=1).double()
    _regions(light, masked.numpy(force=True), shape.numpy(force=True), found, noticed)
    pixels, notes = (torch.from_numpy(answer).to(images.device) for answer in (found, noticed))
    return PetrosianRegion(pixels, notes[:, 0], notes[:, 1])


@compiled
def _regions(light: Any, masked: Any, shape: Any, found: Any, noticed: Any) -> None:
    n, height, width = light.shape
    smooth = np.empty((height, width), np.float32)
    bright = np.empty((1, height, width), np.bool_)
    seed = np.empty((1, height, width), np.bool_)
    for i in range(n):
        x0, y0, radius, ratio, angle = shape[i]
        if not np.isfinite(shape[i].sum()) or ratio <= 0:
            continue
        blur(light[i], _SMOOTHING * radius, smooth)
        threshold, peak, top = _ring(smooth, x0, y0, radius, ratio, angle)
        if not np.isfinite(threshold) or peak < threshold:
            continue
        bright[0] = smooth >= threshold
        seed[:] = False
        seed[0, top // width, top % width] = True
        flood(seed, bright)
        found[i] = seed[0] & ~masked[i]
        noticed[i, 0] = seed.sum() < bright.sum()
        noticed[i, 1] = (
            seed[0, 0].any() and seed[0, -1].any() and seed[0, :, 0].any() and seed[0, :, -1].any()
        )


@compiled
def _ring(
    smooth: Any, x0: float, y0: float, radius: float, ratio: float, angle: float
) -> tuple[float, float, int]:
    """Mean on an elliptical ring one pixel wide, brightest value within it and where that is."""
    height, width = smooth.shape
    c, s = np.cos(angle), np.sin(angle)
    total, area, peak, top = 0.0, 0.0, -np.inf, 0
    for y in range(height):
        for x in range(width):
            along = c * (x - x0) + s * (y - y0)
            across = (c * (y - y0) - s * (x - x0)) / ratio
            away = np.sqrt(along * along + across * across) - radius
            part = max(1.0 - abs(away), 0.0)
            total += part * smooth[y, x]
            area += part
            if away <= 0 and smooth[y, x] > peak:
                peak, top = smooth[y, x], y * width + x
    return (total / area if area > 0 else np.nan), peak, top


@compiled
def blur(image: Any, sigma: float, smooth: Any) -> None:
    """Fill `smooth` (y, x) with an image convolved with a Gaussian, zero outside the stamp; sigma in pixels, 0 copies."""
    height, width = image.shape
    reach = int(_TAILS * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    weights = (weights / weights.sum()).astype(np.float32)
    rows = np.zeros((height, width), np.float32)
    for y in range(height):
        row = rows[y]
        for k in range(max(-reach, -y), min(reach, height - 1 - y) + 1):
            weight, other = weights[k + reach], image[y + k]
            for x in range(width):
                row[x] += weight * other[x]
    smooth[:] = 0
    for y in range(height):
        for k in range(max(-reach, 1 - width), min(reach, width - 1) + 1):
            weight = weights[k + reach]
            # slices from zero on: an index that might be negative would cost several times as much
            row, other = smooth[y, max(0, -k) : width - max(0, k)], rows[y, max(0, k) : width - max(0, -k)]
            for x in range(row.size):
                row[x] += weight * other[x]
