"""Several bands on the same pixels: fluxes of an object in each, its colours, and how even these are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.measure.propagation import variance_of
from kernels.segmentation.noise import deviation, frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernels.segmentation.noise_map import NoiseMap
    from kernels.segmentation.segments import Segments

__all__ = ["Matched", "matched"]

_LEAST_SKY = 0.05  # of the stamp


@dataclass(frozen=True)
class Matched:
    """Of (n, ...) objects, float64; NaN where there is no value."""

    flux: torch.Tensor
    """(n, b): within the circle."""
    flux_error: torch.Tensor
    """(n, b): 1 sigma, for this circle; NaN where the noise is not known."""
    dispersion: torch.Tensor
    """(n, b - 1): colour dispersion of each band and the next."""
    dispersion_error: torch.Tensor


def matched(
    stamps: torch.Tensor,
    bad: torch.Tensor,
    segments: Segments,
    centre: torch.Tensor,
    radius: torch.Tensor,
    gains: Sequence[float | None],
    noise: NoiseMap | None = None,
) -> Matched:
    """Fluxes in all bands within the same circle, of the same pixels, and colour dispersions.

    The colour dispersion of bands 1 and 2 (Papovich et al. 2003, ApJ 598, 827, eq. 2) is what is left of the light in 2 when that in 1, scaled by alpha and raised by
    beta to fit it best, is taken off, over the light in 2, both squared and less what noise adds to them:

        xi = (sum (I2 - alpha I1 - beta)^2 - N) / (sum (I2 - beta)^2 - N),  N = sum (sigma2^2 + alpha^2 sigma1^2)

    It is zero for an object that has one colour. Bands are compared as they are: where their PSFs differ, it has a share of that.

    Parameters
    ----------
    stamps : (n, b, y, x) float tensor
    bad : (n, b, y, x) bool tensor
        Pixels that are no data; what is so in one of the bands counts in none.
    segments : Segments
        Neighbours' pixels count in no band.
    centre : (n, 2) float tensor
        x, y in pixels.
    radius : (n,) float tensor
        Pixels.
    gains : sequence of float or None
        Electrons per image unit, of each band.
    noise : NoiseMap, optional
        Of (n, b, y, x), in the stamps' unit; by default 1.4826 MAD of the pixels that are nobody's.
    """
    lost = segments.others | bad.any(dim=1)
    sky = ~(segments.central | lost)
    enough = sky.flatten(1).float().mean(dim=1) >= _LEAST_SKY
    light, variance, units = [], [], []
    for band in range(stamps.shape[1]):
        images = torch.where(lost, 0.0, stamps[:, band].float())
        unit = images.abs().amax(dim=(1, 2)).double().clamp(min=torch.finfo(torch.float32).tiny)
        images = (images / unit[:, None, None]).float()
        if noise is None:
            level = torch.where(enough, deviation(images, sky), deviation(images, frame(lost)))[:, None, None]
        else:
            level = noise.total[:, band].double() / unit[:, None, None]
        gain = gains[band]
        variance.append(variance_of(images, level, None if gain is None else unit * gain))
        light.append(images)
        units.append(unit)
    found = np.full((len(stamps), 2 * stamps.shape[1] + 2 * (stamps.shape[1] - 1)), np.nan)
    place = torch.cat([centre, radius[:, None]], dim=1).double()
    _matched(
        torch.stack(light, dim=1).numpy(force=True),
        torch.stack(variance, dim=1).numpy(force=True),
        lost.numpy(force=True),
        place.numpy(force=True),
        found,
    )
    bands, answer = stamps.shape[1], torch.from_numpy(found).to(stamps.device)
    unit = torch.stack(units, dim=1)
    flux, error = answer[:, :bands] * unit, answer[:, bands : 2 * bands] * unit
    flux = torch.where(flux > 0, flux, torch.nan)
    error = torch.where((error > 0) & flux.isfinite(), error, torch.nan)
    rest = answer[:, 2 * bands :]
    return Matched(flux, error, rest[:, : bands - 1], rest[:, bands - 1 :])


@compiled
def _matched(light: Any, variance: Any, lost: Any, place: Any, found: Any) -> None:
    """Fill in fluxes, their errors, dispersions and their errors."""
    n, bands, height, width = light.shape
    sums = np.empty(6)
    for i in range(n):
        x0, y0, radius = place[i]
        if not np.isfinite(x0 + y0 + radius):
            continue
        top, bottom = max(int(y0 - radius) - 1, 0), min(int(y0 + radius) + 2, height)
        left, right = max(int(x0 - radius) - 1, 0), min(int(x0 + radius) + 2, width)
        for band in range(bands):
            flux, noise = 0.0, 0.0
            for y in range(top, bottom):
                for x in range(left, right):
                    if not lost[i, y, x]:
                        away = np.sqrt((x - x0) ** 2 + (y - y0) ** 2)
                        part = min(max(radius + 0.5 - away, 0.0), 1.0)
                        flux += part * light[i, band, y, x]
                        noise += part * part * variance[i, band, y, x]
            found[i, band], found[i, bands + band] = flux, np.sqrt(noise)
        for band in range(bands - 1):
            # weighted sums: area, I1, I2, I1^2, I1 I2, and I2^2
            sums[:] = 0
            noise1, noise2 = 0.0, 0.0
            for y in range(top, bottom):
                for x in range(left, right):
                    if not lost[i, y, x]:
                        away = np.sqrt((x - x0) ** 2 + (y - y0) ** 2)
                        part = min(max(radius + 0.5 - away, 0.0), 1.0)
                        one, two = float(light[i, band, y, x]), float(light[i, band + 1, y, x])
                        sums[0] += part
                        sums[1] += part * one
                        sums[2] += part * two
                        sums[3] += part * one * one
                        sums[4] += part * one * two
                        sums[5] += part * two * two
                        noise1 += part * variance[i, band, y, x]
                        noise2 += part * variance[i, band + 1, y, x]
            area, first, second = sums[0], sums[1], sums[2]
            # noise in I1 would make alpha too small
            spread = sums[3] - first * first / area - noise1 if area > 0 else 0.0
            if not spread > 0:
                continue
            alpha = (sums[4] - first * second / area) / spread
            beta = (second - alpha * first) / area
            noise = noise2 + alpha * alpha * noise1
            left_over = sums[5] + alpha * alpha * sums[3] + area * beta * beta
            left_over += -2 * alpha * sums[4] - 2 * beta * second + 2 * alpha * beta * first - noise
            whole = sums[5] - 2 * beta * second + area * beta * beta - noise
            if whole > 0 and abs(left_over) <= whole:
                found[i, 2 * bands + band] = left_over / whole
                # of squares of noise, and of its products with what is left
                by_noise = 2 * noise * noise / area + 4 * max(left_over, 0.0) * noise / area
                found[i, 3 * bands - 1 + band] = np.sqrt(by_noise) / whole
