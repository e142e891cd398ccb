"""Which pixels are the central object's, and which are somebody else's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from kernels.measure.compiled import compiled

__all__ = ["Segments", "flood", "grown", "segment"]

_THRESHOLD = 1.5  # of the smoothed image, in the noise of a pixel: four sigma of the smoothed noise
_NEIGHBOUR = 5.0  # what a neighbour must reach somewhere
_REACH = 0.25  # how far from the middle the central object may begin, in sides


@dataclass(frozen=True)
class Segments:
    """Pixels of stamps (n, y, x), by owner."""

    central: torch.Tensor
    """(n, y, x) bool: connected pixels of the central object."""
    others: torch.Tensor
    """(n, y, x) bool: pixels of neighbours."""
    found: torch.Tensor
    """(n,) bool: whether there is a central object."""
    smooth: torch.Tensor
    """(n, y, x) float32: the light smoothed by a 3 x 3 binomial kernel, bad pixels and what is outside taken for zero."""


def segment(images: torch.Tensor, noise: torch.Tensor, bad: torch.Tensor) -> Segments:
    """Part stamps into the central object, neighbours and sky.

    Light above 1.5 sigma after smoothing by a 3 x 3 binomial kernel is connected over edges and corners. The central object is
    the connected region with the pixel nearest to the stamp's middle, at most a quarter of the side away; neighbours are other regions that reach 5
    sigma somewhere, with whatever touches the region's edge. Fainter specks are left to the sky.

    Parameters
    ----------
    images : (n, y, x) float tensor
        Background-subtracted; bad pixels count for nothing.
    noise : (n,) float tensor
        Standard deviation of the sky in a pixel. Where it is zero all positive light is the object's.
    bad : (n, y, x) bool tensor

    Returns
    -------
    Segments
        An image without an object has empty regions and `found` false.
    """
    n, height, width = images.shape
    smooth = functional.pad(torch.where(bad, 0.0, images.float()), (1, 1, 1, 1))
    smooth = (smooth[:, :, :-2] + smooth[:, :, 2:]).add_(smooth[:, :, 1:-1], alpha=2)
    smooth = (smooth[:, :-2] + smooth[:, 2:]).add_(smooth[:, 1:-1], alpha=2).div_(16)
    sigma = noise.float()[:, None, None]
    lit = (smooth > _THRESHOLD * sigma) & ~bad
    y, x = (torch.arange(side, device=images.device) - (side - 1) / 2 for side in (height, width))
    away = (y[:, None] ** 2 + x**2).flatten()
    nearest = torch.where(lit.flatten(1), away, torch.inf).min(dim=1)
    found = nearest.values <= (_REACH * min(height, width)) ** 2
    seed = torch.zeros((n, height * width), dtype=torch.bool, device=images.device)
    seed.scatter_(1, nearest.indices[:, None], found[:, None])
    central = grown(seed.view(n, height, width), lit)
    rest = lit & ~central
    others = grown(rest & (smooth > _NEIGHBOUR * sigma), rest)
    return Segments(central, others, found, smooth)


def grown(seeds: torch.Tensor, within: torch.Tensor) -> torch.Tensor:
    """All pixels of `within` that seeds (n, y, x) bool are connected to, over edges and corners."""
    region = (seeds & within).numpy(force=True)  # of its own: & makes a new one
    flood(region, within.numpy(force=True))
    return torch.from_numpy(region).to(within.device)


@compiled
def flood(region: Any, within: Any) -> None:
    """Let regions (n, y, x) bool grow over all pixels of `within` that touch them."""
    n, height, width = region.shape
    waiting = np.empty(height * width, np.int32)
    for i in range(n):
        count = 0
        for y in range(height):
            for x in range(width):
                if region[i, y, x]:
                    waiting[count] = y * width + x
                    count += 1
        while count:
            count -= 1
            y, x = divmod(waiting[count], width)
            for to_y in range(max(y - 1, 0), min(y + 2, height)):
                for to_x in range(max(x - 1, 0), min(x + 2, width)):
                    if within[i, to_y, to_x] and not region[i, to_y, to_x]:
                        region[i, to_y, to_x] = True
                        waiting[count] = to_y * width + to_x
                        count += 1
