"""Centre and ellipse of an object, from the moments of its light."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kernels.elementary import atan2, hypot

__all__ = ["Ellipse", "ellipse"]

_PIXEL = 1 / 12  # variance of a pixel, pixels^2
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Ellipse:
    """Moments of objects, float64; NaN where an object has no light."""

    centre: torch.Tensor
    """(n, 2): x, y in pixels; the middle of the first pixel is (0, 0)."""
    ratio: torch.Tensor
    """(n,): axis ratio b / a of the Gaussian with the same second moments."""
    angle: torch.Tensor
    """(n,): direction of the major axis, radians from x to y, between -pi / 2 and pi / 2."""


def ellipse(images: torch.Tensor, region: torch.Tensor, centre: torch.Tensor | None = None) -> Ellipse:
    """Centroid and second moments of the light in a region.

    As SExtractor does it (Bertin & Arnouts 1996, A&AS 117, 393; manual, eqs. 21-27 and 43): an object thinner than a pixel gets the variance
    of a pixel in every direction.

    Parameters
    ----------
    images : (n, y, x) float tensor
    region : (n, y, x) bool tensor
        Pixels that count.
    centre : (n, 2) float tensor, optional
        Where second moments are taken about, by default the centroid.

    Returns
    -------
    Ellipse
        NaN where the region is empty or its flux is not positive, or where its centroid is outside the stamp, as negative pixels can have it; the ratio and
        the angle are NaN, too, where a second moment is not positive.
    """
    _, height, width = images.shape
    light = torch.where(region, images, 0.0).double()
    columns, rows = light.sum(dim=1), light.sum(dim=2)  # (n, x), (n, y)
    flux = columns.sum(dim=1)
    flux = torch.where(flux > 0, flux, torch.nan)
    x = torch.arange(width, dtype=torch.float64, device=images.device)
    y = torch.arange(height, dtype=torch.float64, device=images.device)
    if centre is None:
        centre = torch.stack([(columns * x).sum(dim=1), (rows * y).sum(dim=1)], dim=1) / flux[:, None]
        last = torch.tensor([width - 1, height - 1], device=images.device)
        inside = ((centre >= 0) & (centre <= last)).all(dim=1, keepdim=True)
        centre = torch.where(inside, centre, torch.nan)
    away_x, away_y = x - centre[:, :1], y - centre[:, 1:]
    xx = (columns * away_x**2).sum(dim=1) / flux
    yy = (rows * away_y**2).sum(dim=1) / flux
    xy = ((light * away_y[:, :, None]).sum(dim=1) * away_x).sum(dim=1) / flux
    thin = xx * yy - xy**2 < _PIXEL**2
    xx, yy = (torch.where(thin, value + _PIXEL, value) for value in (xx, yy))
    apart = hypot((xx - yy) / 2, xy)
    small = (xx + yy) / 2 - apart
    # what is thinner than a pixel even with a pixel's variance has a negative moment
    small = torch.where(small > (1 - _ROUNDING) * torch.where(thin, _PIXEL, 0.0), small, torch.nan)
    ratio = (small / (small + 2 * apart)).sqrt()
    return Ellipse(centre, ratio, atan2(2 * xy, xx - yy) / 2 + 0 * ratio)
