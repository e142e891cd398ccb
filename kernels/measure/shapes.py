"""Centre and ellipse of an object, from the moments of its light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.elementary import atan2, hypot
from kernels.measure.boxes import box_of

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
    sums = np.full((len(images), 5), np.nan)
    about = images.new_zeros((0, 2)) if centre is None else centre
    _moments(
        images.float().numpy(force=True),
        region.numpy(force=True),
        about.double().numpy(force=True),
        sums,
    )
    x, y, xx, yy, xy = torch.from_numpy(sums).to(images.device).unbind(1)
    centre = torch.stack([x, y], dim=1)
    thin = xx * yy - xy**2 < _PIXEL**2
    xx, yy = (torch.where(thin, value + _PIXEL, value) for value in (xx, yy))
    apart = hypot((xx - yy) / 2, xy)
    small = (xx + yy) / 2 - apart
    # what is thinner than a pixel even with a pixel's variance has a negative moment
    small = torch.where(small > (1 - _ROUNDING) * torch.where(thin, _PIXEL, 0.0), small, torch.nan)
    ratio = (small / (small + 2 * apart)).sqrt()
    return Ellipse(centre, ratio, atan2(2 * xy, xx - yy) / 2 + 0 * ratio)


@compiled
def _moments(images: Any, region: Any, about: Any, sums: Any) -> None:
    """Fill in (n, 5): the centres (n, 2), or where there are none the centroids, and second moments about them."""
    n, height, width = images.shape
    for i in range(n):
        flux, x0, y0 = 0.0, 0.0, 0.0
        top, bottom, left, right = box_of(region[i])
        for y in range(top, bottom):
            line = 0.0
            for x in range(left, right):
                if region[i, y, x]:
                    light = np.float64(images[i, y, x])
                    line += light
                    x0 += light * x
            flux += line
            y0 += line * y
        if not flux > 0:
            continue
        x0, y0 = x0 / flux, y0 / flux
        if len(about) > 0:
            x0, y0 = about[i, 0], about[i, 1]
        elif not (0 <= x0 <= width - 1 and 0 <= y0 <= height - 1):
            continue
        xx, yy, xy = 0.0, 0.0, 0.0
        for y in range(top, bottom):
            line, line_x = 0.0, 0.0
            for x in range(left, right):
                if region[i, y, x]:
                    light = np.float64(images[i, y, x])
                    line += light
                    line_x += light * (x - x0)
                    xx += light * (x - x0) * (x - x0)
            yy += line * (y - y0) * (y - y0)
            xy += line_x * (y - y0)
        sums[i, 0], sums[i, 1], sums[i, 2], sums[i, 3], sums[i, 4] = x0, y0, xx / flux, yy / flux, xy / flux
