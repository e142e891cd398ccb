"""Asymmetries of other kinds: of the object's shape, of its outskirts, and of its squared light."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.measure.flood import flood

if TYPE_CHECKING:
    from kernels.measure.growth import Growth
    from kernels.measure.shapes import Ellipse

__all__ = ["OtherAsymmetries", "other_asymmetries"]


@dataclass(frozen=True)
class OtherAsymmetries:
    """Values (n,) float64."""

    shape_asymmetry: torch.Tensor
    outer_asymmetry: torch.Tensor
    rms_asymmetry2: torch.Tensor


def other_asymmetries(
    images: torch.Tensor,
    masked: torch.Tensor,
    noise: torch.Tensor,
    shape: Ellipse,
    radius: torch.Tensor,
    ellipses: Growth,
    sky: torch.Tensor,
) -> OtherAsymmetries:
    """Three asymmetries about a given centre, that of least asymmetry; the turned image is interpolated bilinearly.

    - Shape (Pawlik et al. 2016, MNRAS 456, 3032): of the object's mask, 1 where the mean of 3 x 3 pixels is above the noise of one and connected to the
      centre, in the circle that holds it: sum |B - B_180| over the mean of sum B and sum B_180, which differ where a part is turned to outside the stamp.
    - Outer (Wen, Zheng & An 2014, ApJ 787, 130): as the ordinary one, between the ellipse with half of the light and the ellipse that holds the mask.
    - RMS, squared (Sazonova et al. 2024, eq. 27): (sum (I - I_180)^2 - 2 area sigma^2) / (sum I^2 - area sigma^2) in the ordinary one's circle.

    A turned pixel between others has less noise, as it is their mean: so much less is taken off for the sky here, where statmorph takes off what would be right for whole pixels.

    Parameters
    ----------
    images : (n, y, x) float tensor
    masked : (n, y, x) bool tensor
        Pixels that do not count, nor do those that they are turned to.
    noise : (n, y, x) or (n, 1, 1) float tensor
        Of the sky.
    shape : Ellipse
        Its centre is what is turned about.
    radius : (n,) float tensor
        Of the ordinary asymmetry's circle, pixels.
    ellipses : Growth
        On ellipses of the shape.
    sky : (n,) float tensor
        See `kernels.measure.asymmetry.sky_asymmetry`.

    Returns
    -------
    OtherAsymmetries
        NaN where the centre or the radius is, where nothing is above the noise, and where the light below is not positive.
    """
    masks, reach = np.zeros(images.shape, np.bool_), np.full((len(images), 2), np.nan)
    place = torch.stack([*shape.centre.unbind(1), shape.ratio, shape.angle, radius, sky], dim=1).double()
    light = torch.where(masked, 0.0, images.float()).numpy(force=True)
    sigma = noise.double().numpy(force=True)
    _masks(light, sigma, place.numpy(force=True), masks, reach)
    half = ellipses.radius(0.5, torch.from_numpy(reach[:, 1]).to(images.device))
    found = np.full((len(images), 3), np.nan)
    place = torch.cat([place, torch.from_numpy(reach).to(images.device), half[:, None]], dim=1)
    _turned(light, masked.numpy(force=True), sigma, masks, place.numpy(force=True), found)
    return OtherAsymmetries(*torch.from_numpy(found).to(images.device).unbind(1))


@compiled
def _masks(light: Any, noise: Any, place: Any, masks: Any, reach: Any) -> None:
    """Fill in the objects' masks (n, y, x), and the radii of the circle and of the ellipse that hold each."""
    n, height, width = light.shape
    above, seed = np.empty((1, height, width), np.bool_), np.empty((1, height, width), np.bool_)
    one = noise.shape[1] == 1
    for i in range(n):
        x0, y0, ratio, angle = place[i, 0], place[i, 1], place[i, 2], place[i, 3]
        if not np.isfinite(x0 + y0 + ratio + angle):
            continue
        for y in range(height):
            for x in range(width):
                total = 0.0
                for to_y in range(max(y - 1, 0), min(y + 2, height)):
                    for to_x in range(max(x - 1, 0), min(x + 2, width)):
                        total += light[i, to_y, to_x]
                above[0, y, x] = total > 9 * noise[i, 0 if one else y, 0 if one else x]
        x, y = int(np.floor(x0 + 0.5)), int(np.floor(y0 + 0.5))
        if not (0 <= x < width and 0 <= y < height and above[0, y, x]):
            continue
        seed[:] = False
        seed[0, y, x] = True
        flood(seed, above)
        masks[i] = seed[0]
        c, s = np.cos(angle), np.sin(angle)
        reach[i, 0], reach[i, 1] = 0.0, 0.0
        for y in range(height):
            for x in range(width):
                if seed[0, y, x]:
                    dx, dy = x - x0, y - y0
                    along, across = c * dx + s * dy, (c * dy - s * dx) / ratio
                    reach[i, 0] = max(reach[i, 0], np.sqrt(dx * dx + dy * dy))
                    reach[i, 1] = max(reach[i, 1], np.sqrt(along * along + across * across))


@compiled
def _turned(light: Any, masked: Any, noise: Any, masks: Any, place: Any, found: Any) -> None:
    """Fill in the three values (n, 3)."""
    n, height, width = light.shape
    one = noise.shape[1] == 1
    sums = np.empty(9)
    for i in range(n):
        x0, y0, ratio, angle, radius, sky, circle, ellipse, half = place[i]
        if not np.isfinite(x0 + y0 + ratio + angle):
            continue
        c, s = np.cos(angle), np.sin(angle)
        to_x, to_y = int(np.floor(2 * x0)), int(np.floor(2 * y0))
        far_x, far_y = 2 * x0 - to_x, 2 * y0 - to_y
        back_x, back_y = int(far_x > 0), int(far_y > 0)
        # variance of a difference, in that of a pixel
        both = 1 + (1 - 2 * far_x * (1 - far_x)) * (1 - 2 * far_y * (1 - far_y))
        sums[:] = 0
        for y in range(height):
            row = to_y - y
            for x in range(width):
                column = to_x - x
                if row < 0 or column < 0 or row + back_y >= height or column + back_x >= width:
                    continue
                if masked[i, y, x] or masked[i, row, column]:
                    continue
                dx, dy = x - x0, y - y0
                away = np.sqrt(dx * dx + dy * dy)
                along, across = c * dx + s * dy, (c * dy - s * dx) / ratio
                stretched = np.sqrt(along * along + across * across)
                w00, w01 = (1 - far_y) * (1 - far_x), (1 - far_y) * far_x
                w10, w11 = far_y * (1 - far_x), far_y * far_x
                below, beside = row + back_y, column + back_x
                turned = (
                    w00 * light[i, row, column]
                    + w01 * light[i, row, beside]
                    + w10 * light[i, below, column]
                    + w11 * light[i, below, beside]
                )
                off = light[i, y, x] - turned
                part = min(max(circle + 0.5 - away, 0.0), 1.0)
                if part > 0:
                    mask = (
                        w00 * masks[i, row, column]
                        + w01 * masks[i, row, beside]
                        + w10 * masks[i, below, column]
                        + w11 * masks[i, below, beside]
                    )
                    sums[0] += part * abs(masks[i, y, x] - mask)
                    sums[1] += part * (masks[i, y, x] + mask) / 2
                part = min(max(ellipse + 0.5 - stretched, 0.0), 1.0) - min(
                    max(half + 0.5 - stretched, 0.0), 1.0
                )
                sigma = noise[i, 0 if one else y, 0 if one else x]
                if part > 0:
                    sums[2] += part * abs(off)
                    sums[3] += part * abs(light[i, y, x])
                    sums[4] += part if one else part * np.sqrt(2.0) * sigma
                part = min(max(radius + 0.5 - away, 0.0), 1.0)
                if part > 0:
                    sums[5] += part * (off * off - both * sigma * sigma)
                    sums[6] += part * (light[i, y, x] ** 2 - sigma * sigma)
        if sums[1] > 0:
            found[i, 0] = sums[0] / sums[1]
        if sums[3] > 0:
            found[i, 1] = (sums[2] - sums[4] * sky * np.sqrt(both / 2)) / sums[3]
        if sums[6] > 0:
            found[i, 2] = sums[5] / sums[6]
