"""Smoothness (clumpiness): how much light stands out of the object's own smoothed image."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled

__all__ = ["smoothness"]

_BOX = (
    0.25  # of the Petrosian radius: the side of the box that smooths, and what is left out around the centre
)
_EXTENT = 1.5  # Petrosian radii


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
    found = np.full(len(images), np.nan)
    _clumps(
        torch.where(masked, 0.0, images.float()).numpy(force=True),
        masked.numpy(force=True),
        sky.numpy(force=True),
        torch.cat([centre, radius[:, None]], dim=1).double().numpy(force=True),
        (images[:0] if noise is None else noise).double().numpy(force=True),
        found,
    )
    return torch.from_numpy(found).to(images.device)


@compiled
def _clumps(light: Any, masked: Any, sky: Any, place: Any, noise: Any, found: Any) -> None:
    n, height, width = light.shape
    sums = np.zeros((height + 1, width + 1))
    lit = np.zeros((height + 1, width + 1), np.int32)
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
        stands_out, area, flux, sky_out, sky_area = 0.0, 0.0, 0.0, 0.0, 0.0
        for y in range(height):
            top, bottom = max(y - before, 0), min(y + behind, height)
            for x in range(width):
                if masked[i, y, x]:
                    continue
                left, right = max(x - before, 0), min(x + behind, width)
                mean = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
                out = max(light[i, y, x] - mean / box**2, 0.0)
                distance = np.sqrt((x - x0) ** 2 + (y - y0) ** 2)
                part = min(max(_EXTENT * radius + 0.5 - distance, 0.0), 1.0) - min(
                    max(_BOX * radius + 0.5 - distance, 0.0), 1.0
                )
                unit = noise[i, y, x] if len(noise) else 1.0
                stands_out += part * out
                area += part * unit
                flux += part * light[i, y, x]
                whole = bottom - top == box and right - left == box
                if whole and lit[bottom, right] - lit[top, right] - lit[bottom, left] + lit[top, left] == 0:
                    sky_out += out
                    sky_area += unit
        if flux > 0 and sky_area > 0:
            found[i] = (stands_out - area * sky_out / sky_area) / flux
