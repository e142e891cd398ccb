"""Sérsic fits of measured objects: each on a window that is as large as the object needs."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch

from kernels.measure.binning import bin_factor
from kernels.measure.sersic import SersicFit, fit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernels.measure.psf import PSF
    from kernels.measure.shapes import Ellipse

__all__ = ["Optics", "fit_in_windows"]

_SMALLEST, _STEP = 64, 32  # pixels a side
_EXTENT = 2.0  # Petrosian radii to either side
_FEWEST, _PIXELS = 32, 1 << 22  # stamps that are copied at a time, at least, and their pixels, at most
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
    psfs: tuple[PSF | None, ...] | None = None
    """One for each stamp, instead of one for all; None where it is not known."""

    def part(self, first: int, count: int) -> Optics:
        """The optics of so many stamps from the first one on; those behind the last stamp have no PSF."""
        if self.psfs is None:
            return self
        some = self.psfs[first : first + count]
        return replace(self, psfs=some + (None,) * (count - len(some)))

    def missing(self, like: torch.Tensor) -> torch.Tensor:
        """Which stamps (n,) bool have no PSF where others do."""
        if self.psfs is None:
            return torch.zeros_like(like, dtype=torch.bool)
        return torch.tensor([psf is None for psf in self.psfs], device=like.device)

    def widths(self, like: torch.Tensor, unknown: float) -> torch.Tensor:
        """FWHM (n,) of each stamp's PSF, pixels."""
        if self.psfs is None:
            return torch.full_like(like, self.fwhm or unknown)
        widths = [unknown if psf is None else psf.fwhm for psf in self.psfs]
        return torch.tensor(widths, dtype=like.dtype, device=like.device)


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
        A stamp whose PSF is missing is not fitted.
    centre : (n, 2) float tensor
        x, y in pixels; NaN where there is nothing to fit.
    size, reach : (n,) float tensor
        Half-light radius of circles, and Petrosian radius along the major axis, pixels. The fit is made on binned pixels by the former
        (`kernels.measure.binning`). The window reaches two of the latter to either side, and has 64, 96,
        128... binned pixels a side; it is the whole stamp where that is smaller, or the radius unknown.
    shape : Ellipse

    Returns
    -------
    SersicFit
        Centres in the stamp.
    """
    sides, without = images.shape[1:], optics.missing(size)
    centre = torch.where(without[:, None], torch.nan, centre)
    ratio, angle = shape.ratio.nan_to_num(0.8), shape.angle.nan_to_num(0.0)
    factor = bin_factor(size, min(sides))
    wanted = (2 * _EXTENT * reach.nan_to_num(torch.inf)).clamp(max=10 * max(sides))
    window = (torch.maximum(wanted, _SMALLEST * factor) / (_STEP * factor)).ceil().long() * _STEP * factor
    window = torch.where((window < min(sides)) & centre.isfinite().all(dim=1), window, 0)
    found: dict[str, torch.Tensor] = {}
    for side, binning, places, psf in _alike(window, factor, optics, sides):
        height, width = (side, side) if side else (length - length % binning for length in sides)
        corner = _corners(centre[places], sides, (height, width))
        part = fit(
            _cut(images, places, corner, height, width),
            noise[places] if noise.ndim == 1 else _cut(noise, places, corner, height, width),
            _cut(masked, places, corner, height, width),
            psf,
            centre[places] - corner,
            size[places] / ratio[places].sqrt(),
            ratio[places],
            angle[places],
            optics.gain,
            _SKY_PIXELS,
            binning,
        )
        for field in fields(part):
            values = getattr(part, field.name)
            whole = found.setdefault(field.name, values.new_zeros((len(images), *values.shape[1:])))
            whole[places] = values + corner if field.name == "centre" else values
    return SersicFit(**found)


def _corners(centre: torch.Tensor, sides: torch.Size, box: tuple[int, int]) -> torch.Tensor:
    """The first pixels (n, 2), x and y, of boxes of so many rows and columns within stamps: about the centres (n, 2), as far as there is room."""
    middle = centre.nan_to_num(0.0).round().long()
    return torch.stack(
        [(middle[:, k] - box[1 - k] // 2).clamp(0, sides[1 - k] - box[1 - k]) for k in (0, 1)], 1
    )


def _cut(
    values: torch.Tensor, places: torch.Tensor, corner: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """Boxes (n, height, width) of some of the stamps."""
    boxes = zip(places.tolist(), corner.tolist(), strict=True)
    return torch.stack([values[place, y : y + height, x : x + width] for place, (x, y) in boxes])


def _alike(
    window: torch.Tensor, factor: torch.Tensor, optics: Optics, sides: torch.Size
) -> Iterator[tuple[int, int, torch.Tensor, torch.Tensor | Sequence[PSF] | None]]:
    """Windows' sides, how many pixels are binned, the stamps that are fitted together, and their PSFs: on one grid, which follows from each stamp alone.

    Only so many stamps at a time as a copy of is small.
    """
    together: dict[tuple[int, int, float], list[int]] = {}
    psfs = optics.psfs or (None,) * len(window)
    for place, (side, binning, psf) in enumerate(zip(window.tolist(), factor.tolist(), psfs, strict=True)):
        together.setdefault((side, binning, 0.0 if psf is None else psf.reach), []).append(place)
    for (side, binning, _), all_places in sorted(together.items()):
        most = max(_FEWEST, _PIXELS // (side**2 or sides.numel()))
        for first in range(0, len(all_places), most):
            places = all_places[first : first + most]
            each = [psf for place in places if (psf := psfs[place]) is not None]
            yield side, binning, torch.tensor(places, device=window.device), each or optics.psf
