"""Sérsic fits: one profile, seen through the PSF, and a level of sky to each stamp, many stamps at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from kernels.elementary import atan2, hypot
from kernels.measure.least_squares import THINNEST, Limits, Pixels, chunk, search
from kernels.measure.profiles import Camera, camera, camera_of_each
from kernels.measure.sersic_errors import errors_of
from kernels.measure.transfer import PIXEL_REACH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernels.measure.psf import PSF

__all__ = ["SersicFit", "fit", "fit_weighted", "weighted"]

_BATCH = 256  # stamps at a time: memory stays flat
_STARTS = (0.7, 1.5, 3.0, 5.0)  # n
_SHRINK = 0.8  # of the first radius, which the PSF has widened
_FEWEST = 16  # pixels


@dataclass(frozen=True)
class SersicFit:
    """Fitted profiles, (n,) float64 tensors unless it says otherwise; NaN where there is no fit."""

    n: torch.Tensor
    """Sérsic index."""
    r_e: torch.Tensor
    """Half-light radius along the major axis, pixels."""
    ratio: torch.Tensor
    """Axis ratio b / a."""
    angle: torch.Tensor
    """Direction of the major axis, radians from x to y, between -pi / 2 and pi / 2."""
    flux: torch.Tensor
    """Of the whole profile, to infinity, image units."""
    centre: torch.Tensor
    """(n, 2): x, y in pixels; the middle of the first pixel is (0, 0)."""
    sky: torch.Tensor
    """Level under the object, image units a pixel."""
    chi2: torch.Tensor
    """Reduced; NaN too where the noise is zero."""
    converged: torch.Tensor
    """(n,) bool: the search came to rest."""
    at_limit: torch.Tensor
    """(n,) bool: it rests at the edge of what is looked at: n of 0.3 or 8, a radius of 0.1 pixels or of the stamp's side, an axis ratio of 0.05, or a centre
    a quarter of the side from its start. No value of such a fit means anything."""
    n_error: torch.Tensor
    """1-sigma errors of the values, see `kernels.measure.sersic_errors`; NaN too where the fit has not converged or ended at a limit."""
    r_e_error: torch.Tensor
    ratio_error: torch.Tensor
    angle_error: torch.Tensor
    flux_error: torch.Tensor
    sky_error: torch.Tensor


def fit(
    images: torch.Tensor,
    noise: torch.Tensor,
    masked: torch.Tensor,
    psf: torch.Tensor | Sequence[PSF] | None,
    centre: torch.Tensor,
    r_e: torch.Tensor,
    ratio: torch.Tensor,
    angle: torch.Tensor,
    gain: float | None = None,
    sky_pixels: float = 0.0,
) -> SersicFit:
    """Fit Sérsic profiles (Sérsic 1963, BAAA 6, 41; 1968; Graham & Driver 2005, PASA 22, 118) as GALFIT does (Peng et al. 2002, AJ 124, 266).

    Chi-squared is made smallest by the Levenberg-Marquardt method over centre, radius, index and ellipticity; flux and sky are linear and solved for at
    each step (variable projection, Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413). Four first guesses of the index are compared on
    pixels binned 2 x 2, the best is followed there, and then on the pixels themselves.

    Parameters
    ----------
    images : (n, y, x) float tensor
    noise : (n,) or (n, y, x) float tensor
        Standard deviation of the sky in a pixel, or in each pixel, image units. Where one for a stamp is zero all pixels count evenly; pixels whose own is
        zero don't count.
    masked : (n, y, x) bool tensor
        Pixels that do not count: bad ones and neighbours.
    psf : (py, px) float tensor, n of `kernels.measure.psf.PSF`, or None
        See `kernels.measure.profiles.Camera`. Where each stamp has a PSF of its own, all must have the same `reach`
        (else ValueError): the grid must follow from each alone, or a stamp's bits would depend on the others.
    centre : (n, 2) float tensor
        Start: x, y in pixels.
    r_e, ratio, angle : (n,) float tensor
        Start: half-light radius along the major axis, pixels; axis ratio b / a; radians from x to y.
    gain : float, optional
        Electrons per image unit. With it, the photon noise of the model after the first search adds to that of the sky.
    sky_pixels : float
        How well the sky's level is known to be zero: as if from so many more pixels that hold nothing else. 0 leaves it free, and then large galaxies
        whose wings fill the stamp have fits of any size.

    Returns
    -------
    SersicFit
        NaN, neither converged nor at a limit, where a start or the noise is not finite, fewer than 16 pixels count, or there is no positive
        flux. A stamp's fit does not depend on the others.
    """
    noise, weights = weighted(images, noise, masked)
    return fit_weighted(images, noise, weights, psf, centre, r_e, ratio, angle, gain, sky_pixels)


def weighted(
    images: torch.Tensor, noise: torch.Tensor, masked: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The noise (n,) of stamps, in a pixel of weight one, and their pixels' weights (n, y, x) float32: zero where a pixel does not count. Arguments as of `fit`."""
    good = ~masked & images.isfinite()
    if noise.ndim == 1:
        return noise, good.float()
    good &= (noise > 0) & noise.isfinite()
    return _relative(noise.double(), good)


def fit_weighted(
    images: torch.Tensor,
    noise: torch.Tensor,
    weights: torch.Tensor,
    psf: torch.Tensor | Sequence[PSF] | None,
    centre: torch.Tensor,
    r_e: torch.Tensor,
    ratio: torch.Tensor,
    angle: torch.Tensor,
    gain: float | None = None,
    sky_pixels: float = 0.0,
    factors: torch.Tensor | None = None,
) -> SersicFit:
    """The same, where the weights of pixels are known.

    Parameters
    ----------
    noise : (n,) float tensor
        Standard deviation of the sky in a pixel of weight one.
    weights : (n, y, x) float32 tensor
    factors : (n,) int64 tensor, optional
        Each pixel is the mean of so many a side of the image that PSF, gain and `sky_pixels` are of; all other numbers are of these pixels.
    """
    height, width = images.shape[1:]
    device = images.device
    blank = torch.full((len(images),), torch.nan, dtype=torch.float64, device=device)
    start = torch.stack([*centre.double().unbind(1), r_e.double(), ratio.double(), angle.double()], dim=1)
    possible = start.isfinite().all(dim=1) & noise.isfinite() & (r_e > 0) & (ratio > 0)
    possible &= (weights > 0).flatten(1).sum(dim=1) >= _FEWEST
    places = possible.nonzero()[:, 0]
    result = {field.name: blank.clone() for field in fields(SersicFit)}
    result["centre"] = torch.stack([blank, blank], dim=1)
    result["converged"], result["at_limit"] = torch.zeros_like(possible), torch.zeros_like(possible)
    if len(places):
        area = torch.ones_like(blank) if factors is None else factors.double() ** 2
        cameras = [_camera(height, width, psf, factors, device, binned) for binned in (True, False)]
        for part in places.split(_BATCH):
            found = _fit(
                [each.rows(part) for each in cameras],
                images[part],
                noise[part].double(),
                weights[part],
                start[part],
                None if gain is None else gain * area[part],
                sky_pixels / area[part],
            )
            for name, values in found.items():
                result[name][part] = values
    return SersicFit(**result)


def _camera(
    height: int,
    width: int,
    psf: torch.Tensor | Sequence[PSF] | None,
    factors: torch.Tensor | None,
    device: torch.device,
    binned: bool,
) -> Camera:
    if psf is None or isinstance(psf, torch.Tensor):
        return camera(height, width, psf, device, binned=binned)
    (farthest,) = {one.reach for one in psf} if factors is None else {PIXEL_REACH}
    each = None if factors is None else factors.tolist()
    images = [one.image for one in psf]
    return camera_of_each(height, width, images, farthest, device, binned=binned, factors=each)


def _relative(noise: torch.Tensor, good: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The median noise (n,) of good pixels, NaN where there are none, and their weights (n, y, x) float32: one at that noise, zero where not good."""
    middle = torch.where(good, noise, torch.nan).flatten(1).nanmedian(dim=1).values
    weights = (middle[:, None, None] / torch.where(good, noise, 1.0)).square()
    return middle, torch.where(good, weights, 0.0).float()


def _fit(
    cameras: list[Camera],
    images: torch.Tensor,
    noise: torch.Tensor,
    weights: torch.Tensor,
    start: torch.Tensor,
    gain: torch.Tensor | None,
    sky_pixels: torch.Tensor,
) -> dict[str, torch.Tensor]:
    """The fields of `SersicFit` for stamps that can be fitted; weights (n, y, x) are one where the noise is that of the stamp."""
    light = torch.where(weights > 0, images, 0.0).double()
    scale = light.abs().amax(dim=(1, 2)).clamp(min=torch.finfo(torch.float32).tiny)
    light = (light / scale[:, None, None]).float()
    limits = Limits.around(start[:, :2], light.shape[1:])
    coarse = Pixels.of(
        cameras[0], functional.avg_pool2d(light, 2), _weights_of_fours(weights), sky_pixels / 4
    )
    shape = _best_start(coarse, start, limits)
    shape, _, _ = search(coarse, shape, limits, rounds=6, steps=2)
    if gain is not None:
        weights = _with_photons(cameras[1], shape, light, weights, noise**2 * gain / scale, sky_pixels)
    pixels = Pixels.of(cameras[1], light, weights, sky_pixels)
    shape, converged, normal = search(pixels, shape, limits, rounds=4, steps=3)
    last = pixels.remainder(shape)
    e = hypot(shape[:, 4], shape[:, 5])
    at_limit = limits.touched(shape) | (shape[:, 2] + e / 2 > limits.high[:, 2])
    found = {
        "n": shape[:, 3].exp(),
        "r_e": (shape[:, 2] + e / 2).exp(),
        "ratio": (-e).exp(),
        "angle": atan2(shape[:, 5], shape[:, 4]) / 2,
        "flux": last.flux * scale,
        "centre": shape[:, :2],
        "sky": last.sky * scale,
        "chi2": torch.where(noise > 0, last.chi2 * (scale / noise) ** 2 / pixels.freedom, torch.nan),
    }
    known = torch.where(noise > 0, noise, torch.nan)
    found |= errors_of(shape, found["flux"], normal, pixels.total, known, converged & ~at_limit)
    lit = (last.flux > 0) & last.chi2.isfinite()
    found = {
        name: torch.where(lit.view(-1, *[1] * (values.ndim - 1)), values, torch.nan)
        for name, values in found.items()
    }
    return found | {"converged": converged & lit & ~at_limit, "at_limit": at_limit & lit}


def _weights_of_fours(weights: torch.Tensor) -> torch.Tensor:
    """Weights (n, y, x) of means of 2 x 2 pixels, over that of the mean of pixels of weight one; zero where one of the four does not count."""
    least, most = -functional.max_pool2d(-weights, 2), functional.max_pool2d(weights, 2)
    harmonic = 1 / functional.avg_pool2d(1 / weights, 2)
    return torch.where((least == most) | (least == 0), least, harmonic)


def _with_photons(
    camera: Camera,
    shape: torch.Tensor,
    light: torch.Tensor,
    weights: torch.Tensor,
    sky: torch.Tensor,
    known: torch.Tensor,
) -> torch.Tensor:
    """Weights (n, y, x) that take photon noise into account where the sky's variance (n,), in electrons of the scaled light, is known."""
    flux = Pixels.of(camera, light, weights, known).remainder(shape).flux.clamp(min=0)
    parts = torch.arange(len(shape), device=shape.device).split(chunk(light[0].numel()))
    photons = torch.cat([camera.rows(part).render(shape[part])[:, 0] for part in parts]).clamp_(min=0)
    photons *= (flux / sky).float()[:, None, None]
    photons = torch.where(weights > 0, photons * weights, photons)  # over the noise of each pixel
    return torch.where((sky > 0)[:, None, None], weights / (1 + photons), weights)


def _best_start(pixels: Pixels, start: torch.Tensor, limits: Limits) -> torch.Tensor:
    """The shape (n, 6) that leaves least of those that are tried, with flux that is not negative if there is one."""
    centre, r_e, ratio, angle = start[:, :2], start[:, 2], start[:, 3].clamp(THINNEST, 1.0), start[:, 4]
    e = -ratio.log()
    tried = []
    for n in _STARTS:
        radius = (_SHRINK * r_e * ratio.sqrt()).log()
        rest = [radius, torch.full_like(radius, math.log(n)), e * (2 * angle).cos(), e * (2 * angle).sin()]
        tried.append(limits.within(torch.cat([centre, torch.stack(rest, dim=1)], dim=1)))
    left = []
    for shape in tried:
        found = pixels.remainder(shape)
        left.append(torch.where(found.flux > 0, found.chi2, torch.inf))
    best = torch.stack(left).argmin(dim=0)
    return torch.stack(tried)[best, torch.arange(len(start), device=start.device)]
