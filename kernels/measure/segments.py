"""Which pixels are the central object's, and which are somebody else's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

__all__ = ["Segments", "segment"]

_THRESHOLD = 1.5  # of the smoothed image, in the noise of a pixel: four sigma of the smoothed noise
_NEIGHBOUR = 5.0  # what a neighbour must reach somewhere
_REACH = 0.25  # how far from the middle the central object may begin, in sides
_STEPS = 8  # of growth between two looks at whether it is over


@dataclass(frozen=True)
class Segments:
    """Pixels of stamps (n, y, x), by owner."""

    central: torch.Tensor
    """(n, y, x) bool: connected pixels of the central object."""
    others: torch.Tensor
    """(n, y, x) bool: pixels of neighbours."""
    found: torch.Tensor
    """(n,) bool: whether there is a central object."""


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
    return Segments(central, others, found)


def grown(seeds: torch.Tensor, within: torch.Tensor) -> torch.Tensor:
    """All pixels of `within` that seeds (n, y, x) bool are connected to, over edges and corners."""
    n, height, width = within.shape
    # in one row of bytes, with empty borders between images, a step in any direction is a shift of everything
    line = width + 1
    region, allowed = (
        functional.pad(pixels.to(torch.uint8), (0, 1, 0, 1)).flatten() for pixels in (seeds & within, within)
    )
    while True:
        before = region
        for _ in range(_STEPS):
            wide = region.clone()
            wide[1:] |= region[:-1]
            wide[:-1] |= region[1:]
            region = wide.clone()
            region[line:] |= wide[:-line]
            region[:-line] |= wide[line:]
            region &= allowed
        if torch.equal(region, before):
            return region.view(n, height + 1, line)[:, :height, :width].bool()
