"""Centre and ellipse of an object, from the moments of its light."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["Ellipse", "ellipse"]

_PIXEL = 1 / 12  # variance of a pixel, pixels^2


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
        NaN where the region is empty or its flux is not positive, or where its second moments are not.
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
    away_x, away_y = x - centre[:, :1], y - centre[:, 1:]
    xx = (columns * away_x**2).sum(dim=1) / flux
    yy = (rows * away_y**2).sum(dim=1) / flux
    xy = ((light * away_y[:, :, None]).sum(dim=1) * away_x).sum(dim=1) / flux
    thin = xx * yy - xy**2 < _PIXEL**2
    xx, yy = (torch.where(thin, value + _PIXEL, value) for value in (xx, yy))
    apart = torch.hypot((xx - yy) / 2, xy)
    small = (xx + yy) / 2 - apart
    ratio = (small / (small + 2 * apart)).sqrt()  # NaN where a moment is negative
    return Ellipse(centre, ratio, torch.atan2(2 * xy, xx - yy) / 2)
