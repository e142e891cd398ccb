"""Sérsic fits: one profile, seen through the PSF, and a level of sky to each stamp, many stamps at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch.nn import functional

from kernels.measure.profiles import LARGEST_N, SMALLEST_N, Camera

__all__ = ["SersicFit", "fit"]

_CHUNK = 16  # stamps at a time: what a processor's cache holds
_STARTS = [
    (n, size) for n in (0.7, 1.5, 3.0, 5.0) for size in (0.6, 1.0)
]  # n, and what the first radius is taken times
_SMALLEST, _THINNEST = 0.1, 0.05  # radius in pixels, axis ratio
_FEWEST = 16  # pixels
_FREE = 8  # parameters
_LONGEST = (2.0, 2.0, 0.7, 0.5, 0.7, 0.7)  # steps
_STILL, _LEVEL = 5e-4, 1e-3  # a step, and a gain in chi2 over the reduced chi2, that end the search


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


def fit(
    images: torch.Tensor,
    noise: torch.Tensor,
    masked: torch.Tensor,
    psf: torch.Tensor | None,
    centre: torch.Tensor,
    r_e: torch.Tensor,
    ratio: torch.Tensor,
    angle: torch.Tensor,
    gain: float | None = None,
) -> SersicFit:
    """Fit Sérsic profiles (Sérsic 1963, BAAA 6, 41; 1968; Graham & Driver 2005, PASA 22, 118) as GALFIT does (Peng et al. 2002, AJ 124, 266).

    Chi-squared is made smallest by the Levenberg-Marquardt method over centre, radius, index and ellipticity; flux and sky are linear and solved for at
    each step (variable projection, Golub & Pereyra 1973, SIAM J. Numer. Anal. 10, 413). Eight first guesses are compared on pixels binned
    2 x 2, the best is followed there, and then on the pixels themselves.

    Parameters
    ----------
    images : (n, y, x) float tensor
    noise : (n,) float tensor
        Standard deviation of the sky in a pixel, image units. Where it is zero all pixels count evenly.
    masked : (n, y, x) bool tensor
        Pixels that do not count: bad ones and neighbours.
    psf : (py, px) float tensor or None
        See `kernels.measure.profiles.Camera`.
    centre : (n, 2) float tensor
        Start: x, y in pixels.
    r_e, ratio, angle : (n,) float tensor
        Start: half-light radius along the major axis, pixels; axis ratio b / a; radians from x to y.
    gain : float, optional
        Electrons per image unit. With it, the photon noise of the model after the first search adds to that of the sky.

    Returns
    -------
    SersicFit
        NaN, neither converged nor at a limit, where a start or the noise is not finite, fewer than 16 pixels count, or there is no positive
        flux. A stamp's fit does not depend on the others.
    """
    height, width = images.shape[1:]
    device = images.device
    blank = torch.full((len(images),), torch.nan, dtype=torch.float64, device=device)
    start = torch.stack([*centre.double().unbind(1), r_e.double(), ratio.double(), angle.double()], dim=1)
    good = ~masked & images.isfinite()
    possible = start.isfinite().all(dim=1) & noise.isfinite() & (r_e > 0) & (ratio > 0)
    possible &= good.flatten(1).sum(dim=1) >= _FEWEST
    places = possible.nonzero()[:, 0]
    result = {field.name: blank.clone() for field in fields(SersicFit)}
    result["centre"] = torch.stack([blank, blank], dim=1)
    result["converged"], result["at_limit"] = torch.zeros_like(possible), torch.zeros_like(possible)
    if len(places):
        cameras = [Camera(height, width, psf, device, binned=binned) for binned in (True, False)]
        found = _fit(cameras, images[places], noise[places].double(), good[places], start[places], gain)
        for name, values in found.items():
            result[name][places] = values
    return SersicFit(**result)


def _fit(
    cameras: list[Camera],
    images: torch.Tensor,
    noise: torch.Tensor,
    good: torch.Tensor,
    start: torch.Tensor,
    gain: float | None,
) -> dict[str, torch.Tensor]:
    """The fields of `SersicFit` for a few stamps that can be fitted."""
    light = torch.where(good, images, 0.0).double()
    scale = light.abs().amax(dim=(1, 2)).clamp(min=torch.finfo(torch.float32).tiny)
    light = (light / scale[:, None, None]).float()
    limits = _Limits.around(start[:, :2], light.shape[1:])
    coarse = _Data.of(cameras[0], functional.avg_pool2d(light, 2), -functional.max_pool2d(-good.float(), 2))
    shape = _best_start(coarse, start, limits)
    shape, _ = _search(coarse, shape, limits, rounds=6, steps=2)
    weights = good.float()
    if gain is not None:
        weights = _with_photons(cameras[1], shape, light, weights, noise**2 * gain / scale)
    data = _Data.of(cameras[1], light, weights)
    shape, converged = _search(data, shape, limits, rounds=4, steps=3)
    last = _in_chunks(data, shape)
    e = torch.hypot(shape[:, 4], shape[:, 5])
    at_limit = limits.touched(shape) | (shape[:, 2] + e / 2 > limits.high[:, 2])
    found = {
        "n": shape[:, 3].exp(),
        "r_e": (shape[:, 2] + e / 2).exp(),
        "ratio": (-e).exp(),
        "angle": torch.atan2(shape[:, 5], shape[:, 4]) / 2,
        "flux": last.flux * scale,
        "centre": shape[:, :2],
        "sky": last.sky * scale,
        "chi2": torch.where(noise > 0, last.chi2 * (scale / noise) ** 2 / data.freedom, torch.nan),
    }
    lit = (last.flux > 0) & last.chi2.isfinite()
    found = {
        name: torch.where(lit.view(-1, *[1] * (values.ndim - 1)), values, torch.nan)
        for name, values in found.items()
    }
    return found | {"converged": converged & lit & ~at_limit, "at_limit": at_limit & lit}


def _with_photons(
    camera: Camera, shape: torch.Tensor, light: torch.Tensor, weights: torch.Tensor, sky: torch.Tensor
) -> torch.Tensor:
    """Weights (n, y, x) that take photon noise into account where the sky's variance (n,), in electrons of the scaled light, is known."""
    changed = weights.clone()
    for part in torch.arange(len(shape), device=shape.device).split(_CHUNK):
        model = camera.render(shape[part])[:, 0]
        flux = _Data.of(camera, light[part], weights[part]).compare(model.flatten(1)).flux
        photons = (flux / sky[part]).float()[:, None, None] * model.clamp(min=0)
        changed[part] = torch.where(sky[part, None, None] > 0, weights[part] / (1 + photons), weights[part])
    return changed


@dataclass
class _Limits:
    """Edges of what is looked at, (n, 4) for centre, ln R and ln n; the ellipticity has one for all."""

    low: torch.Tensor
    high: torch.Tensor
    thin: float = -math.log(_THINNEST)

    @classmethod
    def around(cls, centre: torch.Tensor, sides: torch.Size) -> _Limits:
        away = torch.full_like(centre, max(sides) / 4)
        edges = [(math.log(_SMALLEST), math.log(max(sides))), (math.log(SMALLEST_N), math.log(LARGEST_N))]
        rest = [
            torch.tensor(edge, dtype=torch.float64, device=centre.device).expand(len(centre), 2)
            for edge in zip(*edges, strict=True)
        ]
        return cls(torch.cat([centre - away, rest[0]], dim=1), torch.cat([centre + away, rest[1]], dim=1))

    def rows(self, kept: torch.Tensor) -> _Limits:
        return _Limits(self.low[kept], self.high[kept])

    def within(self, shape: torch.Tensor) -> torch.Tensor:
        """The nearest shapes within the limits."""
        e = torch.hypot(shape[:, 4], shape[:, 5])[:, None]
        return torch.cat(
            [shape[:, :4].clamp(self.low, self.high), shape[:, 4:] * (self.thin / e.clamp(min=self.thin))],
            dim=1,
        )

    def blocked(self, shape: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
        """(n, 6) bool: what rests at a limit and would go on if it could."""
        side, pull = shape[:, :4], slope[:, :4]
        return functional.pad(((side <= self.low) & (pull < 0)) | ((side >= self.high) & (pull > 0)), (0, 2))

    def touched(self, shape: torch.Tensor) -> torch.Tensor:
        """(n,) bool."""
        side = shape[:, :4]
        thin = torch.hypot(shape[:, 4], shape[:, 5]) >= self.thin * (1 - 1e-9)
        return ((side <= self.low) | (side >= self.high)).any(dim=1) | thin


@dataclass
class _Data:
    """Pixels (n, p) in one row each, less their weighted mean, and their weights."""

    camera: Camera
    light: torch.Tensor
    weights: torch.Tensor
    total: torch.Tensor
    level: torch.Tensor
    freedom: torch.Tensor

    @classmethod
    def of(cls, camera: Camera, light: torch.Tensor, weights: torch.Tensor) -> _Data:
        light, weights = light.flatten(1), weights.flatten(1)
        total = weights.sum(dim=1).double().clamp(min=1e-30)
        level = (weights * light).sum(dim=1).double() / total
        freedom = ((weights > 0).sum(dim=1) - _FREE).clamp(min=1)
        return cls(camera, light - level[:, None].float(), weights, total, level, freedom)

    def rows(self, kept: torch.Tensor) -> _Data:
        return _Data(self.camera, *(getattr(self, field.name)[kept] for field in fields(self)[1:]))

    def compare(self, model: torch.Tensor) -> _Fit:
        """Solve for flux and sky with models of unit flux (n, p)."""
        weighted = model * self.weights
        mean = weighted.sum(dim=1).double() / self.total
        away = model - mean[:, None].float()
        flux = (weighted * self.light).sum(dim=1).double() / (weighted * away).sum(dim=1).double().clamp(
            min=1e-30
        )
        left = torch.addcmul(self.light, flux[:, None].float(), away, value=-1)
        weighted = left * self.weights
        return _Fit(flux, self.level - flux * mean, weighted, (weighted * left).sum(dim=1).double())


@dataclass
class _Fit:
    """What linear parameters leave."""

    flux: torch.Tensor
    sky: torch.Tensor
    left: torch.Tensor
    """(n, p): residuals times weights."""
    chi2: torch.Tensor

    def or_else(self, other: _Fit, taken: torch.Tensor) -> _Fit:
        """The other's rows where they are taken (n,) bool."""
        left = torch.where(taken[:, None], other.left, self.left)
        flux, sky, chi2 = (
            torch.where(taken, getattr(other, name), getattr(self, name)) for name in ("flux", "sky", "chi2")
        )
        return _Fit(flux, sky, left, chi2)


def _best_start(data: _Data, start: torch.Tensor, limits: _Limits) -> torch.Tensor:
    """The shape (n, 6) that leaves least of those that are tried, with flux that is not negative if there is one."""
    centre, r_e, ratio, angle = start[:, :2], start[:, 2], start[:, 3].clamp(_THINNEST, 1.0), start[:, 4]
    e = -ratio.log()
    tried = []
    for n, size in _STARTS:
        radius = (size * r_e * ratio.sqrt()).log()
        rest = [radius, torch.full_like(radius, math.log(n)), e * (2 * angle).cos(), e * (2 * angle).sin()]
        tried.append(limits.within(torch.cat([centre, torch.stack(rest, dim=1)], dim=1)))
    left = []
    for shape in tried:
        found = _in_chunks(data, shape)
        left.append(torch.where(found.flux > 0, found.chi2, torch.inf))
    best = torch.stack(left).argmin(dim=0)
    return torch.stack(tried)[best, torch.arange(len(start), device=start.device)]


def _search(
    data: _Data, shape: torch.Tensor, limits: _Limits, rounds: int, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Shapes (n, 6) that leave least, and whether each came to rest (n,) bool.

    Slopes are made once a round and serve all of its steps: they cost as much as seven models, and change little near the end.
    """
    shape, rests = shape.clone(), torch.zeros(len(shape), dtype=torch.bool, device=shape.device)
    damping = torch.full_like(shape[:, 0], 1e-2)
    for _ in range(rounds):
        moving = (~rests).nonzero()[:, 0]
        if not len(moving):
            break
        for part in moving.split(_CHUNK):
            found = _round(data.rows(part), limits.rows(part), shape[part], damping[part], steps)
            shape[part], damping[part], rests[part] = found
    return shape, rests


def _round(
    data: _Data, limits: _Limits, shape: torch.Tensor, damping: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A few steps of Levenberg and Marquardt with the same slopes: shape, damping, and whether it came to rest."""
    images = data.camera.render(shape, slopes=True).flatten(2)
    curvature = _curvature(images, data.weights)
    best = data.compare(images[:, 0])
    rests = torch.zeros(len(shape), dtype=torch.bool, device=shape.device)
    longest = torch.tensor(_LONGEST, dtype=torch.float64, device=shape.device)
    for _ in range(steps):
        slope = (images[:, 1:] * best.left[:, None]).sum(dim=2).double() * best.flux[:, None]
        slope = torch.where(limits.blocked(shape, slope), 0.0, slope)
        blocked = slope == 0
        move = _step(curvature * best.flux[:, None, None] ** 2, slope, damping, blocked)
        # made shorter, not turned: a step clipped in one direction may lead uphill
        move = move / (move.abs() / longest).amax(dim=1, keepdim=True).clamp(min=1.0)
        tried = limits.within(shape + move)
        small = ((tried - shape).abs() < _STILL).all(dim=1)
        level = (slope * move).sum(dim=1) < _LEVEL * best.chi2 / data.freedom
        found = data.compare(data.camera.render(tried)[:, 0].flatten(1))
        better = (found.chi2 < best.chi2) & (found.flux > 0) & ~rests
        shape = torch.where(better[:, None], tried, shape)
        best = best.or_else(found, better)
        rests |= (small | level) & (damping <= 1)
        damping = torch.where(better, damping / 10, damping * 10).clamp(1e-7, 1e7)
        if rests.all():
            break
    return shape, damping, rests


def _curvature(images: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Curvature (n, 6, 6) of half chi-squared for unit flux, when flux and sky follow; of images (n, 7, p) of a model and its slopes."""
    weighted = images * weights[:, None]
    products = torch.bmm(weighted, images.mT).double()
    sums = weighted.sum(dim=2).double()
    products = products - sums[:, :, None] * sums[:, None, :] / weights.sum(dim=1).double()[:, None, None]
    light, across = products[:, :1, :1], products[:, 1:, :1]
    return products[:, 1:, 1:] - across * across.mT / light.clamp(min=1e-30)


def _step(
    curvature: torch.Tensor, slope: torch.Tensor, damping: torch.Tensor, blocked: torch.Tensor
) -> torch.Tensor:
    """The step (n, 6) of Levenberg and Marquardt, zero where blocked."""
    free = (~blocked).double()
    matrix = curvature * free[:, :, None] * free[:, None, :]
    size = matrix.diagonal(dim1=1, dim2=2)
    size = size.clamp(min=0) + 1e-7 * size.amax(dim=1, keepdim=True).clamp(min=1e-30)
    matrix = matrix + torch.diag_embed(damping[:, None] * size + (1 - free) * size)
    move, _ = torch.linalg.solve_ex(matrix, slope[:, :, None])
    return (move[:, :, 0] * free).nan_to_num(0.0, 0.0, 0.0)


def _in_chunks(data: _Data, shape: torch.Tensor) -> _Fit:
    """Compare shapes (n, 6) with the pixels."""
    every = torch.arange(len(shape), device=shape.device).split(_CHUNK)
    found = [data.rows(part).compare(data.camera.render(shape[part])[:, 0].flatten(1)) for part in every]
    return _Fit(*(torch.cat([getattr(one, field.name) for one in found]) for field in fields(_Fit)))
