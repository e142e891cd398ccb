"""Gentle views: a galaxy as it might also have been taken, for a network that is taught what people saw in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from kernels.training.views import blurred, moved

__all__ = ["ViewSettings", "gentle_view", "plain_view"]


@dataclass(frozen=True)
class ViewSettings:
    """How far a view may be from the stamp.

    Attributes
    ----------
    zoom
        Largest factor of the size is one more than this.
    shift
        Largest shift along each axis, in half sides.
    noise
        Largest standard deviation of added noise, in units of the object's peak.
    blur
        Largest share of the image that is replaced by a blurred one.
    colours
        Largest change of a band's gain, as a natural logarithm; 0: colours are kept.
    """

    zoom: float = 0.15
    shift: float = 0.04
    noise: float = 0.02
    blur: float = 0.4
    colours: float = 0.0


def gentle_view(
    stamps: torch.Tensor, side: int, settings: ViewSettings, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Look at every stamp once more: turned by any angle, mirrored or not, nearer or farther, shifted, a little blurred and noisier.

    Parameters
    ----------
    stamps : (n, b, y, x) float tensor
        Stretched as `kernels.stretch` does, peak 1. Square.
    side : int
        Side of the views, pixels.
    settings : ViewSettings
    generator : torch.Generator, optional
        On the stamps' device.

    Returns
    -------
    (n, b, side, side) float32 tensor.
    """
    n, bands = stamps.shape[:2]

    def draw(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator, device=stamps.device)

    zoom = math.log1p(settings.zoom)
    images = moved(
        stamps.float(),
        side,
        draw(0, 2 * math.pi),
        draw(-zoom, zoom).exp(),
        draw(-1, 1),
        draw(-settings.shift, settings.shift, 2),
    )
    share = settings.blur * draw(-1, 1, 1, 1, 1).clamp(min=0)
    images = images + share * (blurred(images) - images)
    gain = draw(-1, 1, bands, 1, 1) * settings.colours
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    return images * gain.exp() + settings.noise * draw(0, 1, 1, 1, 1).square() * noise


def plain_view(stamps: torch.Tensor, side: int) -> torch.Tensor:
    """Stamps (n, b, y, x) as the network sees them when it answers, (n, b, side, side) float32."""
    images = stamps.float()
    if images.shape[-1] == side:
        return images
    return functional.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=True)
