"""From stamps of any release to what an objective takes: one shape, half precision."""

from __future__ import annotations

import torch
from torch.nn import functional

from kernels.nets.galaxy import band_mixture
from kernels.stretch import stretch as stretch_stamps

__all__ = ["prepare", "prepare_clean", "prepared_side"]


def prepared_side(side: int) -> int:
    """Side of prepared stamps for views of `side` pixels: finer by 3/8, so that zooming in finds detail."""
    return round(side * 11 / 8)


def prepare(stamps: torch.Tensor, side: int, stretch: str) -> torch.Tensor:
    """Stretch, mix the bands to channels and resize.

    Parameters
    ----------
    stamps : (n, bands, y, x) float tensor
        Background-subtracted, bands in the order of their wavelengths.
    side : int
        Side of the views that will be taken, pixels.
    stretch : {"asinh", "linear"}
        As in `kernels.stretch.stretch`.

    Returns
    -------
    (n, 3, prepared_side(side), prepared_side(side)) float16 tensor.
    """
    images = stretch_stamps(stamps, stretch)
    images = torch.einsum("cb,nbyx->ncyx", band_mixture(stamps.shape[1]), images)
    size = prepared_side(side)
    if images.shape[-1] != size:
        images = functional.interpolate(
            images, (size, size), mode="bilinear", align_corners=False, antialias=True
        )
    return images.half()


def prepare_clean(stamps: torch.Tensor, side: int) -> torch.Tensor:
    """Bands one by one, in units of their own root sum of squares; the middle, or padded with zeros.

    Parameters
    ----------
    stamps : (n, bands, y, x) float tensor
        Background-subtracted, square.
    side : int
        Side of what comes out, pixels.

    Returns
    -------
    (n * bands, 1, side, side) float16 tensor; bands without light are left out.
    """
    each = stamps.float().flatten(0, 1)[:, None]
    before = (side - each.shape[-1]) // 2
    after = side - each.shape[-1] - before
    each = functional.pad(each, (before, after, before, after))
    # to their own peak first: squares of faint units would underflow
    each = each / each.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=torch.finfo(torch.float32).tiny)
    power = each.square().sum(dim=(1, 2, 3)).sqrt()
    lit = power > 0
    return (each[lit] / power[lit, None, None, None]).half()
