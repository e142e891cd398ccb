"""Binned pixels: what a fit of a large object is made on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled

__all__ = ["bin_factor", "binned"]

_FACTORS = (16, 12, 8, 6, 4, 3, 2)
_SIZE = 6.0  # binned pixels to a half-light radius, at least
_SIDE = 64  # binned pixels to a side of the stamp, at least
_SMOOTH = 0.5  # half-light radii from the centre: farther out light is even enough over a binned pixel to be known from a part of it
_OFF = 1 / 32  # of a binned pixel's side: so far from its middle the middle of that part may lie


def bin_factor(size: torch.Tensor, side: int) -> torch.Tensor:
    """How many pixels a side are binned (n,) int64, by objects' half-light radii (n,), pixels, and the side of their stamps."""
    factor = torch.ones(size.shape, dtype=torch.int64, device=size.device)
    for larger in reversed(_FACTORS):
        if larger * _SIDE <= side:
            factor[size >= _SIZE * larger] = larger
    return factor


def binned(
    images: torch.Tensor, weights: torch.Tensor, factor: int, centre: torch.Tensor, radius: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Means of so many pixels a side, and their weights.

    Noise is not correlated from pixel to pixel: its variance in a mean of m pixels is the sum of theirs over m^2. A binned pixel of which some do not count
    is left out, unless it is farther than half a half-light radius from the centre, and the middle of those that count is within 1/32 of its side from its own:
    then it is their mean.

    Parameters
    ----------
    images : (n, y, x) float tensor
    weights : (n, y, x) float tensor
        One over the variance of each pixel, in any unit; zero where a pixel does not count, whatever it holds.
    factor : int
        Pixels a side; rows and columns that are left over are left out.
    centre : (n, 2) float tensor
        x, y in pixels.
    radius : (n,) float tensor
        Half-light radius, pixels.

    Returns
    -------
    (n, y, x) float32 tensors
        The weights are over that of a mean of pixels of weight one; zero where a binned pixel is left out.
    """
    n, height, width = images.shape
    light = np.zeros((n, height // factor, width // factor), np.float32)
    counted = np.zeros_like(light)
    place = torch.cat([centre, radius[:, None]], dim=1).double()
    _means(
        images.float().numpy(force=True),
        weights.float().numpy(force=True),
        factor,
        place.numpy(force=True),
        light,
        counted,
    )
    means, new = (torch.from_numpy(values).to(images.device) for values in (light, counted))
    return means, new


@compiled
def _means(images: Any, weights: Any, factor: int, place: Any, light: Any, counted: Any) -> None:
    """Fill in the means and their weights."""
    n, height, width = light.shape
    middle = (factor - 1) / 2
    for i in range(n):
        x0, y0, radius = place[i]
        for row in range(height):
            for column in range(width):
                total, variance, off_x, off_y, pixels = 0.0, 0.0, 0.0, 0.0, 0
                for y in range(factor):
                    for x in range(factor):
                        weight = weights[i, row * factor + y, column * factor + x]
                        if weight > 0:
                            total += images[i, row * factor + y, column * factor + x]
                            variance += 1 / weight
                            off_x += x - middle
                            off_y += y - middle
                            pixels += 1
                if pixels == 0:
                    continue
                if pixels < factor * factor:
                    away = np.hypot(column * factor + middle - x0, row * factor + middle - y0)
                    off = np.hypot(off_x, off_y) / pixels
                    if away <= _SMOOTH * radius or off > _OFF * factor:
                        continue
                light[i, row, column] = total / pixels
                counted[i, row, column] = pixels * pixels / (variance * factor * factor)
