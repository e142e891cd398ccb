"""Errors of fluxes and radii: what the noise of pixels does to curves of growth, and to the radii that are defined on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled

if TYPE_CHECKING:
    from kernels.measure.growth import Growth

__all__ = ["CIRCULAR", "PETROSIAN", "aperture_errors", "at", "petrosian_slopes"]

CIRCULAR = ("flux", "r_petro_circ", "r20", "r50", "r80", "concentration")
"""What `aperture_errors` gives errors of, in this order."""
_EXTENT = 1.5  # Petrosian radii
PETROSIAN = 0.2
"""Eta at the Petrosian radius."""
_STEP = 0.125  # pixels between the radii of a curve
_SHARES = (0.2, 0.5, 0.8)
_RADII = 7  # that the measures rest on: around, at and within the Petrosian radius, 1.5 of it, r20, r50, r80


def aperture_errors(
    circles: Growth,
    variance: torch.Tensor,
    masked: torch.Tensor,
    centre: torch.Tensor,
    petrosian: torch.Tensor,
    radii: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """1-sigma errors of flux, radii and concentration of circles about a fixed centre, by linear propagation.

    All of them are functions of the fluxes within seven radii. The covariance of these is the sum of the variances of the pixels that two circles share; the slopes
    follow from the curve: a Petrosian radius moves by the change of eta over its slope, a radius of a share of the flux by that of the flux within over the
    slope of the curve, and the whole flux with the Petrosian radius. So that noise does not make slopes, they are taken over a tenth of the radius to
    either side, at least half a pixel.

    Parameters
    ----------
    circles : Growth
    variance : (n, y, x) float tensor
        Of each pixel, in the square of the flux's unit. Pixels are not correlated.
    masked : (n, y, x) bool tensor
        Pixels that the curves leave out.
    centre : (n, 2) float tensor
        x, y in pixels.
    petrosian : (n,) float tensor
        Circular Petrosian radius, pixels.
    radii : (n, 3) float tensor
        r20, r50 and r80, pixels.

    Returns
    -------
    dict of str to (n,) float64 tensor
        By the names of `CIRCULAR`. NaN where a radius is NaN, or the curve does not rise where it should.
    """
    found = np.full((len(variance), len(CIRCULAR)), np.nan)
    place = torch.cat([centre, petrosian[:, None], radii], dim=1).double()
    _circles(
        circles.flux.numpy(force=True),
        circles.area.numpy(force=True),
        variance.float().numpy(force=True),
        masked.numpy(force=True),
        place.numpy(force=True),
        found,
    )
    return dict(zip(CIRCULAR, torch.from_numpy(found).to(variance.device).unbind(1), strict=True))


@compiled
def at(curve: Any, radius: float) -> float:
    """A curve (bins,) at a radius, pixels, interpolated linearly."""
    place = min(max(radius / _STEP, 0.0), len(curve) - 1.0)
    low = min(int(place), len(curve) - 2)
    return curve[low] + (place - low) * (curve[low + 1] - curve[low])


@compiled
def petrosian_slopes(flux: Any, area: Any, radius: float, slopes: Any) -> None:
    """Fill in by how much a Petrosian radius moves with the flux within half a pixel less, itself, and half a pixel more; NaN where eta does not fall."""
    step = max(0.5, 0.1 * radius)
    eta = np.empty(2)
    for side in range(2):
        middle = max(radius + (2 * side - 1) * step, 0.625)
        ring = at(flux, middle + 0.5) - at(flux, middle - 0.5)
        ring_area = at(area, middle + 0.5) - at(area, middle - 0.5)
        within, within_area = at(flux, middle), at(area, middle)
        if not (ring_area > 0 and within > 0 and within_area > 0):
            slopes[:] = np.nan
            return
        eta[side] = abs(ring) / ring_area / (within / within_area)
    span = radius + step - max(radius - step, 0.625)
    fall = (eta[0] - eta[1]) / span if span > 0 else 0.0
    ring_area = at(area, radius + 0.5) - at(area, radius - 0.5)
    within, within_area = at(flux, radius), at(area, radius)
    if not (fall > 0 and ring_area > 0 and within > 0):
        slopes[:] = np.nan
        return
    share = within_area / (ring_area * within)
    slopes[0], slopes[1], slopes[2] = -share / fall, -PETROSIAN / within / fall, share / fall


@compiled
def _circles(flux: Any, area: Any, variance: Any, masked: Any, place: Any, found: Any) -> None:
    """Fill in the errors (n, 6)."""
    n = len(variance)
    radii, part, common = np.empty(_RADII), np.empty(_RADII), np.empty((_RADII, _RADII))
    slopes, rings = np.empty((6, _RADII)), np.empty(flux.shape[1])
    for i in range(n):
        x0, y0, petrosian = place[i, 0], place[i, 1], place[i, 2]
        if not np.isfinite(x0 + y0 + petrosian):
            continue
        radii[0], radii[1], radii[2] = petrosian - 0.5, petrosian, petrosian + 0.5
        radii[3] = _EXTENT * petrosian
        for k in range(3):
            radii[4 + k] = place[i, 3 + k]
        slopes[:] = 0
        petrosian_slopes(flux[i], area[i], petrosian, slopes[1, :3])
        slopes[0, 3] = 1
        rise = _EXTENT * _rise(flux[i], radii[3])
        for k in range(3):
            slopes[0, k] = rise * slopes[1, k]
        for k in range(3):
            rise = _rise(flux[i], radii[4 + k])
            for other in range(_RADII):
                slope = _SHARES[k] * slopes[0, other] - (other == 4 + k)
                slopes[2 + k, other] = slope / rise if rise > 0 else np.nan
        if not (radii[4] > 0 and radii[6] > 0):
            continue
        for k in range(_RADII):
            slopes[5, k] = (slopes[4, k] / radii[6] - slopes[2, k] / radii[4]) * (5 / np.log(10.0))
        reach = radii[3] + 1
        _rings(variance[i], masked[i], x0, y0, reach, rings)
        common[:] = 0
        for place_on in range(min(int(reach / _STEP) + 1, len(rings))):
            if rings[place_on] == 0:
                continue
            away = (place_on + 0.5) * _STEP - 0.5
            for k in range(_RADII):
                part[k] = min(max(radii[k] - away, 0.0), 1.0)
            for k in range(_RADII):
                weight = part[k] * rings[place_on]
                for other in range(k + 1):
                    common[k, other] += weight * part[other]
        for one in range(6):
            total = 0.0
            for k in range(_RADII):
                for other in range(_RADII):
                    total += slopes[one, k] * slopes[one, other] * common[max(k, other), min(k, other)]
            if total > 0:
                found[i, one] = np.sqrt(total)


@compiled
def _rings(variance: Any, masked: Any, x0: float, y0: float, reach: float, rings: Any) -> None:
    """Fill in the variance of the pixels (y, x) by their distance from a centre, in bins as wide as the steps of a curve."""
    height, width = variance.shape
    rings[:] = 0
    for y in range(max(int(y0 - reach), 0), min(int(y0 + reach) + 2, height)):
        for x in range(max(int(x0 - reach), 0), min(int(x0 + reach) + 2, width)):
            if not masked[y, x]:
                away = np.sqrt((x - x0) ** 2 + (y - y0) ** 2)
                rings[min(int(away / _STEP), len(rings) - 1)] += variance[y, x]


@compiled
def _rise(flux: Any, radius: float) -> float:
    """The slope of a curve at a radius, per pixel."""
    step = max(0.5, 0.1 * radius)
    low = max(radius - step, 0.0)
    return (at(flux, radius + step) - at(flux, low)) / (radius + step - low)
