"""Sérsic fits on nested bins, one stamp at a time: what few hundred numbers say of an object of any size."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.elementary import atan2, hypot
from kernels.measure.least_squares import Limits, Normal
from kernels.measure.nested_bins import SIDE, nested, outer_grids
from kernels.measure.nested_scatter import scatter_room, scatter_within
from kernels.measure.nested_search import CHI2, CONVERGED, FLUX, FREEDOM, LANES, LEVEL, TOTAL, search
from kernels.measure.profile_points import scales
from kernels.measure.profile_waves import FAR, coefficients, scratch, waves_to
from kernels.measure.sersic import SersicFit
from kernels.measure.sersic_errors import errors_of
from kernels.measure.sersic_transform import LARGEST_N, SMALLEST_N, TERMS
from kernels.measure.transfer import PIXEL_REACH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.measure.profile_waves import Waves
    from kernels.measure.psf import PSF

__all__ = ["fit_nested"]

_SMALLEST = 0.1  # radius in innermost bins
_SHRINK = 0.8  # of the first radius, which the PSF has widened
_BATCH = 64  # stamps at a time
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
    edges = np.log([[_SMALLEST, 1.0], [SMALLEST_N, LARGEST_N]]).T[:, None].repeat(n, axis=1)
    edges[1, :, 0] = np.log(span)
    away = span[:, None] / 4
    low, high = (
        np.concatenate([begin[:, :2] + sign * away, edge], axis=1)
        for sign, edge in zip((-1, 1), edges, strict=True)
    )
    answer, squares, means = np.full((n, 13), np.nan), np.zeros((n, 7, 7)), np.zeros((n, 7))
    within, pixel_noise = np.zeros((n, 2)), noise.double().numpy()
    sigma = pixel_noise / factors
    gains = np.full(n, gain or 0.0)
    electrons = gains * factors.astype(float) ** 2
    known = np.ones((1, 1, 1), np.float32) if weights is None else weights.numpy()
    for reach, alike in _alike(psfs, factors, possible):
        waves = (waves_to(reach), waves_to(FAR))
        for first in range(0, len(alike), _BATCH):
            rows = np.array(alike[first : first + _BATCH])
            bins: Any = _bins(len(rows), int(grids[rows].max()))
            nested(images.numpy(), masked.numpy(), known, rows, frames, size.double().numpy(), grids, *bins)
            scale = bins[-1][:, 1]
            with np.errstate(divide="ignore", invalid="ignore"):
                photons = scale / (sigma[rows] ** 2 * electrons[rows])
            photons = np.where(np.isfinite(photons), photons, 0.0)
            found, normal, mean = (
                np.full((len(rows), 12), np.nan),
                np.zeros((len(rows), 7, 7)),
                np.zeros((len(rows), 7)),
            )
            near, far, places = _responses(psfs, factors, grids, rows, reach)
            light, weight, place, where, counts = bins
            search(
                light,
                weight,
                place,
                where,
                counts,
                begin[rows],
                np.stack([low[rows], high[rows]], axis=1),
                sky_pixels / factors[rows] ** 2.0,
                photons,
                grids[rows],
                (coefficients(), scales()),
                tuple(one.arrays for one in waves),
                (near, far),
                places,
                _room(bins[0].shape[1], *waves),
                found,
                normal,
                mean,
            )
            answer[rows, :12], squares[rows], means[rows] = found, normal, mean
            answer[rows, 12] = scale
            left = np.zeros((len(rows), 2))
            scatter_within(
                images.numpy(),
                masked.numpy(),
                known,
                rows,
                frames,
                where,
                counts,
                pixel_noise,
                gains,
                found,
                scales(),
                scatter_room(),
                left,
            )
            within[rows] = left
    return _found(answer, squares, means, within, frames, sigma, low, high)


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
    psfs: Sequence[PSF | None],
    factors: NDArray[np.int64],
    grids: NDArray[np.int64],
    rows: NDArray[np.int64],
    reach: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """What PSFs leave of waves in the middle, and around it; and which of them are each stamp's (n, 1 + grids)."""
    near: dict[tuple[int, int], int] = {}
    far: dict[tuple[int, int], int] = {}
    found: tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]] = ([], [_response(None, 1, FAR, True)])
    places = np.zeros((len(rows), 1 + int(grids[rows].max())), np.int64)
    for place, row in enumerate(rows.tolist()):
        psf = psfs[row]
        for order in range(int(grids[row]) + 1):
            known, images = (far, found[1]) if order else (near, found[0])
            key = (id(psf), int(factors[row]) << order)
            if key not in known:
                known[key] = len(images)
                images.append(_response(psf, key[1], FAR if order else reach, order > 0))
            places[place, order] = known[key]
    return np.stack(found[0]), np.stack(found[1]), places


@functools.lru_cache(maxsize=256)
def _response(psf: PSF | None, factor: int, reach: float, far: bool) -> NDArray[np.float32]:
    return waves_to(reach).response(None if psf is None else psf.image, factor, far=far)


def _bins(count: int, grids: int) -> tuple[NDArray[Any], ...]:
    """What `nested` fills in for so many stamps."""
    most = -(-SIDE * SIDE * (1 + grids) // LANES) * LANES
    light, weight = np.zeros((2, count, most), np.float32)
    place, where = np.zeros((count, 2, most), np.float32), np.zeros((count, most, 2), np.int64)
    return light, weight, place, where, np.zeros((count, 2))


def _room(most: int, *waves: Waves) -> tuple[Any, ...]:
    """Where models of so many bins are made."""
    work = np.zeros((4, most), np.float32)
    points = work, work.view(np.int32), np.zeros(most, np.int32)
    images = np.zeros((1, SIDE * SIDE), np.float32)
    return np.zeros((2, TERMS)), images, *(scratch(one) for one in waves), points


def _found(
    answer: NDArray[np.float64],
    squares: NDArray[np.float64],
    means: NDArray[np.float64],
    within: NDArray[np.float64],
    frames: NDArray[np.int64],
    sigma: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> SersicFit:
    """Fits in pixels and image units."""
    values = torch.from_numpy(answer)
    shape, scale = values[:, :6], values[:, 12]
    factor, noise = torch.from_numpy(frames[:, 2]).double(), torch.from_numpy(sigma)
    limits = Limits(torch.from_numpy(low), torch.from_numpy(high))
    flux, sky = values[:, FLUX] * scale, values[:, LEVEL] * scale
    pixels = torch.from_numpy(within)
    chi2 = (values[:, CHI2] * (scale / noise) ** 2 + pixels[:, 0]) / (values[:, FREEDOM] + pixels[:, 1])
    lit = (flux > 0) & values[:, CHI2].isfinite()
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
        "chi2": torch.where(noise > 0, chi2, torch.nan),
        **errors,
    }
    found["r_e_error"] = found["r_e_error"] * factor
    found["flux_error"] = found["flux_error"] * factor**2
    found = {
        name: torch.where(lit.view(-1, *[1] * (values.ndim - 1)), values, torch.nan)
        for name, values in found.items()
    }
    return SersicFit(**found, converged=converged, at_limit=at_limit)
