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
_NEEDED = 1.75  # Petrosian radii: the largest at which curves are read, by errors
_LEAST = 8.0  # pixels
_PETROSIAN = 0.2  # surface brightness on the ring over that within it (Lotz et al. 2004, eq. 4)


@dataclass(frozen=True)
class Growth:
    """Flux and area within radii 0, 1/8, 2/8... pixels, (n, radii) float64."""

    flux: torch.Tensor
    area: torch.Tensor
    petrosian: torch.Tensor
    """Petrosian radii (n,), pixels: where the mean on a ring one pixel wide falls to 0.2 of the mean within it.

    The first such place, looked for from pixel to pixel, as noise would find one early. NaN where there is none, or no light.
    """

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
    reach: torch.Tensor | None = None,
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
    reach : (n,) float tensor, optional
        Pixels farther than that are looked at only where 1.75 Petrosian radii and two pixels do not lie within it: a guess, which saves time, and is doubled until they do.

    Returns
    -------
    Growth
        To the corner that is farthest from any centre in the stamp; or flat beyond what was looked at. A pixel counts to a circle by the part of its width that lies within; near the
        centre, to four pixels, by 5 x 5 parts of it: a flux is
        within 2 % of the exact overlap's at a radius of one pixel, and within 0.5 % from two pixels on. NaN where a centre or an ellipse is, or the
        axis ratio is not positive.
    """
    _, height, width = images.shape
    round_one = (torch.ones_like(centre[:, 0]), torch.zeros_like(centre[:, 0]))
    q, turn = round_one if ratio is None or angle is None else (ratio, angle)
    shape = torch.stack([centre[:, 0], centre[:, 1], q, turn], dim=1)
    bins = int((height**2 + width**2) ** 0.5 / _STEP) + 8
    curves, radii = np.empty((2, len(images), bins)), np.full(len(images), np.nan)
    guess = torch.full_like(q, torch.inf) if reach is None else reach
    used = _curves(
        images.float().numpy(force=True),
        masked.numpy(force=True),
        shape.double().numpy(force=True),
        guess.double().numpy(force=True),
        curves,
        radii,
    )
    flux, area = torch.from_numpy(curves[:, :, :used]).to(images.device)
    return Growth(flux, area, torch.from_numpy(radii).to(images.device))


@compiled
def _curves(light: Any, masked: Any, shape: Any, reach: Any, curves: Any, radii: Any) -> int:
    """Fill curves (2, n, bins), flux and area, and the Petrosian radii (n,); returns behind which bin all curves are flat."""
    n, bins, used = len(light), curves.shape[2], 2
    for i in range(n):
        if not np.isfinite(shape[i].sum()) or shape[i, 2] <= 0:
            curves[:, i] = np.nan
            continue
        far = max(reach[i], _LEAST) if np.isfinite(reach[i]) else np.inf
        while True:
            whole = far >= (bins - 1) * _STEP
            far = np.inf if whole else far
            last = bins if whole else min(int(far / _STEP) + _PIXEL, bins)
            _curve(light[i], masked[i], shape[i], far, curves[:, i, :last])
            radii[i] = _petrosian(curves[0, i, :last], curves[1, i, :last])
            if whole or _NEEDED * radii[i] + 2 <= far:
                break
            far *= 2
        for k in range(2):
            curves[k, i, last:] = curves[k, i, last - 1]
        used = max(used, last)
    return used


@compiled
def _curve(light: Any, masked: Any, shape: Any, far: float, curve: Any) -> None:
    """Fill curves (2, bins) with what lies no farther than that, pixels."""
    height, width = light.shape
    bins = curve.shape[1]
    x0, y0, ratio, angle = shape
    c, s = np.cos(angle), np.sin(angle)
    left, right, top, bottom = 0, width, 0, height
    if far < np.inf:
        left, right = max(int(x0 - far) - 1, 0), min(int(x0 + far) + 2, width)
        top, bottom = max(int(y0 - far) - 1, 0), min(int(y0 + far) + 2, height)
    place = np.empty(max(right - left, 0))
    rim, core = np.zeros((bins, 2)), np.zeros((bins, 2))
    for y in range(top, bottom):
        _places(x0 - left, y - y0, c, s, ratio, place)
        for x in range(left, right):
            if masked[y, x] or place[x - left] > far / _STEP:
                continue
            dx, dy = x - x0, y - y0
            if abs(dx) > _CORE or abs(dy) > _CORE:
                _add(rim, min(place[x - left], bins - 2.0), light[y, x], 1.0)
                continue
            for part in range(_PARTS**2):
                px = dx + (part % _PARTS + 0.5) / _PARTS - 0.5
                py = dy + (part // _PARTS + 0.5) / _PARTS - 0.5
                along, across = c * px + s * py, (c * py - s * px) / ratio
                away = min(np.sqrt(along * along + across * across) / _STEP, bins - 2.0)
                _add(core, away, light[y, x] / _PARTS**2, 1.0 / _PARTS**2)
    for k in range(2):
        _sum(rim[:, k], core[:, k], curve[k])


@compiled
def _petrosian(flux: Any, area: Any) -> float:
    """The Petrosian radius of curves (bins,), pixels."""
    half = _PIXEL // 2
    for pixel in range(_PIXEL, len(flux) - half, _PIXEL):
        if not _eta(flux, area, pixel) < _PETROSIAN:
            continue
        if pixel == _PIXEL:
            return np.nan
        # between the last pixel above and the first below, on the fine curve
        above = _eta(flux, area, pixel - _PIXEL) - _PETROSIAN
        for place in range(pixel - _PIXEL + 1, pixel + 1):
            below = _eta(flux, area, place) - _PETROSIAN
            if below < 0:
                return (place - 1 + above / (above - below)) * _STEP
            above = below
    return np.nan


@compiled
def _eta(flux: Any, area: Any, place: int) -> float:
    """The mean on the ring around a place of curves over that within it, NaN where there is none."""
    half = _PIXEL // 2
    ring = area[place + half] - area[place - half]
    if not (ring > 0 and area[place] > 0 and flux[place] != 0):
        return np.nan
    return abs(flux[place + half] - flux[place - half]) / ring / (abs(flux[place]) / area[place])


@compiled
def _places(x0: float, dy: float, c: float, s: float, ratio: float, place: Any) -> None:
    """Fill in where the pixels of a row lie on the curve."""
    for x in range(place.size):
        dx = x - x0
        along, across = c * dx + s * dy, (c * dy - s * dx) / ratio
        place[x] = np.sqrt(along * along + across * across) / _STEP


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
