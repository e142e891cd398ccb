"""Gini and M20: how unevenly light is spread over an object's pixels, and how far out its brightest fifth lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled

__all__ = ["gini", "m20"]

_ROUNDING = 1e-12


def gini(images: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Gini coefficient of the absolute pixel values in a region (Lotz et al. 2004, AJ 128, 163, eq. 6).

    Parameters
    ----------
    images : (n, y, x) float tensor
    region : (n, y, x) bool tensor

    Returns
    -------
    (n,) float64 tensor, 0 for even light and 1 for all light in one pixel. NaN for fewer than two pixels and where all are zero.
    """
    found = np.full(len(images), np.nan)
    _gini(images.float().numpy(force=True), region.numpy(force=True), found)
    return torch.from_numpy(found).to(images.device)


def m20(images: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Second moment of the brightest pixels that hold a fifth of the flux, over that of all (Lotz et al. 2004, eqs. 7 and 8).

    Parameters
    ----------
    images : (n, y, x) float tensor
    region : (n, y, x) bool tensor

    Returns
    -------
    (n,) float64 tensor, log10. Moments are about the centroid of the region, which makes that of all smallest. Pixels as bright as the last one count too.
    NaN where the flux or a moment is not positive, that of the rest included.
    """
    found = np.full(len(images), np.nan)
    _m20(images.float().numpy(force=True), region.numpy(force=True), found)
    return torch.from_numpy(found).to(images.device)


@compiled
def _gini(images: Any, region: Any, found: Any) -> None:
    n, height, width = images.shape
    values = np.empty(height * width)
    for i in range(n):
        count = 0
        for y in range(height):
            for x in range(width):
                if region[i, y, x]:
                    values[count] = abs(images[i, y, x])
                    count += 1
        ordered = np.sort(values[:count])
        total, weighted = 0.0, 0.0
        for rank in range(count):
            total += ordered[rank]
            weighted += (2 * rank + 1 - count) * ordered[rank]
        if count > 1 and total > 0:
            found[i] = min(max(weighted / (total * (count - 1)), 0.0), 1.0)  # but for rounding it is


@compiled
def _m20(images: Any, region: Any, found: Any) -> None:
    n, height, width = images.shape
    light, columns, rows = np.empty(height * width), np.empty(height * width), np.empty(height * width)
    for i in range(n):
        count = 0
        for y in range(height):
            for x in range(width):
                if region[i, y, x]:
                    light[count], columns[count], rows[count] = images[i, y, x], x, y
                    count += 1
        values = light[:count]
        flux = values.sum()
        if not flux > 0:
            continue
        away_x = columns[:count] - (values * columns[:count]).sum() / flux
        away_y = rows[:count] - (values * rows[:count]).sum() / flux
        moments = values * (away_x**2 + away_y**2)
        # from the faintest up, negative pixels with it, to four fifths of the flux
        share, least = 0.0, np.inf
        for value in np.sort(values):
            share += value
            if share >= 0.8 * flux:
                least = value
                break
        brightest, whole = moments[values >= least].sum(), moments.sum()
        if _ROUNDING * whole < brightest <= whole:
            found[i] = np.log10(brightest / whole)
