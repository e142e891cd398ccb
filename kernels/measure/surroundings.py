"""What is around an object, and whether it is the one that was asked for: borders, neighbours, bad pixels, its distance from the catalog's position."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.elementary import hypot
from kernels.measure.boxes import box_of, pixels_in
from kernels.measure.flags import MeasureFlag

if TYPE_CHECKING:
    from kernels.measure.shapes import Ellipse
    from kernels.segmentation.segments import Segments

__all__ = ["EXTENT", "area_radius", "astray", "blend_fraction", "surroundings"]

EXTENT = 1.5  # Petrosian radii: what counts as the whole object
_CROWDED = 0.1  # of the circle
_CLOSE = 3  # pixels
_FOREIGN = 0.6  # of the flux: faint objects alone have at most 0.55 on pixels that are not above the noise
_ASTRAY = 3.0  # pixels: so far from the catalog's position a centre may lie
_WANDER = 0.4  # of the half-light radius: and so far in large galaxies, which are not symmetric
_GAP = 2  # pixels: so far from the catalog's position the light may begin


def surroundings(
    segments: Segments,
    bad: torch.Tensor,
    centre: torch.Tensor,
    radius: torch.Tensor,
    half_light: torch.Tensor,
    foreign: torch.Tensor,
) -> dict[MeasureFlag, torch.Tensor]:
    """Flags (n,) bool of what is around objects.

    Parameters
    ----------
    segments : Segments
    bad : (n, y, x) bool tensor
        Pixels that are no data.
    centre : (n, 2) float tensor
        Of what was measured; x, y in pixels.
    radius, half_light : (n,) float tensor
        Petrosian and half-light radius of circles, pixels; NaN where there is none.
    foreign : (n,) float tensor
        Share of the measured flux that is not on the object's own pixels.

    Returns
    -------
    dict of `MeasureFlag` to (n,) bool tensor
    """
    _, height, width = bad.shape
    low, high = centre - EXTENT * radius[:, None], centre + EXTENT * radius[:, None]
    last = torch.tensor([width - 1, height - 1], device=bad.device)
    counts = np.zeros((len(bad), 5), np.int64)
    place = torch.cat([centre, radius[:, None]], dim=1).double()
    central, others, lost = (plane.numpy(force=True) for plane in (segments.central, segments.others, bad))
    _count(central, others, lost, place.numpy(force=True), counts)
    circle, covered, on_object, spoilt, close = torch.from_numpy(counts).to(bad.device).unbind(1)
    at_middle = _middle(segments.central).flatten(1).any(dim=1)
    size = torch.where(half_light.isfinite(), half_light, area_radius(segments.central))
    return {
        MeasureFlag.TRUNCATED: ((low < -0.5) | (high > last + 0.5)).any(dim=1),
        MeasureFlag.OFF_CENTRE: (on_object == 0)
        | ~at_middle
        | ((centre <= 0) | (centre >= last)).any(dim=1)
        | astray(centre, size, bad.shape[1:]),
        MeasureFlag.NEIGHBOUR: (close > 0)
        | (covered > _CROWDED * circle)
        | ((foreign > _FOREIGN) & segments.others.flatten(1).any(dim=1)),
        MeasureFlag.BAD_PIXELS: spoilt > 0,
    }


@compiled
def _count(central: Any, others: Any, bad: Any, place: Any, counts: Any) -> None:
    """Fill in, for circles of 1.5 radii about places (n, 3), x, y and radius: their pixels, and those of neighbours in them; pixels of the object next to the
    centre; bad ones within the radius; and neighbours' pixels close to the object.
    """
    n, height, width = central.shape
    for i in range(n):
        x0, y0, radius = place[i]
        if np.isfinite(x0 + y0):
            known = np.isfinite(radius)
            far, near = (EXTENT * radius) ** 2 if known else -1.0, radius * radius
            reach = max(EXTENT * radius if known else 0.0, 1.0)
            pixels, covered, on_object, spoilt = 0, 0, 0, 0
            for y in range(max(int(y0 - reach) - 1, 0), min(int(y0 + reach) + 2, height)):
                own, foreign, lost = central[i, y], others[i, y], bad[i, y]
                for x in range(max(int(x0 - reach) - 1, 0), min(int(x0 + reach) + 2, width)):
                    away = (x - x0) ** 2 + (y - y0) ** 2
                    within = away <= far
                    pixels += within
                    covered += within and foreign[x]
                    spoilt += within and lost[x] and away <= near
                    on_object += away <= 1 and own[x]
            counts[i, 0], counts[i, 1], counts[i, 2], counts[i, 3] = pixels, covered, on_object, spoilt
        counts[i, 4] = _any_close(central[i], others[i])


@compiled
def _any_close(central: Any, others: Any) -> bool:
    """Whether a neighbour's pixel (y, x) lies at most three pixels, in x and in y, from one of the object's."""
    height, width = central.shape
    top, bottom, left, right = box_of(central)
    # of each column, whether it is the object's in a row that is close; and whether one that is close is
    own, near = np.empty(width + 2 * _CLOSE, np.bool_), np.empty(width, np.bool_)
    inside = own[_CLOSE : _CLOSE + width]
    for y in range(max(top - _CLOSE, 0), min(bottom + _CLOSE, height) if bottom else 0):
        row, some = others[y, max(left - _CLOSE, 0) : right + _CLOSE], False
        for x in range(row.size):
            some |= row[x]
        if not some:
            continue
        own[:], near[:] = False, False
        for to_y in range(max(y - _CLOSE, 0), min(y + _CLOSE + 1, height)):
            for x in range(width):
                inside[x] |= central[to_y, x]
        for step in range(2 * _CLOSE + 1):
            there = own[step : step + width]
            for x in range(width):
                near[x] |= there[x]
        for x in range(width):
            if near[x] and others[y, x]:
                return True
    return False


def astray(centre: torch.Tensor, size: torch.Tensor, sides: torch.Size) -> torch.Tensor:
    """Where (n,) bool centres (n, 2) are farther from the stamp's middle, the catalog's position, than three pixels and 0.4 of the size (n,), pixels.

    Isolated galaxies that are large and irregular have theirs so far away in one case of fifty. False for NaN.
    """
    height, width = sides
    middle = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=centre.device)
    away = hypot(*(centre - middle).unbind(1))
    return away > (_WANDER * size.nan_to_num(0.0)).clamp(min=_ASTRAY)


def blend_fraction(
    segments: Segments, centre: torch.Tensor, radius: torch.Tensor, shape: Ellipse
) -> torch.Tensor:
    """Share (n,) of an object's ellipse that neighbours cover, NaN where there is none.

    Parameters
    ----------
    segments : Segments
    centre : (n, 2) float tensor
        x, y in pixels.
    radius : (n,) float tensor
        Petrosian radius along the major axis, pixels.
    shape : Ellipse
    """
    counts = np.zeros((len(centre), 2), np.int64)
    place = torch.stack([*centre.unbind(1), radius, shape.ratio, shape.angle], dim=1).double()
    _cover(segments.others.numpy(force=True), place.numpy(force=True), counts)
    within, covered = torch.from_numpy(counts).to(centre.device).unbind(1)
    return torch.where(radius.isfinite(), covered.double() / within.clamp(min=1), torch.nan)


@compiled
def _cover(others: Any, place: Any, counts: Any) -> None:
    """Fill in the pixels of ellipses (n, 5), x, y, radius, ratio and angle, and those of neighbours in them."""
    n, height, width = others.shape
    for i in range(n):
        x0, y0, radius, ratio, angle = place[i]
        if not np.isfinite(place[i].sum()):
            continue
        c, s = np.cos(angle), np.sin(angle)
        for y in range(max(int(y0 - radius) - 1, 0), min(int(y0 + radius) + 2, height)):
            for x in range(max(int(x0 - radius) - 1, 0), min(int(x0 + radius) + 2, width)):
                along = c * (x - x0) + s * (y - y0)
                across = (c * (y - y0) - s * (x - x0)) / ratio
                if along * along + across * across <= radius * radius:
                    counts[i, 0] += 1
                    counts[i, 1] += others[i, y, x]


def area_radius(central: torch.Tensor) -> torch.Tensor:
    """About the half-light radius (n,) of connected pixels (n, y, x): half that of a circle as large."""
    return (pixels_in(central) / math.pi).sqrt() / 2


def _middle(where: torch.Tensor) -> torch.Tensor:
    """The part of stamps (n, y, x) around their middle, two pixels to either side."""
    _, height, width = where.shape
    top, left = max((height - 1) // 2 - _GAP, 0), max((width - 1) // 2 - _GAP, 0)
    return where[:, top : height // 2 + _GAP + 1, left : width // 2 + _GAP + 1]
