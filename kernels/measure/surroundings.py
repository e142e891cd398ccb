"""What is around an object, and whether it is the one that was asked for: borders, neighbours, bad pixels, its distance from the catalog's position."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from kernels.elementary import hypot
from kernels.measure.flags import MeasureFlag
from kernels.segmentation.noise import near

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
    x, y = (torch.arange(side, device=bad.device) for side in (width, height))
    distance = hypot(x - centre[:, :1, None], y[:, None] - centre[:, 1:, None])
    circle = distance <= (EXTENT * radius)[:, None, None]
    low, high = centre - EXTENT * radius[:, None], centre + EXTENT * radius[:, None]
    last = torch.tensor([width - 1, height - 1], device=bad.device)
    close = near(segments.central, _CLOSE, beyond=False) & segments.others
    covered = (circle & segments.others).sum(dim=(1, 2)) > _CROWDED * circle.sum(dim=(1, 2))
    on_object = (segments.central & (distance <= 1)).flatten(1).any(dim=1)
    at_middle = _middle(segments.central).flatten(1).any(dim=1)
    size = torch.where(half_light.isfinite(), half_light, area_radius(segments.central))
    return {
        MeasureFlag.TRUNCATED: ((low < -0.5) | (high > last + 0.5)).any(dim=1),
        MeasureFlag.OFF_CENTRE: ~on_object
        | ~at_middle
        | ((centre <= 0) | (centre >= last)).any(dim=1)
        | astray(centre, size, bad.shape[1:]),
        MeasureFlag.NEIGHBOUR: close.flatten(1).any(dim=1)
        | covered
        | ((foreign > _FOREIGN) & segments.others.flatten(1).any(dim=1)),
        MeasureFlag.BAD_PIXELS: (bad & (distance <= radius[:, None, None])).flatten(1).any(dim=1),
    }


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
    _, height, width = segments.others.shape
    x, y = (torch.arange(side, device=centre.device) for side in (width, height))
    x, y = x - centre[:, :1, None], y[:, None] - centre[:, 1:, None]
    c, s = shape.angle.cos()[:, None, None], shape.angle.sin()[:, None, None]
    away = hypot(c * x + s * y, (c * y - s * x) / shape.ratio[:, None, None])
    within = away <= radius[:, None, None]
    share = (within & segments.others).sum(dim=(1, 2)) / within.sum(dim=(1, 2)).clamp(min=1)
    return torch.where(radius.isfinite(), share.double(), torch.nan)


def area_radius(central: torch.Tensor) -> torch.Tensor:
    """About the half-light radius (n,) of connected pixels (n, y, x): half that of a circle as large."""
    return (central.sum(dim=(1, 2)) / math.pi).sqrt() / 2


def _middle(where: torch.Tensor) -> torch.Tensor:
    """The part of stamps (n, y, x) around their middle, two pixels to either side."""
    _, height, width = where.shape
    top, left = max((height - 1) // 2 - _GAP, 0), max((width - 1) // 2 - _GAP, 0)
    return where[:, top : height // 2 + _GAP + 1, left : width // 2 + _GAP + 1]
