"""Errors of the elliptical Petrosian radius, and of Gini and M20, whose pixels it decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.measure.aperture_errors import PETROSIAN, at, petrosian_slopes
from kernels.measure.boxes import box_of

if TYPE_CHECKING:
    from kernels.measure.growth import Growth
    from kernels.measure.shapes import Ellipse

__all__ = ["region_errors"]

_BINS = 1024  # of pixel values, for their ranks
_SUMS = 17  # see `_summed`
_LOGISTIC = 1.702  # with this slope a logistic curve is a normal distribution's to one percent
_FAR = 25.0  # squared sigmas from a level that a value is not beyond
_NEAR = 0.05  # of the light: as bright as M20's threshold are pixels within so much of the flux of it


def region_errors(
    images: torch.Tensor,
    variance: torch.Tensor,
    masked: torch.Tensor,
    region: torch.Tensor,
    ellipses: Growth,
    radius: torch.Tensor,
    shape: Ellipse,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """1-sigma errors (n,) float64 of the elliptical Petrosian radius, pixels, Gini and M20, by linear propagation.

    Each pixel has an influence on Gini and on M20: by its own rank and place, by the threshold of the brightest fifth of the light, and by the Petrosian radius, which
    decides how many faint pixels belong to the region. All of them are added up pixel by pixel, so that what is common to them is. To M20's comes that pixels
    near the threshold change places, and that the brightest fifth are whole pixels.

    Parameters
    ----------
    images, variance : (n, y, x) float tensor
    masked, region : (n, y, x) bool tensor
        Pixels that do not count, and those that Gini and M20 are measured on.
    ellipses : Growth
        On ellipses of the shape.
    radius : (n,) float tensor
        Petrosian radius along the major axis, pixels.
    shape : Ellipse

    Returns
    -------
    NaN where there is no radius, no region, or eta does not fall at the radius.
    """
    found = np.full((len(images), 3), np.nan)
    place = torch.cat([shape.centre, radius[:, None], shape.ratio[:, None], shape.angle[:, None]], dim=1)
    _regions(
        images.float().numpy(force=True),
        variance.float().numpy(force=True),
        masked.numpy(force=True),
        region.numpy(force=True),
        ellipses.flux.numpy(force=True),
        ellipses.area.numpy(force=True),
        place.double().numpy(force=True),
        found,
    )
    radius_error, gini_error, m20_error = torch.from_numpy(found).to(images.device).unbind(1)
    return radius_error, gini_error, m20_error


@compiled
def _regions(
    images: Any, variance: Any, masked: Any, region: Any, flux: Any, area: Any, place: Any, found: Any
) -> None:
    """Fill in the errors (n, 3) of radius, Gini and M20."""
    n, height, width = images.shape
    below, slopes, sums = np.empty(_BINS), np.empty(3), np.empty(_SUMS)
    for i in range(n):
        x0, y0, radius, ratio, angle = place[i]
        if not np.isfinite(place[i].sum()) or ratio <= 0:
            continue
        petrosian_slopes(flux[i], area[i], radius, slopes)
        if not np.isfinite(slopes.sum()):
            continue
        c, s = np.cos(angle), np.sin(angle)
        known = _summed(images[i], region[i], below, sums)
        pixels, brightest, total, gini = sums[0], sums[1], sums[2], sums[3]
        bright, whole, there, top = sums[4], sums[5], sums[6], sums[7]
        last, between = sums[11], (sums[11] + sums[12]) / 2
        edge = radius * radius * (1 + ratio * ratio) / 2
        level = PETROSIAN * at(flux[i], radius) / max(at(area[i], radius), 1e-30)
        # of a pixel more at the rim: what it does to Gini and to M20; and how many more there are to a pixel of radius
        more_gini = ((1 - gini) - level / total * pixels * (1 + gini)) / pixels if known else 0.0
        more_m20 = level * (0.2 * there / bright - edge / whole) / np.log(10.0) if known else 0.0
        more = 2 * pixels / radius
        by_radius, by_gini, by_m20, by_fifth, swapped = 0.0, 0.0, 0.0, 0.0, 0.0
        # the region, and what the radius rests on
        top_row = int(max(min(y0 - radius - 2, sums[13]), 0))
        bottom_row = int(min(max(y0 + radius + 3, sums[14] + 1), height))
        for y in range(top_row, bottom_row):
            for x in range(
                max(int(min(x0 - radius - 2, sums[15])), 0),
                int(min(max(x0 + radius + 3, sums[16] + 1), width)),
            ):
                if masked[i, y, x]:
                    continue
                along = c * (x - x0) + s * (y - y0)
                across = (c * (y - y0) - s * (x - x0)) / ratio
                away = np.sqrt(along * along + across * across)
                move = 0.0
                if away < radius + 1:
                    for k in range(3):
                        move += slopes[k] * min(max(radius + 0.5 * (k - 1) + 0.5 - away, 0.0), 1.0)
                elif not region[i, y, x]:
                    continue
                by_radius += move * move * variance[i, y, x]
                if known:
                    to_gini, to_m20 = more_gini * more * move, more_m20 * more * move
                    if region[i, y, x]:
                        light = images[i, y, x]
                        rank = below[_bin(abs(light), brightest)]
                        sign = 1.0 if light >= 0 else -1.0
                        to_gini += sign * ((2 * rank - pixels) / max(pixels - 1, 1) - gini) / total
                        r2 = (x - sums[8]) ** 2 + (y - sums[9]) ** 2
                        to_m20 += (
                            ((r2 - there if light >= top else 0.0) + 0.2 * there) / bright - r2 / whole
                        ) / np.log(10.0)
                        # whether it is one of the brightest at all
                        away = (light - between) ** 2
                        if away < _FAR * variance[i, y, x]:
                            either = _either(np.sqrt(away / variance[i, y, x]))
                            swapped += either * (light * (r2 - there)) ** 2
                        fifth = 0.8 if light >= top else 0.2
                        by_fifth += fifth * fifth * variance[i, y, x]
                    by_gini += to_gini * to_gini * variance[i, y, x]
                    by_m20 += to_m20 * to_m20 * variance[i, y, x]
        found[i, 0] = np.sqrt(by_radius)
        if known:
            jumps = _jumps(sums[10] * last, np.sqrt(by_fifth), last) * (last * there) ** 2
            by_m20 += (swapped + jumps) / (bright * np.log(10.0)) ** 2
            found[i, 1], found[i, 2] = np.sqrt(by_gini), np.sqrt(by_m20)


@compiled
def _either(away: float) -> float:
    """Variance of whether a value is above a level from which it is so many sigma away."""
    odds = np.exp(-min(_LOGISTIC * abs(away), 50.0))
    return odds / (1 + odds) ** 2


@compiled
def _jumps(over: float, noise: float, pixel: float) -> float:
    """Variance of how many whole pixels hold a fifth of the light, but for what varies evenly with the noise of that fifth; `over` is what they hold more."""
    if noise >= pixel or pixel <= 0:
        return 1 / 12
    if noise <= 0:
        return 0.0
    return _either(over / noise) + _either((pixel - over) / noise)


@compiled
def _bin(light: float, brightest: float) -> int:
    """Of a value from 0 to the brightest one: by its root, as most are faint."""
    return min(int(np.sqrt(light / brightest) * _BINS), _BINS - 1)


@compiled
def _summed(image: Any, region: Any, below: Any, sums: Any) -> bool:
    """Fill in how many pixels of a region are fainter than the middle of each bin, and of the region: pixels, brightest value, light, Gini, second moment
    of the brightest fifth and of all, squared distance where its threshold lies, the threshold, x and y of the centroid, by which part of its faintest pixel the brightest ones hold more than a fifth, that pixel, and the next
    fainter one, and its first and last rows and columns. Whether there are any.
    """
    top, bottom, left, right = box_of(region)
    sums[:] = 0
    sums[13], sums[14], sums[15], sums[16] = top, bottom - 1, left, right - 1
    flux = 0.0
    for y in range(top, bottom):
        for x in range(left, right):
            if region[y, x]:
                light = image[y, x]
                sums[0] += 1
                sums[1] = max(sums[1], abs(light))
                sums[2] += abs(light)
                flux += light
                sums[8] += light * x
                sums[9] += light * y
    if not (sums[0] > 1 and flux > 0):
        return False
    sums[8] /= flux
    sums[9] /= flux
    lit = np.zeros(_BINS)
    below[:] = 0
    for y in range(top, bottom):
        for x in range(left, right):
            if region[y, x]:
                place = _bin(abs(image[y, x]), sums[1])
                below[place] += 1
                lit[place] += image[y, x]
    before, light, first, last, fifth = 0.0, 0.0, _BINS - 1, 0, _BINS - 1
    for place in range(_BINS):
        here = below[place]
        below[place] = before + here / 2
        before += here
        light += lit[place]
        if light >= (0.8 - _NEAR) * flux:
            first = min(first, place)
        if light >= 0.8 * flux:
            fifth = min(fifth, place)
        if light <= (0.8 + _NEAR) * flux:
            last = place
    last = max(last, fifth)
    sums[7] = (fifth / _BINS) ** 2 * sums[1]
    sums[11] = sums[1]
    ranked, near, near_light = 0.0, 0.0, 0.0
    for y in range(top, bottom):
        for x in range(left, right):
            if region[y, x]:
                value = image[y, x]
                place = _bin(abs(value), sums[1])
                ranked += abs(value) * (2 * below[place] - sums[0])
                moment = value * ((x - sums[8]) ** 2 + (y - sums[9]) ** 2)
                sums[5] += moment
                if value >= sums[7]:
                    sums[4] += moment
                    sums[10] += value
                    sums[11] = min(sums[11], value)
                else:
                    sums[12] = max(sums[12], value)
                if first <= place <= last and value > 0:
                    near += moment
                    near_light += value
    sums[3] = ranked / (sums[2] * (sums[0] - 1))
    sums[10] = min(max((sums[10] - 0.2 * flux) / sums[11], 0.0), 1.0) if sums[11] > 0 else 0.5
    sums[6] = near / near_light if near_light > 0 else 0.0
    return sums[4] > 0 and sums[5] > 0
