"""Curves of growth: flux within circles or ellipses, and the radii that are defined on it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

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
        """Radii (n,) that hold a share of the flux within `total_within` (n,), both pixels; NaN where there is no flux.

        The first place where the curve reaches it.
        """
        total = self.within(total_within)[0]
        wanted = share * total
        reached = self.flux >= wanted[:, None]
        last = reached.to(torch.uint8).argmax(dim=1).clamp(min=1)
        low, high = (self.flux.gather(1, (last + k)[:, None])[:, 0] for k in (-1, 0))
        place = last - 1 + (wanted - low) / (high - low)
        good = (total > 0) & reached.any(dim=1) & total.isfinite()
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
        within 2 % of the exact overlap's at a radius of one pixel, and within 0.5 % from two pixels on. NaN where a centre is.
    """
    n, height, width = images.shape
    device, known = images.device, centre.isfinite().all(dim=1, keepdim=True)
    centre = torch.where(known, centre, 0.0)
    bins = int((height**2 + width**2) ** 0.5 / _STEP) + 8
    x, y = (torch.arange(side, device=device, dtype=torch.float32) for side in (width, height))
    x, y = x - centre[:, :1].float(), y - centre[:, 1:].float()  # (n, x), (n, y)
    values = torch.stack([torch.where(masked, 0.0, images.float()), (~masked).float()], dim=1)
    core = (x.abs() <= _CORE)[:, None, :] & (y.abs() <= _CORE)[:, :, None]
    distance = _distance(x[:, None, :], y[:, :, None], ratio, angle)
    rim = _curve(distance, torch.where(core[:, None], 0.0, values), bins)
    # a pixel of the rim counts as it is crossed, from half a pixel before its middle to half a pixel behind
    rim = functional.avg_pool1d(functional.pad(rim, (_PIXEL // 2,) * 2, mode="replicate"), _PIXEL, 1)
    rim = (rim[:, :, 1:] + rim[:, :, :-1]) / 2
    # the core in parts: a window of one size for all, around the pixel nearest to the centre
    side = 2 * _CORE + 3
    near_x, near_y = (
        (centre[:, k].round().long() - _CORE - 1).clamp(0, max(0, size - side))[:, None]
        + torch.arange(min(side, size), device=device)
        for k, size in ((0, width), (1, height))
    )
    place = (torch.arange(n, device=device)[:, None, None], near_y[:, :, None], near_x[:, None, :])
    parts = (torch.arange(_PARTS, device=device) + 0.5) / _PARTS - 0.5
    part_x, part_y = (
        (away.gather(1, near)[:, :, None] + parts).flatten(1) for away, near in ((x, near_x), (y, near_y))
    )
    distance = _distance(part_x[:, None, :], part_y[:, :, None], ratio, angle)
    inside = (
        torch.where(core[place][:, None], values.transpose(0, 1)[:, *place].transpose(0, 1), 0.0) / _PARTS**2
    )
    inside = inside.repeat_interleave(_PARTS, 2).repeat_interleave(_PARTS, 3)
    flux, area = (rim + _curve(distance, inside, bins)).unbind(1)
    return Growth(torch.where(known, flux, torch.nan), torch.where(known, area, torch.nan))


def _distance(
    x: torch.Tensor, y: torch.Tensor, ratio: torch.Tensor | None, angle: torch.Tensor | None
) -> torch.Tensor:
    """Distance from the centre, along the major axis of the ellipse that runs through a place."""
    if ratio is None or angle is None:
        return (x * x + y * y).sqrt()
    c, s, q = (value.float()[:, None, None] for value in (angle.cos(), angle.sin(), ratio))
    along, across = c * x + s * y, (c * y - s * x) / q
    return (along * along + across * across).sqrt()


def _curve(distance: torch.Tensor, values: torch.Tensor, bins: int) -> torch.Tensor:
    """Sums (n, c, bins) float64 of values (n, c, y, x) within growing radii."""
    n, channels = values.shape[:2]
    place = (distance / _STEP).clamp_(max=bins - 2).flatten(1)
    low = place.long()
    share = (place - low)[:, None]
    low += bins * torch.arange(n, device=distance.device)[:, None]
    values = values.flatten(2)
    counted = torch.zeros((n, channels, bins), dtype=torch.float64, device=distance.device)
    for step, weights in ((0, values * (1 - share)), (1, values * share)):
        for c in range(channels):
            found = torch.bincount((low + step).flatten(), weights[:, c].flatten().double(), n * bins)
            counted[:, c] += found.view(n, bins)
    return counted.cumsum(2) - counted / 2  # of what lies at the radius itself, half
