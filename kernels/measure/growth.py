"""Curves of growth: flux within circles or ellipses, and the radii that are defined on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled

__all__ = ["Growth", "grow"]

_STEP = 0.125  # pixels between radii of the curve
_PIXEL = round(1 / _STEP)
_CORE = 4  # pixels around the centre, in x and in y, that are looked at in parts
_PARTS = 5  # of such a pixel, a side
_PETROSIAN = 0.2  # surface brightness on the ring over that within it (Lotz et al. 2004, eq. 4)


@dataclass(frozen=True)
class Growth:
    """Flux and area within radii 0, 1/8, 2/8... pixels, (n, radii) float64."""

    flux: torch.Tensor
    area: torch.Tensor

    @property
    def largest(self) -> float:
        """The last radius, pixels."""
        return (self.flux.shape[1] - 1) * _STEP

    def within(self, radius: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Flux and area within radii (n,) pixels, interpolated linearly; beyond the last they stay. NaN for NaN."""
        place = (radius.double() / _STEP).nan_to_num(0.0).clamp(0, self.flux.shape[1] - 1)
        low = place.floor().long().clamp(max=self.flux.shape[1] - 2)
        share = (place - low)[:, None]
        both = []
        for curve in (self.flux, self.area):
            ends = [curve.gather(1, (low + step)[:, None]) for step in (0, 1)]
            both.append(torch.lerp(ends[0], ends[1], share)[:, 0])
        return both[0] + 0 * radius, both[1] + 0 * radius

    def petrosian(self) -> torch.Tensor:
        """Petrosian radii (n,), pixels: where the mean on a ring one pixel wide falls to 0.2 of the mean within it.

        The first such place, looked for from pixel to pixel, as noise would find one early. NaN where there is none, or no light.
        """
        pixel, half = _PIXEL, _PIXEL // 2
        inner, outer, middle = (
            [curve[:, first : curve.shape[1] - last] for curve in (self.flux, self.area)]
            for first, last in ((0, pixel), (pixel, 0), (half, half))
        )
        ring = (outer[0] - inner[0]).abs() / (outer[1] - inner[1])
        eta = ring / (middle[0].abs() / middle[1]) - _PETROSIAN  # (n, radii) from 1/2 pixel on
        coarse = eta[:, half::pixel]  # at 1, 2, 3... pixels
        beyond = torch.where(coarse.isfinite(), coarse < 0, False)
        first = beyond.to(torch.uint8).argmax(dim=1)
        there = beyond.any(dim=1) & (first > 0)
        # between the last pixel above and the first below, on the fine curve
        start = half + pixel * (first - 1).clamp(min=0)
        places = start[:, None] + torch.arange(pixel + 1, device=eta.device)
        fine = eta.gather(1, places)
        step = (fine < 0).to(torch.uint8).argmax(dim=1).clamp(min=1)
        above, below = (fine.gather(1, (step + k)[:, None])[:, 0] for k in (-1, 0))
        place = (start + half + step - 1) + above / (above - below)
        return torch.where(there, place * _STEP, torch.nan)

    def radius(self, share: float, total_within: torch.Tensor) -> torch.Tensor:
        """Radii (n,) that hold a share of the flux within `total_within` (n,), both pixels.

        The first place where the curve reaches it. NaN where there is no flux, or where the very middle has more than the share, as negative light around
        it can have it.
        """
        total = self.within(total_within)[0]
        wanted = share * total
        reached = self.flux >= wanted[:, None]
        last = reached.to(torch.uint8).argmax(dim=1).clamp(min=1)
        low, high = (self.flux.gather(1, (last + k)[:, None])[:, 0] for k in (-1, 0))
        place = last - 1 + (wanted - low) / (high - low)
        good = (total > 0) & reached.any(dim=1) & ~reached[:, 0] & total.isfinite()
        return torch.where(good, place * _STEP, torch.nan)


def grow(
    images: torch.Tensor,
    masked: torch.Tensor,
    centre: torch.Tensor,
    ratio: torch.Tensor | None = None,
    angle: torch.Tensor | None = None,
) -> Growth:
    """Flux and area within growing circles or ellipses.

    Parameters
    ----------
    images : (n, y, x) float tensor
    masked : (n, y, x) bool tensor
        Pixels that are left out of flux and area.
    centre : (n, 2) float tensor
        x, y in pixels; the middle of the first pixel is (0, 0).
    ratio, angle : (n,) float tensor, optional
        Axis ratio b / a and direction of the major axis from x to y, radians; radii are then along the major axis.

    Returns
    -------
    Growth
        To the corner that is farthest from any centre in the stamp. A pixel counts to a circle by the part of its width that lies within; near the
        centre, to four pixels, by 5 x 5 parts of it: a flux is
        within 2 % of the exact overlap's at a radius of one pixel, and within 0.5 % from two pixels on. NaN where a centre or an ellipse is, or the
        axis ratio is not positive.
    """
    _, height, width = images.shape
    round_one = (torch.ones_like(centre[:, 0]), torch.zeros_like(centre[:, 0]))
    q, turn = round_one if ratio is None or angle is None else (ratio, angle)
    shape = torch.stack([centre[:, 0], centre[:, 1], q, turn], dim=1)
    bins = int((height**2 + width**2) ** 0.5 / _STEP) + 8
    curves = np.full((2, len(images), bins), np.nan)
    _curves(
        torch.where(masked, 0.0, images.float()).numpy(force=True),
        masked.numpy(force=True),
        shape.double().numpy(force=True),
        curves,
    )
    return Growth(*torch.from_numpy(curves).to(images.device).unbind(0))


@compiled
def _curves(light: Any, masked: Any, shape: Any, curves: Any) -> None:
    """Fill curves (2, n, bins), flux and area."""
    n, height, width = light.shape
    bins, place = curves.shape[2], np.empty(width)
    for i in range(n):
        x0, y0, ratio, angle = shape[i]
        if not np.isfinite(shape[i].sum()) or ratio <= 0:
            continue
        c, s = np.cos(angle), np.sin(angle)
        rim, core = np.zeros((bins, 2)), np.zeros((bins, 2))
        for y in range(height):
            _places(x0, y - y0, c, s, ratio, bins, place)
            for x in range(width):
                if masked[i, y, x]:
                    continue
                dx, dy = x - x0, y - y0
                if abs(dx) > _CORE or abs(dy) > _CORE:
                    _add(rim, place[x], light[i, y, x], 1.0)
                    continue
                for part in range(_PARTS**2):
                    px = dx + (part % _PARTS + 0.5) / _PARTS - 0.5
                    py = dy + (part // _PARTS + 0.5) / _PARTS - 0.5
                    along, across = c * px + s * py, (c * py - s * px) / ratio
                    away = min(np.sqrt(along * along + across * across) / _STEP, bins - 2.0)
                    _add(core, away, light[i, y, x] / _PARTS**2, 1.0 / _PARTS**2)
        for k in range(2):
            _sum(rim[:, k], core[:, k], curves[k, i])


@compiled
def _places(x0: float, dy: float, c: float, s: float, ratio: float, bins: int, place: Any) -> None:
    """Fill in where the pixels of a row lie on the curve."""
    for x in range(place.size):
        dx = x - x0
        along, across = c * dx + s * dy, (c * dy - s * dx) / ratio
        place[x] = min(np.sqrt(along * along + across * across) / _STEP, bins - 2.0)


@compiled
def _sum(rim: Any, core: Any, curve: Any) -> None:
    """Fill a curve (bins,) with the sums of what lies within."""
    bins, half = len(curve), _PIXEL // 2
    total = 0.0
    for place in range(bins):
        # a pixel of the rim counts as it is crossed, from half a pixel before its middle to half a pixel behind
        here = core[place]
        for away in range(-half, half + 1):
            share = (0.5 if abs(away) == half else 1.0) / _PIXEL
            here += share * rim[min(max(place + away, 0), bins - 1)]
        curve[place] = total + here / 2  # of what lies at the radius itself, half
        total += here


@compiled
def _add(counted: Any, place: float, flux: float, area: float) -> None:
    """Add what lies at a place of the curve to the two bins (bins, 2) next to it."""
    low = int(place)
    share = place - low
    counted[low, 0] += (1 - share) * flux
    counted[low, 1] += (1 - share) * area
    counted[low + 1, 0] += share * flux
    counted[low + 1, 1] += share * area
