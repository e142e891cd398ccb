"""Gini and M20: how unevenly light is spread over an object's pixels, and how far out its brightest fifth lies."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.measure.boxes import box_of
from kernels.measure.order import sort

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
    values, room = np.empty(height * width, np.float32), np.empty(height * width, np.float32)
    for i in range(n):
        count = 0
        top, bottom, left, right = box_of(region[i])
        for y in range(top, bottom):
            for x in range(left, right):
                if region[i, y, x]:
                    values[count] = abs(images[i, y, x])
                    count += 1
        sort(values, room, count)
        total, weighted = 0.0, 0.0
        for rank in range(count):
            total += values[rank]
            weighted += (2 * rank + 1 - count) * np.float64(values[rank])
        if count > 1 and total > 0:
            found[i] = min(max(weighted / (total * (count - 1)), 0.0), 1.0)  # but for rounding it is


@compiled
def _m20(images: Any, region: Any, found: Any) -> None:
    n, height, width = images.shape
    values, room = np.empty(height * width, np.float32), np.empty(height * width, np.float32)
    for i in range(n):
        count, flux, x0, y0 = 0, 0.0, 0.0, 0.0
        top, bottom, left, right = box_of(region[i])
        for y in range(top, bottom):
            for x in range(left, right):
                if region[i, y, x]:
                    light = np.float64(images[i, y, x])
                    values[count] = images[i, y, x]
                    flux += light
                    x0 += light * x
                    y0 += light * y
                    count += 1
        if not flux > 0:
            continue
        x0 /= flux
        y0 /= flux
        # from the faintest up, negative pixels with it, to four fifths of the flux
        sort(values, room, count)
        share, least = 0.0, np.inf
        for rank in range(count):
            share += values[rank]
            if share >= 0.8 * flux:
                least = values[rank]
                break
        brightest, whole = 0.0, 0.0
        for y in range(top, bottom):
            for x in range(left, right):
                if region[i, y, x]:
                    light = np.float64(images[i, y, x])
                    moment = light * ((x - x0) ** 2 + (y - y0) ** 2)
                    whole += moment
                    if light >= least:
                        brightest += moment
        if _ROUNDING * whole < brightest <= whole:
            found[i] = np.log10(brightest / whole)
