"""Light in a region, and how far it stands out of the noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.measure.boxes import box_of

__all__ = ["light_in", "sn_per_pixel"]


def light_in(images: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Sum (n,) float64 of the pixels of images (n, y, x) in a region (n, y, x) bool."""
    found = np.zeros(len(images))
    _sums(images.float().numpy(force=True), region.numpy(force=True), found)
    return torch.from_numpy(found).to(images.device)


def sn_per_pixel(
    images: torch.Tensor, region: torch.Tensor, noise: torch.Tensor, gain: torch.Tensor | None
) -> torch.Tensor:
    """Mean S/N of a region's pixels that are not negative (Lotz et al. 2004, eq. 5).

    Parameters
    ----------
    images : (n, y, x) float tensor
    region : (n, y, x) bool tensor
    noise : (n, y, x) or (n, 1, 1) float tensor
        Standard deviation of the sky in each pixel, or in all of a stamp.
    gain : (n,) float tensor, optional
        Electrons per unit of the images.

    Returns
    -------
    (n,) float64 tensor. NaN where there are no such pixels, or one of them has no noise.
    """
    found = np.full(len(images), np.nan)
    _means(
        images.float().numpy(force=True),
        region.numpy(force=True),
        noise.double().numpy(force=True),
        (noise.new_full((len(images),), torch.inf) if gain is None else gain).double().numpy(force=True),
        found,
    )
    return torch.from_numpy(found).to(images.device)


@compiled
def _sums(images: Any, region: Any, found: Any) -> None:
    for i in range(len(images)):
        top, bottom, left, right = box_of(region[i])
        for y in range(top, bottom):
            for x in range(left, right):
                if region[i, y, x]:
                    found[i] += images[i, y, x]


@compiled
def _means(images: Any, region: Any, noise: Any, gain: Any, found: Any) -> None:
    one = noise.shape[1] == 1
    for i in range(len(images)):
        total, count, silent = 0.0, 0, False
        top, bottom, left, right = box_of(region[i])
        for y in range(top, bottom):
            for x in range(left, right):
                light = images[i, y, x]
                if region[i, y, x] and light >= 0:
                    variance = noise[i, 0 if one else y, 0 if one else x] ** 2 + light / gain[i]
                    if variance > 0:
                        total += light / np.sqrt(variance)
                    else:
                        silent = True
                    count += 1
        if count > 0 and not silent:
            found[i] = total / count
