"""Gini and M20: how unevenly light is spread over an object's pixels, and how far out its brightest fifth lies."""

from __future__ import annotations

import torch

from kernels.measure.shapes import ellipse

__all__ = ["gini", "m20"]


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
    inside = region.flatten(1)
    count = inside.sum(dim=1)
    # pixels outside sort behind all others
    values = torch.where(inside, images.flatten(1).abs(), torch.inf).sort(dim=1).values.double()
    rank = torch.arange(1, values.shape[1] + 1, dtype=torch.float64, device=images.device)
    within = rank <= count[:, None]
    values = torch.where(within, values, 0.0)
    total = values.sum(dim=1)
    weighted = (torch.where(within, 2 * rank - count[:, None] - 1, 0.0) * values).sum(dim=1)
    good = (count > 1) & (total > 0)
    return torch.where(good, weighted / (total * (count - 1)), torch.nan)


def m20(images: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Second moment of the brightest pixels that hold a fifth of the flux, over that of all (Lotz et al. 2004, eqs. 7 and 8).

    Parameters
    ----------
    images : (n, y, x) float tensor
    region : (n, y, x) bool tensor

    Returns
    -------
    (n,) float64 tensor, log10. Moments are about the centroid of the region, which makes that of all smallest. Pixels as bright as the last one count too.
    NaN where the flux or a moment is not positive.
    """
    _, height, width = images.shape
    light = torch.where(region, images, 0.0).double()
    flux = light.sum(dim=(1, 2))
    centre = ellipse(images, region).centre  # NaN without flux
    x, y = (torch.arange(side, dtype=torch.float64, device=images.device) for side in (width, height))
    away = (x - centre[:, :1])[:, None, :] ** 2 + (y - centre[:, 1:])[:, :, None] ** 2
    moments = (light * away).flatten(1)
    values = light.flatten(1)
    ordered = values.sort(dim=1).values
    share = ordered.cumsum(dim=1) / flux[:, None]
    last = (share >= 0.8).to(torch.uint8).argmax(dim=1, keepdim=True)
    brightest = torch.where(values >= ordered.gather(1, last), moments, 0.0).sum(dim=1)
    whole = moments.sum(dim=1)
    good = (brightest > 0) & (whole > 0)
    return torch.where(good, (brightest / whole).log10(), torch.nan)
