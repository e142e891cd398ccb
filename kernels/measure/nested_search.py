"""Least squares for one Sérsic profile at a time, on nested bins: compiled, each stamp for itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kernels.compiled import compiled
from kernels.measure.nested_bins import SIDE
from kernels.measure.profile_points import at_points
from kernels.measure.profile_waves import by_waves, polynomials

__all__ = ["CHI2", "CONVERGED", "FLUX", "LEVEL", "SHAPE", "TOTAL", "search"]

SHAPE, FLUX, LEVEL, CHI2, TOTAL, CONVERGED = 0, 6, 7, 8, 9, 10
"""Places in an answer: the six of the shape, flux, sky, reduced chi-squared, weight of all pixels, and whether the search came to rest."""
THIN = -math.log(0.05)
_INNER = SIDE * SIDE
_STARTS = np.log(np.array([0.7, 1.5, 3.0, 5.0]))  # n
_LANES = 16
_FREE = 8  # parameters
_LONGEST = np.array([2.0, 2.0, 0.7, 0.5, 0.7, 0.7])  # steps
_STILL, _LEVEL = 5e-4, 1e-3  # a step, and a gain in chi2 over the reduced chi2, that end the search
_ROUGH = 30.0  # times as much ends its first part
_LOOKS, _STEPS = 5, 8
_MOVED = 0.02  # since the means around were seen through the PSF: farther, and they are seen anew


@compiled
def _render(
    shape: Any, slopes: bool, count: int, place: Any, around: Any, tables: Any, grid: Any, response: Any, room: Any, models: Any
) -> None:
    """Fill in models (7, bins): in the middle by waves, around it at the points, plus what pixels and PSF add there (bins,)."""
    table, scale = tables
    chebyshev, filtered, summed, values, images = room
    polynomials(shape[3], chebyshev)
    by_waves(
        shape, 0, chebyshev, table, grid[0], grid[1], response, grid[2], grid[3], grid[4], grid[5], slopes, filtered, summed, values, images
    )
    for image in range(7 if slopes else 1):
        models[image, :_INNER] = images[image].reshape(_INNER)
    at_points(shape, chebyshev, scale, place, _INNER, count, slopes, models)
    for k in range(_INNER, count):
        models[0, k] += around[k]


@compiled
def _see(
    shape: Any, grids: int, count: int, place: Any, tables: Any, far: Any, responses: Any, rows: Any, room: Any, around: Any, models: Any
) -> None:
    """Fill in what pixels and PSF add to a profile around the middle, and the profile with it."""
    table, scale = tables
    chebyshev, filtered, summed, values, images = room
    polynomials(shape[3], chebyshev)
    at_points(shape, chebyshev, scale, place, _INNER, count, False, models)
    seen = images[0].reshape(_INNER)
    first = _INNER
    for grid in range(1, grids + 1):
        by_waves(
            shape, grid, chebyshev, table, far[0], far[1], responses[rows[grid - 1]], far[2], far[3], far[4], far[5], False, filtered, summed, values, images
        )
        while first < count and place[first, 3] == grid:
            light = seen[int(place[first, 4])]
            around[first] = light - models[0, first]
            models[0, first] = light
            first += 1


@compiled
def _compare(model: Any, light: Any, weight: Any, count: int, total: float, level: float, known: float, left: Any) -> tuple[float, float, float]:
    """Flux, sky and chi-squared of a model (bins,) of unit flux; fills in what is left (bins,), times its weight."""
    first, second, across = 0.0, 0.0, 0.0
    for k in range(count):
        part = np.float64(weight[k]) * model[k]
        first += part
        second += part * model[k]
        across += part * (light[k] - level)
    mean = first / total
    flux = across / max(second - mean * first, 1e-30)
    chi2 = 0.0
    for k in range(count):
        off = light[k] - level - flux * (model[k] - mean)
        left[k] = off * weight[k]
        chi2 += left[k] * off
    sky = level - flux * mean
    return flux, sky, chi2 + known * sky * sky


@compiled
def _dot(one: Any, other: Any, lanes: Any) -> float:
    """Sum of products of numbers (k, lanes), each lane for itself, so that no compiler chooses the order."""
    lanes[:] = 0
    for k in range(len(one)):
        a, b = one[k], other[k]
        for lane in range(lanes.size):
            lanes[lane] += a[lane] * b[lane]
    total = 0.0
    for lane in range(lanes.size):
        total += lanes[lane]
    return total


@compiled
def _normal(models: Any, weight: Any, left: Any, total: float, row: Any, lanes: Any, squares: Any, means: Any, pull: Any) -> None:
    """Fill in the normal equations, see `kernels.measure.least_squares.Normal`, and the pull (6,) of what is left for a flux of one."""
    size, bins = weight.size, weight.size // _LANES
    flat, ones = row.reshape(bins, _LANES), models[7][:size].reshape(bins, _LANES)
    for one in range(7):
        model = models[one][:size]
        for k in range(weight.size):
            row[k] = model[k] * weight[k]
        means[one] = _dot(flat, ones, lanes) / total
        for other in range(one + 1):
            squares[one, other] = _dot(flat, models[other][:size].reshape(bins, _LANES), lanes)
        if one > 0:
            pull[one - 1] = _dot(left.reshape(bins, _LANES), model.reshape(bins, _LANES), lanes)
    for one in range(7):
        for other in range(one + 1):
            squares[one, other] -= means[one] * means[other] * total
            squares[other, one] = squares[one, other]


@compiled
def _step(squares: Any, flux: float, slope: Any, damping: float, matrix: Any, move: Any) -> None:
    """Fill in the step (6,) of Levenberg and Marquardt, zero where the slope is."""
    light, largest = max(squares[0, 0], 1e-30), 1e-30
    for row in range(6):
        for column in range(6):
            both = slope[row] != 0 and slope[column] != 0
            curvature = squares[row + 1, column + 1] - squares[row + 1, 0] * squares[column + 1, 0] / light
            matrix[row, column] = curvature * flux * flux if both else 0.0
        largest = max(largest, matrix[row, row])
    for row in range(6):
        size = max(matrix[row, row], 0.0) + 1e-7 * largest
        matrix[row, row] += damping * size if slope[row] != 0 else size
        move[row] = slope[row]
    # by Cholesky's factors
    for row in range(6):
        for column in range(row + 1):
            left = matrix[row, column]
            for k in range(column):
                left -= matrix[row, k] * matrix[column, k]
            matrix[row, column] = left / matrix[column, column] if row > column else np.sqrt(max(left, 1e-30))
    for row in range(6):
        for k in range(row):
            move[row] -= matrix[row, k] * move[k]
        move[row] /= matrix[row, row]
    for row in range(5, -1, -1):
        for k in range(row + 1, 6):
            move[row] -= matrix[k, row] * move[k]
        move[row] /= matrix[row, row]
    longest = 1.0
    for row in range(6):
        longest = max(longest, abs(move[row]) / _LONGEST[row])
    for row in range(6):  # made shorter, not turned: a step clipped in one direction may lead uphill
        move[row] = move[row] / longest if np.isfinite(move[row]) else 0.0


@compiled
def _within(shape: Any, limits: Any) -> None:
    """Move a shape to the nearest one within the limits (2, 4)."""
    for k in range(4):
        shape[k] = min(max(shape[k], limits[0, k]), limits[1, k])
    e = np.sqrt(shape[4] * shape[4] + shape[5] * shape[5])
    if e > THIN:
        shape[4] *= THIN / e
        shape[5] *= THIN / e


@compiled
def search(
    light: Any, weight: Any, place: Any, count: int, start: Any, limits: Any, known: float, photons: float, grids: int,
    tables: Any, grid: Any, response: Any, far: Any, responses: Any, rows: Any, room: Any, bins: Any, answer: Any, squares: Any, means: Any,
) -> None:
    """Fit one profile: fill in the answer (11,) and the normal equations where it ended.

    As `kernels.measure.sersic.fit` does it, but for where its slopes are from: what pixels and PSF make of a profile is summed up from waves in the middle at every
    step, and around it, where they change little, added to the profile at the bins' middles as it was for a shape close by.

    Parameters
    ----------
    light, weight : (bins,) float32 arrays
        Of whole lanes; what is behind the last bin has no weight.
    place : (bins, 5) float64 array
        See `kernels.measure.nested_bins.nested`.
    count : int
        Bins.
    start : (6,) float64 array
        Shape, see `kernels.measure.profiles.Camera.render`; that of the index is looked for.
    limits : (2, 4) float64 array
        Least and most of its first four.
    known : float
        See `kernels.measure.sersic.fit`, in innermost bins.
    photons : float
        Variance of the light's photons over that of the sky, per unit of light in an innermost bin of weight one; 0 for none.
    """
    models, other, around, left, row, lanes, matrix, vectors = bins
    shape, tried, best_shape, seen_at = vectors[0], vectors[1], vectors[2], vectors[3]
    slope, pull, move = vectors[4], vectors[5], vectors[6]
    around[:] = 0
    padded = -(-count // _LANES) * _LANES
    for k in range(count, padded):
        light[k], weight[k], left[k] = 0, 0, 0
        models[:, k], other[:, k] = 0, 0
    used, total, level, freedom = weight[:padded], known, 0.0, -_FREE
    for k in range(count):
        total += weight[k]
        level += weight[k] * light[k]
        freedom += weight[k] > 0
    total, freedom = max(total, 1e-30), max(freedom, 1)
    level /= total
    # which index leaves least
    least = np.inf
    best_shape[:6] = start
    for n in _STARTS:
        tried[:6] = start
        tried[3] = n
        _within(tried, limits)
        _render(tried, False, count, place, around, tables, grid, response, room, models)
        flux, sky, chi2 = _compare(models[0], light, weight, count, total, level, known, left)
        if flux > 0 and chi2 < least:
            least, best_shape[:6] = chi2, tried[:6]
    shape[:6] = best_shape[:6]
    _within(shape, limits)
    _render(shape, True, count, place, around, tables, grid, response, room, models)
    damping, converged = 1e-2, False
    for look in range(_LOOKS):
        if grids > 0:
            _see(shape, grids, count, place, tables, far, responses, rows, room, around, models)
        seen_at[:6] = shape[:6]
        if look == 1 and photons > 0:
            flux, sky, chi2 = _compare(models[0], light, weight, count, total, level, known, left)
            total, level = known, 0.0
            for k in range(count):
                more = max(models[0, k] * flux, 0.0) * photons * weight[k] / place[k, 2]
                weight[k] = weight[k] / (1 + more)
                total += weight[k]
                level += weight[k] * light[k]
            total = max(total, 1e-30)
            level /= total
        rough = _ROUGH if look == 0 else 1.0
        flux, sky, chi2 = _compare(models[0], light, weight, count, total, level, known, left)
        rests = False
        for _ in range(_STEPS):
            _normal(models, used, left[:padded], total, row[:padded], lanes, squares, means, pull)
            for k in range(6):
                slope[k] = pull[k] * flux
                if k < 4 and ((shape[k] <= limits[0, k] and slope[k] < 0) or (shape[k] >= limits[1, k] and slope[k] > 0)):
                    slope[k] = 0
            _step(squares, flux, slope, damping, matrix, move)
            tried[:6] = shape[:6] + move[:6]
            _within(tried, limits)
            small, gain = True, 0.0
            for k in range(6):
                small = small and abs(tried[k] - shape[k]) < _STILL * rough
                gain += slope[k] * move[k]
            rests = (small or gain < _LEVEL * rough * chi2 / freedom) and damping <= 1
            _render(tried, not rests, count, place, around, tables, grid, response, room, other)
            to_flux, to_sky, to_chi2 = _compare(other[0], light, weight, count, total, level, known, row)
            better = to_chi2 < chi2 and to_flux > 0
            if better:
                shape[:6] = tried[:6]
                flux, sky, chi2 = to_flux, to_sky, to_chi2
                if rests:
                    models[0, :padded] = other[0, :padded]
                else:
                    models, other = other, models
                left[:count] = row[:count]
            damping = min(max(damping / 10 if better else damping * 10, 1e-7), 1e7)
            if rests:
                break
        moved = 0.0
        for k in range(6):
            moved = max(moved, abs(shape[k] - seen_at[k]))
        if look > 0 and rests and (moved < _MOVED or grids == 0):
            converged = True
            break
    answer[:6] = shape[:6]
    answer[FLUX], answer[LEVEL], answer[CHI2], answer[TOTAL] = flux, sky, chi2 / freedom, total
    answer[CONVERGED] = converged
