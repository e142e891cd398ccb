"""Sérsic fits of measured objects: each on a window that is as large as the object needs."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch

from kernels.measure.sersic import SersicFit, fit

if TYPE_CHECKING:
    from kernels.measure.shapes import Ellipse

__all__ = ["Optics", "fit_in_windows"]

_SMALLEST, _STEP = 64, 32  # pixels a side
_EXTENT = 2.0  # Petrosian radii to either side
_SKY_PIXELS = 400.0  # the sky's level is known to be zero within a twentieth of the noise


@dataclass(frozen=True)
class Optics:
    """What is known of the camera that took the stamps."""

    psf: torch.Tensor | None = None
    """(py, px), its sum 1, the response of the pixel in it."""
    fwhm: float | None = None
    """Of the PSF, pixels."""
    gain: float | None = None
    """Electrons per image unit; without it there is no photon noise."""


def fit_in_windows(
    images: torch.Tensor,
    noise: torch.Tensor,
    masked: torch.Tensor,
    optics: Optics,
    centre: torch.Tensor,
    size: torch.Tensor,
    reach: torch.Tensor,
    shape: Ellipse,
) -> SersicFit:
    """Fit profiles that start from what was measured.

    Parameters
    ----------
    images : (n, y, x) float tensor
    noise : (n,) or (n, y, x) float tensor
        Of the sky in a pixel, or of each pixel.
    masked : (n, y, x) bool tensor
    optics : Optics
    centre : (n, 2) float tensor
        x, y in pixels; NaN where there is nothing to fit.
    size, reach : (n,) float tensor
        Half-light radius of circles, and Petrosian radius along the major axis, pixels. The window reaches two of the latter to either side, and has 64, 96,
        128... pixels a side; it is the whole stamp where that is smaller, or the radius unknown.
    shape : Ellipse

    Returns
    -------
    SersicFit
        Centres in the stamp.
    """
    sides = images.shape[1:]
    ratio, angle = shape.ratio.nan_to_num(0.8), shape.angle.nan_to_num(0.0)
    wanted = (2 * _EXTENT * reach.nan_to_num(torch.inf)).clamp(min=_SMALLEST, max=10 * max(sides))
    window = (wanted / _STEP).ceil().long() * _STEP
    window = torch.where((window < min(sides)) & centre.isfinite().all(dim=1), window, 0)
    found: dict[str, torch.Tensor] = {}
    for side in window.unique().tolist():
        places = (window == side).nonzero()[:, 0]
        here, no_data, sigma = images[places], masked[places], noise[places]
        corner = torch.zeros_like(places)[:, None].expand(-1, 2)
        if side:
            near = centre[places].round().long() - side // 2
            corner = torch.stack([near[:, k].clamp(0, sides[1 - k] - side) for k in (0, 1)], dim=1)
            line = torch.arange(side, device=corner.device)
            rows, columns = corner[:, 1, None, None] + line[:, None], corner[:, 0, None, None] + line
            here, no_data = (values[places[:, None, None], rows, columns] for values in (images, masked))
            if noise.ndim > 1:
                sigma = noise[places[:, None, None], rows, columns]
        part = fit(
            here,
            sigma,
            no_data,
            optics.psf,
            centre[places] - corner,
            size[places] / ratio[places].sqrt(),
            ratio[places],
            angle[places],
            optics.gain,
            _SKY_PIXELS,
        )
        for field in fields(part):
            values = getattr(part, field.name)
            whole = found.setdefault(field.name, values.new_zeros((len(images), *values.shape[1:])))
            whole[places] = values + corner if field.name == "centre" else values
    return SersicFit(**found)
