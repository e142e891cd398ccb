"""Smoothness (clumpiness): how much light stands out of the object's own smoothed image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.measure.asymmetry_errors import FOLDED

__all__ = ["smoothness", "smoothness_and_error"]

_BOX = (
    0.25  # of the Petrosian radius: the side of the box that smooths, and what is left out around the centre
)
_EXTENT = 1.5  # Petrosian radii
_SKY_SPREAD = (
    np.pi / 2 - 1
)  # squared spread of the mean of max(d, 0) over so many pixels, in units of that mean


def smoothness(
    images: torch.Tensor,
    masked: torch.Tensor,
    sky: torch.Tensor,
    centre: torch.Tensor,
    radius: torch.Tensor,
    noise: torch.Tensor | None = None,
) -> torch.Tensor:
    """Light above the smoothed image, over the light (Conselice 2003, eq. 11 without its factor 10; Lotz et al. 2004, eq. 11).

        S = (sum max(I - I_S, 0) - area * S_sky) / sum I

    on the ring from 0.25 to 1.5 radii. I_S is the mean in a box of 0.25 radii a side, rounded down, zero for masked pixels and outside the stamp. S_sky
    is the same of sky pixels, those whose box holds nothing but sky. Where the noise of each pixel is known, area and S_sky are in units of it.

    Parameters
    ----------
    images : (n, y, x) float tensor
    masked, sky : (n, y, x) bool tensor
        Pixels that do not count, and pixels that are nobody's.
    centre : (n, 2) float tensor
        x, y in pixels.
    radius : (n,) float tensor
        Petrosian radius, circular, pixels.
    noise : (n, y, x) float tensor, optional
        The sky's noise in each pixel.

    Returns
    -------
    (n,) float64 tensor, usually between 0 and 1, below 0 where noise has it so. NaN where the box would be smaller than two pixels, where no
    box holds only sky, and where the light on the ring is not positive.
    """
    return smoothness_and_error(images, masked, sky, centre, radius, noise)[0]


def smoothness_and_error(
    images: torch.Tensor,
    masked: torch.Tensor,
    sky: torch.Tensor,
    centre: torch.Tensor,
    radius: torch.Tensor,
    noise: torch.Tensor | None = None,
    variance: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, and its 1-sigma error (n,) float64 where the variance (n, y, x) of each pixel is given; NaN without.

    A pixel counts to S as far as it stands out itself, less the share of the pixels around it that stand out, as it raises the mean that is taken off them.
    Where d = I - I_S is noise, the sum's variance is 1 - 2 / pi of that (see `kernels.measure.asymmetry_errors`). To this come the errors of the light and of the sky's share.
    """
    found = np.full((len(images), 2), np.nan)
    _clumps(
        torch.where(masked, 0.0, images.float()).numpy(force=True),
        masked.numpy(force=True),
        sky.numpy(force=True),
        torch.cat([centre, radius[:, None]], dim=1).double().numpy(force=True),
        (images[:0] if noise is None else noise).double().numpy(force=True),
        (images[:0] if variance is None else variance).float().numpy(force=True),
        found,
    )
    value, error = torch.from_numpy(found).to(images.device).unbind(1)
    return value, error


@compiled
def _clumps(light: Any, masked: Any, sky: Any, place: Any, noise: Any, variance: Any, found: Any) -> None:
    """Fill in (n, 2) values and their errors."""
    n, height, width = light.shape
    sums = np.zeros((height + 1, width + 1))
    lit = np.zeros((height + 1, width + 1), np.int32)
    off, away = np.empty(width), np.zeros((height, width), np.float32)
    for i in range(n):
        x0, y0, radius = place[i]
        box = int(_BOX * radius) if np.isfinite(place[i].sum()) else 0
        if box < 2 or box > min(height, width):
            continue
        for y in range(height):
            row, lit_row = 0.0, 0
            for x in range(width):
                row += light[i, y, x]
                lit_row += not sky[i, y, x]
                sums[y + 1, x + 1] = sums[y, x + 1] + row
                lit[y + 1, x + 1] = lit[y, x + 1] + lit_row
        before, behind = box // 2, box - box // 2
        reach = _EXTENT * radius + 1
        first_y, last_y = max(int(y0 - reach), 0), min(int(y0 + reach) + 2, height)
        first_x, last_x = max(int(x0 - reach), 0), min(int(x0 + reach) + 2, width)
        stands_out, area, flux, sky_out, sky_area, sky_pixels = 0.0, 0.0, 0.0, 0.0, 0.0, 0
        out_noise, flux_noise = 0.0, 0.0
        for y in range(height):
            top, bottom = max(y - before, 0), min(y + behind, height)
            _stand_out(light[i, y], sums[top], sums[bottom], before, behind, off)
            if first_y <= y < last_y:
                for x in range(first_x, last_x):
                    away[y, x] = 0 if masked[i, y, x] else off[x]
                    if masked[i, y, x]:
                        continue
                    distance = np.sqrt((x - x0) ** 2 + (y - y0) ** 2)
                    part = min(max(_EXTENT * radius + 0.5 - distance, 0.0), 1.0) - min(
                        max(_BOX * radius + 0.5 - distance, 0.0), 1.0
                    )
                    unit = noise[i, y, x] if len(noise) else 1.0
                    stands_out += part * max(off[x], 0.0)
                    area += part * unit
                    flux += part * light[i, y, x]
            if bottom - top < box:
                continue
            for x in range(before, width - behind + 1):
                left, right = x - before, x + behind
                around = lit[bottom, right] - lit[top, right] - lit[bottom, left] + lit[top, left]
                if around == 0 and not masked[i, y, x]:
                    sky_out += max(off[x], 0.0)
                    sky_area += noise[i, y, x] if len(noise) else 1.0
                    sky_pixels += 1
        if len(variance):
            out_noise, flux_noise = _noise_of(away, variance[i], masked[i], place[i], box)
        if flux > 0 and sky_area > 0:
            share = area * sky_out / sky_area
            found[i, 0] = (stands_out - share) / flux
            if len(variance):
                by_sky = share * share * _SKY_SPREAD / sky_pixels
                by_light = found[i, 0] * found[i, 0] * flux_noise
                found[i, 1] = np.sqrt(max(out_noise, 0.0) + by_sky + by_light) / flux


@compiled
def _stand_out(light: Any, above: Any, below: Any, before: int, behind: int, off: Any) -> None:
    """Fill in by how much the pixels of a row (x,) are brighter than the mean in the box around them; `above` and `below` are sums (x + 1,) over the rows until the box and until its end."""
    width, box = light.size, before + behind
    for x in range(width):
        if before <= x <= width - behind:
            continue
        left, right = max(x - before, 0), min(x + behind, width)
        off[x] = light[x] - (below[right] - above[right] - below[left] + above[left]) / box**2
    size = width - box + 1
    here, out = light[before : before + size], off[before : before + size]
    below_left, below_right = below[:size], below[box:]
    above_left, above_right = above[:size], above[box:]
    for x in range(size):
        out[x] = here[x] - (below_right[x] - above_right[x] - below_left[x] + above_left[x]) / box**2


@compiled
def _noise_of(away: Any, variance: Any, masked: Any, place: Any, box: int) -> tuple[float, float]:
    """Variances of the sum of what stands out, and of the light, on the ring; of what each pixel is above the mean around it."""
    height, width = away.shape
    x0, y0, radius = place
    reach = _EXTENT * radius + 1
    top, bottom = max(int(y0 - reach), 0), min(int(y0 + reach) + 2, height)
    left, right = max(int(x0 - reach), 0), min(int(x0 + reach) + 2, width)
    above = np.zeros((bottom - top + 1, right - left + 1), np.int32)
    for y in range(top, bottom):
        row = 0
        for x in range(left, right):
            row += away[y, x] > 0
            above[y - top + 1, x - left + 1] = above[y - top, x - left + 1] + row
    before, behind = box // 2, box - box // 2
    by_out, by_light = 0.0, 0.0
    for y in range(top, bottom):
        low, high = max(y - before, top) - top, min(y + behind, bottom) - top
        for x in range(left, right):
            spread = variance[y, x]
            if masked[y, x] or spread <= 0:
                continue
            distance = np.sqrt((x - x0) ** 2 + (y - y0) ** 2)
            part = min(max(_EXTENT * radius + 0.5 - distance, 0.0), 1.0) - min(
                max(_BOX * radius + 0.5 - distance, 0.0), 1.0
            )
            if part <= 0:
                continue
            first, last = max(x - before, left) - left, min(x + behind, right) - left
            others = above[high, last] - above[low, last] - above[high, first] + above[low, first]
            counts = (away[y, x] > 0) - others / ((high - low) * (last - first))
            noise = spread / (spread + away[y, x] * away[y, x])
            by_out += part * part * counts * counts * spread * (1 - FOLDED * noise * noise)
            by_light += part * part * spread
    return by_out, by_light
