"""Views: random looks at the same galaxy, which an encoder should find alike."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

__all__ = ["blurred", "moved", "view"]

_ZOOM = math.log(1.25)
_SHIFT = 0.05  # of half the side
_GREY = 0.5  # share of views that lose their colours
_NOISE = (0.003, 0.08)  # of the object's peak
_BLUR = 1.2  # sigma in pixels of the view


def view(stamps: torch.Tensor, side: int, generator: torch.Generator | None = None) -> torch.Tensor:
    """Look at every stamp from elsewhere.

    Turned by any angle, mirrored or not, zoomed by up to 25 %, shifted by up to 2.5 %; seen through worse seeing, another
    stretch, other gains of the bands or one band only (a random mixture, in all channels), with noise.

    Parameters
    ----------
    stamps : (n, 3, y, x) float tensor
        Stretched as `kernels.stretch` does, peak 1. Square, at most about 1.5 times `side`.
    side : int
        Side of the views, pixels.
    generator : torch.Generator, optional
        On the stamps' device.

    Returns
    -------
    (n, 3, side, side) float32 tensor.
    """
    n = len(stamps)

    def draw(low: float, high: float, *shape: int) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, *shape, generator=generator, device=stamps.device)

    images = moved(
        stamps.float(),
        side,
        draw(0, 2 * math.pi),
        draw(-_ZOOM, _ZOOM).exp(),
        draw(-1, 1),
        draw(-_SHIFT, _SHIFT, 2),
    )
    blur = draw(-0.5, 1, 1, 1, 1).clamp(min=0)
    images = images + blur * (blurred(images) - images)
    images = _stretched(images, draw(math.log(0.3), math.log(6), 1, 1, 1).exp(), draw(0, 1, 1, 1, 1) < 0.5)
    images = images * draw(-0.15, 0.15, 3, 1, 1).exp() * draw(-0.2, 0.1, 1, 1, 1).exp()
    mixture = draw(0.05, 1, 3, 1, 1)
    grey = (images * mixture).sum(dim=1, keepdim=True) / mixture.sum(dim=1, keepdim=True)
    one = draw(0, 1, 1, 1, 1) < _GREY
    images = torch.where(one, grey, images)
    low, high = (math.log(value) for value in _NOISE)
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    # noise of a grey image is grey, and in some colour images bands share theirs
    noise = torch.where(one | (draw(0, 1, 1, 1, 1) < 0.3), noise[:, :1], noise)
    return images + draw(low, high, 1, 1, 1).exp() * noise


def moved(
    stamps: torch.Tensor,
    side: int,
    angle: torch.Tensor,
    zoom: torch.Tensor,
    mirror: torch.Tensor,
    shift: torch.Tensor,
) -> torch.Tensor:
    """Stamps (n, b, y, x) turned by an angle, zoomed, mirrored where `mirror` is negative, and shifted in half sides: (n, b, side, side)."""
    cos, sin, flip = angle.cos() / zoom, angle.sin() / zoom, torch.where(mirror < 0, -1.0, 1.0)
    rows = (torch.stack([cos * flip, -sin, shift[:, 0]], 1), torch.stack([sin * flip, cos, shift[:, 1]], 1))
    grid = functional.affine_grid(torch.stack(rows, 1), [len(stamps), 1, side, side], align_corners=False)
    return functional.grid_sample(stamps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def blurred(images: torch.Tensor) -> torch.Tensor:
    """Images (n, b, y, x) through worse seeing."""
    taps = torch.arange(-3, 4.0, device=images.device)
    line = torch.exp(-(taps**2) / (2 * _BLUR**2))
    line = (line / line.sum()).expand(images.shape[1], 1, 7)
    images = functional.conv2d(images, line[:, :, None, :], padding=(0, 3), groups=images.shape[1])
    return functional.conv2d(images, line[:, :, :, None], padding=(3, 0), groups=images.shape[1])


def _stretched(images: torch.Tensor, depth: torch.Tensor, deeper: torch.Tensor) -> torch.Tensor:
    """Another brightness scale: asinh lifts the faint parts, sinh (its inverse, half as deep) lowers them."""
    lifted = (depth * images).asinh() / depth.asinh()
    half = depth / 2
    lowered = (half * images.clamp(-1, 1.5)).sinh() / half.sinh()
    return torch.where(deeper, lifted, lowered)
