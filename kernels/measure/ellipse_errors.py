"""Errors of an object's ellipse: of what the moments of its light say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.measure.aperture_errors import at
from kernels.measure.boxes import box_of
from kernels.measure.sersic_errors import LARGEST_ANGLE

if TYPE_CHECKING:
    from kernels.measure.growth import Growth
    from kernels.measure.shapes import Ellipse

__all__ = ["ellipse_errors"]

_PIXEL = 1 / 12  # variance of a pixel, pixels^2


def ellipse_errors(
    images: torch.Tensor, variance: torch.Tensor, region: torch.Tensor, circles: Growth, shape: Ellipse
) -> tuple[torch.Tensor, torch.Tensor]:
    """1-sigma errors (n,) float64 of the axis ratio and of the angle, radians, of second moments in a region about a fixed centre, by linear propagation.

    The region ends at a level of the light, so that noise moves its rim, too: by the noise of the pixels there over the light's slope, which is that of its mean on
    circles as large as the region.

    Parameters
    ----------
    images, variance : (n, y, x) float tensor
    region : (n, y, x) bool tensor
    circles : Growth
    shape : Ellipse
        Of these.

    Returns
    -------
    NaN where the ellipse is; that of the angle is at most that of an angle of which nothing is known, 52 degrees.
    """
    found = np.full((len(images), 2), np.nan)
    _moments(
        images.float().numpy(force=True),
        variance.float().numpy(force=True),
        region.numpy(force=True),
        circles.flux.numpy(force=True),
        circles.area.numpy(force=True),
        torch.cat([shape.centre, shape.ratio[:, None]], dim=1).double().numpy(force=True),
        found,
    )
    ratio, angle = torch.from_numpy(found).to(images.device).unbind(1)
    return ratio, angle.clamp(max=LARGEST_ANGLE)


@compiled
def _moments(images: Any, variance: Any, region: Any, curve: Any, area: Any, place: Any, found: Any) -> None:
    """Fill in the errors (n, 2) of ratio and angle."""
    n, height, width = images.shape
    for i in range(n):
        x0, y0, ratio = place[i]
        if not np.isfinite(x0 + y0 + ratio):
            continue
        flux, xx, yy, xy, pixels = 0.0, 0.0, 0.0, 0.0, 0
        top, bottom, left, right = box_of(region[i])
        for y in range(top, bottom):
            for x in range(left, right):
                if region[i, y, x]:
                    light, dx, dy = images[i, y, x], x - x0, y - y0
                    flux += light
                    pixels += 1
                    xx += light * dx * dx
                    yy += light * dy * dy
                    xy += light * dx * dy
        if not (flux > 0 and xx + yy > 0):
            continue
        xx, yy, xy = xx / flux, yy / flux, xy / flux
        more = _PIXEL if xx * yy - xy * xy < _PIXEL**2 else 0.0
        apart = max(np.sqrt(((xx - yy) / 2) ** 2 + xy * xy), 1e-6 * (xx + yy))
        c, s = (xx - yy) / (2 * apart), xy / apart
        small, large = (xx + yy) / 2 + more - apart, (xx + yy) / 2 + more + apart
        if not small > 0:
            continue
        by_ratio, by_angle = 0.0, 0.0
        scale = _scale_length(curve[i], area[i], np.sqrt(pixels / np.pi))
        for y in range(top, bottom):
            for x in range(left, right):
                if region[i, y, x]:
                    dx, dy = x - x0, y - y0
                    round_one = (dx * dx + dy * dy - xx - yy) / 2
                    along = c * (dx * dx - dy * dy - xx + yy) / 2 + s * (dx * dy - xy)
                    across = c * (dx * dy - xy) - s * (dx * dx - dy * dy - xx + yy) / 2
                    move = ((round_one - along) / small - (round_one + along) / large) / 2
                    rim = (
                        not (0 < y < height - 1 and 0 < x < width - 1)
                        or not (region[i, y - 1, x] and region[i, y + 1, x])
                        or not (region[i, y, x - 1] and region[i, y, x + 1])
                    )
                    # the light is smoothed by (1, 2, 1) / 4 before its level is looked for
                    weight = 1 + scale + 0.375 * scale * scale if rim else 1.0
                    by_ratio += weight * move * move * variance[i, y, x]
                    by_angle += weight * across * across * variance[i, y, x]
        found[i, 0] = ratio * np.sqrt(by_ratio) / abs(flux)
        found[i, 1] = np.sqrt(by_angle) / (2 * apart * abs(flux))


@compiled
def _scale_length(flux: Any, area: Any, radius: float) -> float:
    """The length, pixels, over which light falls by its own amount at a radius, from its mean on two rings; at most the radius."""
    step = max(1.0, 0.15 * radius)
    inner = (at(flux, radius) - at(flux, radius - step)) / max(
        at(area, radius) - at(area, radius - step), 1e-30
    )
    outer = (at(flux, radius + step) - at(flux, radius)) / max(
        at(area, radius + step) - at(area, radius), 1e-30
    )
    fall = (inner - outer) / step
    return min(max((inner + outer) / 2, 0.0) / fall, radius) if fall > 0 else radius
