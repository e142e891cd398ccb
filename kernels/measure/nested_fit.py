"""Sérsic fits on nested bins, one stamp at a time: what few hundred numbers say of an object of any size."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.elementary import atan2, hypot
from kernels.measure.least_squares import Limits, Normal
from kernels.measure.nested_bins import SIDE, nested, outer_grids
from kernels.measure.nested_search import CHI2, CONVERGED, FLUX, LEVEL, TOTAL, search
from kernels.measure.profile_points import scales
from kernels.measure.profile_waves import FAR, IMAGES, coefficients, scratch, waves_to
from kernels.measure.psf import PSF
from kernels.measure.sersic import SersicFit
from kernels.measure.sersic_errors import errors_of
from kernels.measure.sersic_transform import NODES, TERMS
from kernels.measure.transfer import PIXEL_REACH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.measure.profile_waves import Waves

__all__ = ["fit_nested"]

_FEWEST = 16  # bins
_SHRINK = 0.8  # of the first radius, which the PSF has widened
_LANES = 16
_LADDER = 0.8  # from one reach of waves to the next


def fit_nested(
    images: torch.Tensor,
    noise: torch.Tensor,
    masked: torch.Tensor,
    weights: torch.Tensor | None,
    psfs: Sequence[PSF | None],
    factor: torch.Tensor,
    half: torch.Tensor,
    centre: torch.Tensor,
    size: torch.Tensor,
    ratio: torch.Tensor,
    angle: torch.Tensor,
    gain: float | None,
    sky_pixels: float,
) -> SersicFit:
    """Fit profiles, see `kernels.measure.sersic.fit`.

    Parameters
    ----------
    images : (n, y, x) float32 tensor
    noise : (n,) float64 tensor
        Of the sky in a pixel of weight one.
    masked : (n, y, x) bool tensor
    weights : (n, y, x) float32 tensor, optional
        Of pixels; one, by default.
    psfs : sequence of n PSFs, or None: pixels alone
    factor : (n,) int64 tensor
        Pixels a side of the bins in the middle.
    half : (n,) float64 tensor
        So far from the centre light is looked at, pixels in x and in y.
    centre, size, ratio, angle
        Start: place and half-light radius of circles, pixels; axis ratio; radians from x to y. Not fitted where one is NaN.
    """
    n, height, width = images.shape
    factors, middle = factor.numpy(), centre.nan_to_num(0.0).numpy()
    frames = np.stack([*(np.floor(middle.T + 0.5)), factors, np.ceil(half.numpy())], axis=1).astype(np.int64)
    frames[:, :2] = frames[:, :2].clip(0, [width - 1, height - 1])
    farthest = np.maximum(frames[:, :2], [width, height] - frames[:, :2]).max(axis=1)
    grids = outer_grids(np.minimum(frames[:, 3], farthest), factors)
    start = torch.cat([centre, size[:, None], ratio[:, None], angle[:, None]], dim=1).double()
    possible = (start.isfinite().all(dim=1) & noise.isfinite() & (size > 0) & (ratio > 0)).numpy()
    begin = _begin(start, frames)
    span = np.minimum(2 * frames[:, 3], max(height, width)) / factors
    limits = Limits.around(torch.from_numpy(begin[:, :2]), (1, 1))
    low, high = limits.low.numpy(), limits.high.numpy()
    low[:, :2], high[:, :2] = begin[:, :2] - span[:, None] / 4, begin[:, :2] + span[:, None] / 4
    high[:, 2] = np.log(span)
    answer, squares = np.full((n, 12), np.nan), np.zeros((n, 7, 7))
    means = np.zeros((n, 7))
    sigma = noise.double().numpy() / factors
    electrons = np.zeros(n) if gain is None else gain * factors.astype(float) ** 2
    for reach, rows in _alike(psfs, factors, possible):
        near, places, far = _responses(psfs, factors, grids, rows, reach)
        grid = waves_to(reach)
        _fits(
            images.numpy(),
            masked.numpy(),
            np.zeros((0, 1, 1), np.float32) if weights is None else weights.numpy(),
            np.array(rows),
            frames,
            size.double().numpy(),
            grids,
            begin,
            np.stack([low, high], axis=1),
            sigma,
            electrons,
            sky_pixels,
            (coefficients(), scales()),
            _arrays(grid),
            near,
            _arrays(waves_to(FAR)),
            far,
            places,
            _room(grid),
            answer,
            squares,
            means,
        )
    return _found(answer, squares, means, frames, sigma, low, high)


def _begin(start: torch.Tensor, frames: NDArray[np.int64]) -> NDArray[np.float64]:
    """First shapes (n, 6), in innermost bins from the grids' middle; of any index."""
    x, y, size, ratio, angle = start.unbind(1)
    factor = torch.from_numpy(frames[:, 2])
    corner = torch.from_numpy(frames[:, :2]) - 0.5
    e = -ratio.clamp(0.05, 1.0).log()
    # the circle's radius is about that of the ellipse as large
    radius = (_SHRINK * size / factor).log()
    shape = [(x - corner[:, 0]) / factor, (y - corner[:, 1]) / factor, radius, torch.zeros_like(e)]
    return torch.stack([*shape, e * (2 * angle).cos(), e * (2 * angle).sin()], dim=1).numpy()


def _alike(
    psfs: Sequence[PSF | None], factors: NDArray[np.int64], possible: NDArray[np.bool_]
) -> list[tuple[float, list[int]]]:
    """Stamps that are seen on the same waves: as far as each one's PSF reaches."""
    together: dict[float, list[int]] = {}
    for place in np.flatnonzero(possible).tolist():
        psf, reach = psfs[place], PIXEL_REACH
        if psf is not None:
            wanted = psf.reach * factors[place]
            while reach * _LADDER >= wanted * (1 - 1e-9):
                reach *= _LADDER
            reach = psf.reach if factors[place] == 1 else reach
        together.setdefault(reach, []).append(place)
    return sorted(together.items())


def _responses(
    psfs: Sequence[PSF | None], factors: NDArray[np.int64], grids: NDArray[np.int64], rows: list[int], reach: float
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """What PSFs leave of waves: in the middle, and around it; and for each stamp which of them are its own (n, 1 + grids)."""
    near: dict[tuple[int, int], int] = {}
    far: dict[tuple[int, int], int] = {}
    found: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [])
    places = np.zeros((len(psfs), 1 + int(grids.max(initial=0))), np.int64)
    for row in rows:
        psf = psfs[row]
        for order in range(int(grids[row]) + 1):
            known, images = (near, found[0]) if order == 0 else (far, found[1])
            key = (id(psf), int(factors[row]) << order)
            if key not in known:
                known[key] = len(images)
                images.append(_response(psf, key[1], FAR if order else reach, order > 0))
            places[row, order] = known[key]
    blank = np.zeros((1, 1, 1), np.float32)
    return np.stack(found[0]), places, np.stack(found[1] or [blank[0][None]])


@functools.lru_cache(maxsize=256)
def _response(psf: PSF | None, factor: int, reach: float, far: bool) -> NDArray[np.float32]:  # noqa: FBT001
    return waves_to(reach).response(None if psf is None else psf.image, factor, far=far)


def _arrays(grid: Waves) -> tuple[Any, ...]:
    return grid.kx, grid.ky, grid.along_x, grid.slope_x, grid.along_y, grid.slope_y


def _room(grid: Waves) -> tuple[Any, ...]:
    """Where a model is made."""
    values, images = np.zeros((5, NODES), np.float32), np.zeros((IMAGES, SIDE, SIDE), np.float32)
    return (np.zeros((2, TERMS)), *scratch(grid, waves_to(FAR)), values, images)


@compiled
def _fits(
    images: Any, masked: Any, weights: Any, rows: Any, frames: Any, size: Any, grids: Any, begin: Any, limits: Any, sigma: Any, electrons: Any,
    sky_pixels: float, tables: Any, grid: Any, near: Any, far: Any, responses: Any, places: Any, room: Any, answer: Any, squares: Any, means: Any,
) -> None:
    """Fill in the answers (n, 12) of some stamps: see `search`, and behind them the light's scale."""
    most = SIDE * SIDE * (1 + grids.max()) + _LANES
    light, weight, place = np.zeros(most, np.float32), np.zeros(most, np.float32), np.zeros((most, 5))
    models, other = np.ones((8, most), np.float32), np.ones((8, most), np.float32)
    around, left, row = np.zeros(most, np.float32), np.zeros(most, np.float32), np.zeros(most, np.float32)
    bins = (models, other, around, left, row, np.zeros(_LANES, np.float32), np.zeros((6, 6)), np.zeros((7, 6)))
    none = np.zeros((0, 0), np.float32)
    for i in rows:
        known = none if weights.shape[0] == 0 else weights[i]
        count = nested(images[i], masked[i], known, frames[i], size[i], grids[i], light, weight, place)
        scale, used = 0.0, 0
        for k in range(count):
            if weight[k] > 0:
                scale = max(scale, abs(light[k]))
                used += 1
        if used < _FEWEST or not scale > 0:
            continue
        for k in range(count):
            light[k] /= scale
        photons = 0.0
        if electrons[i] > 0 and sigma[i] > 0:
            photons = scale / (sigma[i] * sigma[i] * electrons[i])
        sky = sky_pixels / (frames[i, 2] * frames[i, 2])
        search(
            light, weight, place, count, begin[i], limits[i], sky, photons, grids[i], tables, grid, near[places[i, 0]], far, responses, places[i, 1:],
            room, bins, answer[i, :11], squares[i], means[i],
        )
        answer[i, 11] = scale


def _found(
    answer: NDArray[np.float64], squares: NDArray[np.float64], means: NDArray[np.float64], frames: NDArray[np.int64], sigma: NDArray[np.float64],
    low: NDArray[np.float64], high: NDArray[np.float64],
) -> SersicFit:
    """Fits in pixels and image units."""
    values = torch.from_numpy(answer)
    shape, scale = values[:, :6], values[:, 11]
    factor, noise = torch.from_numpy(frames[:, 2]).double(), torch.from_numpy(sigma)
    limits = Limits(torch.from_numpy(low), torch.from_numpy(high))
    flux, sky, chi2 = values[:, FLUX] * scale, values[:, LEVEL] * scale, values[:, CHI2]
    lit = (flux > 0) & chi2.isfinite()
    e = hypot(shape[:, 4], shape[:, 5])
    at_limit = (limits.touched(shape) | (shape[:, 2] + e / 2 > limits.high[:, 2])) & lit
    converged = (values[:, CONVERGED] > 0) & lit & ~at_limit
    known = torch.where(noise > 0, noise, torch.nan)
    normal = Normal(torch.from_numpy(squares), torch.from_numpy(means))
    errors = errors_of(shape, flux, normal, values[:, TOTAL], known, converged)
    found = {
        "n": shape[:, 3].exp(),
        "r_e": (shape[:, 2] + e / 2).exp() * factor,
        "ratio": (-e).exp(),
        "angle": atan2(shape[:, 5], shape[:, 4]) / 2,
        "flux": flux * factor**2,
        "centre": shape[:, :2] * factor[:, None] + torch.from_numpy(frames[:, :2]) - 0.5,
        "sky": sky,
        "chi2": torch.where(noise > 0, chi2 * (scale / noise) ** 2, torch.nan),
        **errors,
    }
    found["r_e_error"] = found["r_e_error"] * factor
    found["flux_error"] = found["flux_error"] * factor**2
    found = {
        name: torch.where(lit.view(-1, *[1] * (values.ndim - 1)), values, torch.nan) for name, values in found.items()
    }
    return SersicFit(**found, converged=converged, at_limit=at_limit)
