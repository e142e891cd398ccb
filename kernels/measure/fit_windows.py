"""Sérsic fits of measured objects: each on a window that is as large as the object needs."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from kernels.measure.binning import bin_factor, binned
from kernels.measure.nested_fit import fit_nested
from kernels.measure.psf import PSF
from kernels.measure.sersic import SersicFit, fit_weighted, weighted
from kernels.measure.transfer import PIXEL_REACH

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernels.measure.shapes import Ellipse

__all__ = ["Optics", "fit_in_windows"]

_SMALLEST, _STEP = 64, 32  # pixels a side
_EXTENT = 2.0  # Petrosian radii to either side
_FEWEST, _PIXELS = 32, 1 << 22  # stamps that are fitted at a time, and their pixels
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
    factor = torch.where(without, 1, bin_factor(size, min(sides)))
    wanted = (2 * _EXTENT * reach.nan_to_num(torch.inf)).clamp(max=10 * max(sides)) / factor
    window = (wanted.clamp(min=_SMALLEST) / _STEP).ceil().long() * _STEP  # binned pixels
    window = torch.where((window * factor < min(sides)) & centre.isfinite().all(dim=1), window, 0)
    if images.device.type == "cpu":
        half = torch.where(window > 0, window * factor / 2, float(max(sides)))
        sigma, weights = noise, None
        if noise.ndim > 1:
            sigma, weights = weighted(images, noise, masked)
        psfs = optics.psfs or (_shared(optics.psf),) * len(images)
        return fit_nested(
            images.float(),
            sigma.double(),
            masked,
            weights,
            psfs,
            factor,
            half,
            centre,
            size,
            ratio,
            angle,
            optics.gain,
            _SKY_PIXELS,
        )
    found: dict[str, torch.Tensor] = {}
    for box, places, psf in _alike(window, factor, optics, sides):
        binning = factor[places]
        corner = _corners(centre[places], sides, box, binning)
        light, sigma, weights = _pixels(images, noise, masked, places, binning, corner, box, centre, size)
        middle = corner + (binning[:, None] - 1) / 2  # of the first binned pixel
        part = fit_weighted(
            light,
            sigma,
            weights,
            psf,
            (centre[places] - middle) / binning[:, None],
            size[places] / ratio[places].sqrt() / binning,
            ratio[places],
            angle[places],
            optics.gain,
            _SKY_PIXELS,
            binning if int(binning.max()) > 1 else None,
        )
        part = replace(
            part,
            centre=part.centre * binning[:, None] + middle,
            r_e=part.r_e * binning,
            r_e_error=part.r_e_error * binning,
            flux=part.flux * binning**2,
            flux_error=part.flux_error * binning**2,
        )
        for field in fields(part):
            values = getattr(part, field.name)
            whole = found.setdefault(field.name, values.new_zeros((len(images), *values.shape[1:])))
            whole[places] = values
    return SersicFit(**found)


def _shared(psf: torch.Tensor | None) -> PSF | None:
    """The PSF of all stamps; what follows from it is found once."""
    return None if psf is None else _known(psf.double().numpy(force=True).tobytes(), tuple(psf.shape))


@functools.lru_cache(maxsize=16)
def _known(pixels: bytes, sides: tuple[int, ...]) -> PSF:
    return PSF(torch.from_numpy(np.frombuffer(pixels).reshape(sides).copy()))


def _corners(
    centre: torch.Tensor, sides: torch.Size, box: tuple[int, int], factor: torch.Tensor
) -> torch.Tensor:
    """The first pixels (n, 2), x and y, of boxes of so many binned rows and columns about the centres (n, 2), as far as there is room in stamps."""
    middle, corners = centre.nan_to_num(0.0).round().long(), []
    for axis in (0, 1):
        length = box[1 - axis] * factor
        room = (sides[1 - axis] - length).clamp(min=0)
        corners.append(torch.minimum((middle[:, axis] - length // 2).clamp(min=0), room))
    return torch.stack(corners, dim=1)


def _pixels(
    images: torch.Tensor,
    noise: torch.Tensor,
    masked: torch.Tensor,
    places: torch.Tensor,
    factor: torch.Tensor,
    corner: torch.Tensor,
    box: tuple[int, int],
    centre: torch.Tensor,
    size: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Binned boxes (k, y, x) of the stamps at some places (k,), ordered by their factors, the noise (k,) in a pixel of weight one, and the pixels' weights."""
    found = []
    for binning in factor.unique().tolist():
        # few at a time, as they are copied
        for some in (factor == binning).nonzero()[:, 0].split(_FEWEST):
            here, first = places[some], corner[some]
            height, width = (side * binning for side in box)
            light, no_data = (_cut(values, here, first, height, width) for values in (images, masked))
            sigma = noise[here] if noise.ndim == 1 else _cut(noise, here, first, height, width)
            sigma, weights = weighted(light, sigma, no_data)
            if binning > 1:
                light, weights = binned(light, weights, binning, centre[here] - first, size[here])
            found.append((light, sigma / binning, weights))
    light, sigma, weights = (torch.cat(parts) for parts in zip(*found, strict=True))
    return light, sigma, weights


def _cut(
    values: torch.Tensor, places: torch.Tensor, corner: torch.Tensor, height: int, width: int
) -> torch.Tensor:
    """Boxes (k, height, width) of some of the stamps."""
    boxes = zip(places.tolist(), corner.tolist(), strict=True)
    return torch.stack([values[place, y : y + height, x : x + width] for place, (x, y) in boxes])


def _alike(
    window: torch.Tensor, factor: torch.Tensor, optics: Optics, sides: torch.Size
) -> Iterator[tuple[tuple[int, int], torch.Tensor, torch.Tensor | Sequence[PSF] | None]]:
    """Binned rows and columns, the stamps that are fitted on so many together, and their PSFs: on one grid, which follows from each stamp alone."""
    together: dict[tuple[int, int, float], list[int]] = {}
    shared = None if optics.psf is None else PSF(optics.psf)
    psfs = optics.psfs or (shared,) * len(window)
    for place, (side, binning, psf) in enumerate(zip(window.tolist(), factor.tolist(), psfs, strict=True)):
        height, width = (side, side) if side else (length // binning for length in sides)
        reach = 0.0 if psf is None else psf.reach if binning == 1 else PIXEL_REACH
        together.setdefault((height, width, reach), []).append(place)
    for (height, width, _), alike in sorted(together.items()):
        most = max(_FEWEST, _PIXELS // (height * width))
        alike.sort(key=lambda place: int(factor[place]))
        for first in range(0, len(alike), most):
            places = alike[first : first + most]
            each = [psf for place in places if (psf := psfs[place]) is not None]
            as_they_are = optics.psfs is None and int(factor[places[0]]) == 1
            yield (
                (height, width),
                torch.tensor(places, device=window.device),
                optics.psf if as_they_are else each or None,
            )
