"""The pixels that Gini, M20 and S/N are measured on: what is brighter than the Petrosian radius, smoothed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.measure.boxes import box_of
from kernels.measure.flood import flood

__all__ = ["PetrosianRegion", "blur", "petrosian_region"]

_SMOOTHING = 0.2  # of the Petrosian radius
_TAILS = 4.0  # sigma at which a Gaussian is cut off
_LOOKED_AT = 1.75  # Petrosian radii: pixels beyond belong to no region


@dataclass(frozen=True)
class PetrosianRegion:
    """Pixels (n, y, x) bool of objects, and what was noticed about them (n,) bool."""

    pixels: torch.Tensor
    disjoint: torch.Tensor
    """Other pixels were as bright, apart from these."""
    full: torch.Tensor
    """The region reaches every border of the stamp: the object is larger."""


def petrosian_region(
    images: torch.Tensor,
    masked: torch.Tensor,
    centre: torch.Tensor,
    radius: torch.Tensor,
    ratio: torch.Tensor,
    angle: torch.Tensor,
) -> PetrosianRegion:
    """Connected pixels that are as bright, smoothed, as the ellipse of the Petrosian radius (Lotz et al. 2004, 2.2.1).

    The image is smoothed by a Gaussian with sigma = 0.2 r; the threshold is the mean of the smoothed image on an elliptical ring one
    pixel wide. Of several regions the one with the brightest smoothed pixel within r counts. As in Rodriguez-Gomez et al. (2019), but
    that pixel is not looked for in the whole stamp, masked pixels are left out rather than counted as empty, and pixels farther than 1.75 r from the centre, in x or in y, are not looked at.

    Parameters
    ----------
    images : (n, y, x) float tensor
    masked : (n, y, x) bool tensor
    centre : (n, 2) float tensor
        x, y in pixels.
    radius : (n,) float tensor
        Petrosian radius along the major axis, pixels.
    ratio, angle : (n,) float tensor
        See `kernels.measure.growth.grow`.

    Returns
    -------
    PetrosianRegion
        Empty where a number is not finite, or nothing is bright enough.
    """
    found = np.zeros(images.shape, np.bool_)
    noticed = np.zeros((len(images), 2), np.bool_)
    light = torch.where(masked, 0.0, images.float()).numpy(force=True)
    shape = torch.cat([centre, radius[:, None], ratio[:, None], angle[:, None]], dim=1).double()
    _regions(light, masked.numpy(force=True), shape.numpy(force=True), found, noticed)
    pixels, notes = (torch.from_numpy(answer).to(images.device) for answer in (found, noticed))
    return PetrosianRegion(pixels, notes[:, 0], notes[:, 1])


@compiled
def _regions(light: Any, masked: Any, shape: Any, found: Any, noticed: Any) -> None:
    n, height, width = light.shape
    for i in range(n):
        x0, y0, radius, ratio, angle = shape[i]
        if not np.isfinite(x0 + y0 + radius + ratio + angle) or ratio <= 0:
            continue
        # what is looked at, and as much around it as blurring needs
        wide = (_LOOKED_AT + _TAILS * _SMOOTHING) * radius + 2
        left, right = max(int(x0 - wide), 0), min(int(x0 + wide) + 2, width)
        top, bottom = max(int(y0 - wide), 0), min(int(y0 + wide) + 2, height)
        if left >= right or top >= bottom:
            continue
        part = np.empty((bottom - top, right - left), np.float32)
        smooth = np.empty((bottom - top, right - left), np.float32)
        for y in range(top, bottom):
            given, here = light[i, y, left:right], part[y - top]
            for x in range(here.size):
                here[x] = given[x]
        reach = _LOOKED_AT * radius + 2
        first_y, last_y = max(int(y0 - reach), 0), min(int(y0 + reach) + 2, height)
        first_x, last_x = max(int(x0 - reach), 0), min(int(x0 + reach) + 2, width)
        blur(part, _SMOOTHING * radius, smooth, first_y - top, last_y - top, first_x - left, last_x - left)
        threshold, peak, place = _ring(smooth, x0 - left, y0 - top, radius, ratio, angle)
        if not np.isfinite(threshold) or peak < threshold:
            continue
        bright = np.zeros((1, bottom - top, right - left), np.bool_)
        seed = np.zeros((1, bottom - top, right - left), np.bool_)
        as_bright = 0
        for y in range(first_y, last_y):
            here = bright[0, y - top, first_x - left : last_x - left]
            given = smooth[y - top, first_x - left : last_x - left]
            for x in range(here.size):
                here[x] = given[x] >= threshold
                as_bright += here[x]
        seed[0, place // (right - left), place % (right - left)] = True
        flood(seed, bright)
        first, last, leftmost, rightmost = box_of(seed[0])
        for y in range(first, last):
            here, lost, inside = found[i, top + y, left:right], masked[i, top + y, left:right], seed[0, y]
            for x in range(here.size):
                here[x] = inside[x] & (not lost[x])
                as_bright -= inside[x]
        noticed[i, 0] = as_bright > 0
        across = left + leftmost == 0 and left + rightmost == width
        noticed[i, 1] = across and top + first == 0 and top + last == height


@compiled
def _ring(
    smooth: Any, x0: float, y0: float, radius: float, ratio: float, angle: float
) -> tuple[float, float, int]:
    """Mean on an elliptical ring one pixel wide, brightest value within it and where that is."""
    height, width = smooth.shape
    c, s = np.cos(angle), np.sin(angle)
    total, area, peak, top = 0.0, 0.0, -np.inf, 0
    left, right = max(int(x0 - radius) - 2, 0), min(int(x0 + radius) + 3, width)
    away = np.empty(max(right - left, 0))
    for y in range(max(int(y0 - radius) - 2, 0), min(int(y0 + radius) + 3, height)):
        for x in range(left, left + away.size):
            along = c * (x - x0) + s * (y - y0)
            across = (c * (y - y0) - s * (x - x0)) / ratio
            away[x - left] = np.sqrt(along * along + across * across) - radius
        for x in range(left, left + away.size):
            if abs(away[x - left]) < 1:
                part = 1.0 - abs(away[x - left])
                total += part * smooth[y, x]
                area += part
            if away[x - left] <= 0 and smooth[y, x] > peak:
                peak, top = smooth[y, x], y * width + x
    return (total / area if area > 0 else np.nan), peak, top


@compiled
def blur(image: Any, sigma: float, smooth: Any, top: int, bottom: int, left: int, right: int) -> None:
    """Fill rows and columns of `smooth` (y, x), from a first one to before a last one, with an image convolved with a Gaussian, zero outside the stamp; sigma in pixels, 0 copies."""
    height, width = image.shape
    reach = int(_TAILS * sigma + 0.5)
    bell, weights, total = np.empty(2 * reach + 1), np.empty(2 * reach + 1, np.float32), 0.0
    for k in range(2 * reach + 1):
        away = (k - reach) / max(sigma, 1e-6)
        bell[k] = np.exp(-0.5 * (away * away))
        total += bell[k]
    for k in range(2 * reach + 1):
        weights[k] = bell[k] / total
    far = min(reach, width - 1)
    row = np.zeros(width + 2 * far, np.float32)
    inside = row[far : far + width]
    for y in range(top, bottom):
        inside[:] = 0
        first, last = max(-reach, -y), min(reach, height - 1 - y) + 1
        _add_up(image[y + first : y + last], weights[first + reach : last + reach], inside)
        smooth[y, left:right] = 0
        _add_along(row[left : right + 2 * far], weights[reach - far : reach + far + 1], smooth[y, left:right])


@compiled
def _add_up(lines: Any, weights: Any, total: Any) -> None:
    """Add lines (k, x) with weights (k,) to their total (x,): four at a time, as each term costs less than reading and writing the sum."""
    count = len(weights)
    for k in range(0, count - 3, 4):
        a, b, c, d = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        first, second, third, fourth = lines[k], lines[k + 1], lines[k + 2], lines[k + 3]
        for x in range(total.size):
            total[x] = total[x] + a * first[x] + b * second[x] + c * third[x] + d * fourth[x]
    for k in range(count - count % 4, count):
        a, first = weights[k], lines[k]
        for x in range(total.size):
            total[x] += a * first[x]


@compiled
def _add_along(line: Any, weights: Any, total: Any) -> None:
    """The same for a line (x + k - 1,) that is shifted from weight to weight."""
    count, size = len(weights), total.size
    for k in range(0, count - 3, 4):
        a, b, c, d = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        first, second = line[k : k + size], line[k + 1 : k + 1 + size]
        third, fourth = line[k + 2 : k + 2 + size], line[k + 3 : k + 3 + size]
        for x in range(size):
            total[x] = total[x] + a * first[x] + b * second[x] + c * third[x] + d * fourth[x]
    for k in range(count - count % 4, count):
        a, first = weights[k], line[k : k + size]
        for x in range(size):
            total[x] += a * first[x]
