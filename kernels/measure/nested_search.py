"""Least squares for one Sérsic profile at a time, on nested bins: compiled, each stamp for itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kernels.compiled import compiled
from kernels.measure.profile_points import at_points
from kernels.measure.profile_waves import by_waves, polynomials

__all__ = ["CHI2", "CONVERGED", "FLUX", "FREEDOM", "LANES", "LEVEL", "SHAPE", "TOTAL", "search"]

SHAPE, FLUX, LEVEL, CHI2, FREEDOM, TOTAL, CONVERGED = 0, 6, 7, 8, 9, 10, 11
"""Places in an answer: the six of the shape, flux, sky, chi-squared and its degrees of freedom, weight of all pixels, and whether the search came to rest."""
THIN = -math.log(0.05)
_STARTS = np.log(np.array([0.7, 1.5, 3.0, 5.0]))  # n
LANES = 64
"""Numbers that are added up side by side: fewer, and each waits for the sum before."""
_FREE = 8  # parameters
_LONGEST = np.array([2.0, 2.0, 0.7, 0.5, 0.7, 0.7])  # steps
_STILL, _LEVEL = 5e-4, 1e-2  # a step, and a gain in chi2 over the reduced chi2, that end the search
_DAMPED, _UNDAMPED = (
    1e-2,
    1e-4,
)  # at most as a part begins, the first and others: damped steps hardly move along valleys, and seem to rest
_ROUGH = 100.0  # times as much ends its first part
_LOOKS, _STEPS = 6, 7
_MOVED = 0.02  # since the means around were seen through the PSF: farther, and they are seen anew


@compiled
def _render(
    shape: Any,
    wanted: int,
    grids: int,
    count: int,
    place: Any,
    where: Any,
    around: Any,
    tables: Any,
    waves: Any,
    responses: Any,
    rows: Any,
    room: Any,
    models: Any,
) -> None:
    """Fill in models (7, bins), or the first of them: in the middle by waves, around it at the points, plus what pixels and PSF add there (bins,).

    With so many grids around the middle, what they add is found anew, and the middle stays as it is.
    """
    table, scale = tables
    chebyshev, images = room[0], room[1]
    inner = images.shape[1]
    polynomials(shape[3], chebyshev)
    at_points(shape, chebyshev, scale, place, inner, count, wanted, room[4], models)
    k = inner
    for grid in range(min(grids, 1), grids + 1):
        on = waves[0] if grid == 0 else waves[1]
        response = responses[0][rows[0]] if grid == 0 else responses[1][rows[grid]]
        by_waves(
            shape,
            grid,
            chebyshev,
            table,
            on,
            response,
            wanted,
            room[2] if grid == 0 else room[3],
            models if grid == 0 else images,
        )
        if grid == 0:
            for one in range(inner, count):
                models[0, one] += around[one]
            continue
        area = np.float32(1.0 / (1 << (2 * grid)))
        while k < count and where[k, 0] == grid:
            seen = images[0, where[k, 1]] * area
            around[k] = seen - models[0, k]
            models[0, k] = seen
            k += 1


@compiled
def _copy(one: Any, other: Any, count: int) -> None:
    for k in range(count):
        other[k] = one[k]


@compiled
def _level(light: Any, weight: Any, known: float) -> tuple[float, float]:
    """Weight of all pixels, and that of the sky's level with them, and their mean."""
    total, level = known, 0.0
    for k in range(light.size):
        total += weight[k]
        level += weight[k] * light[k]
    total = max(total, 1e-30)
    return total, level / total


@compiled
def _compare(
    model: Any, light: Any, weight: Any, count: int, total: float, level: float, known: float, left: Any
) -> tuple[float, float, float]:
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
    for lane in range(LANES):
        lanes[lane] = 0
    for k in range(len(one)):
        a, b = one[k], other[k]
        for lane in range(LANES):
            lanes[lane] += a[lane] * b[lane]
    for lane in range(LANES // 2):
        lanes[lane] += lanes[LANES // 2 + lane]
    for lane in range(LANES // 4):
        lanes[lane] += lanes[LANES // 4 + lane]
    total = 0.0
    for lane in range(LANES // 4):
        total += lanes[lane]
    return total


@compiled
def _normal(
    models: Any,
    weight: Any,
    left: Any,
    total: float,
    row: Any,
    lanes: Any,
    squares: Any,
    means: Any,
    pull: Any,
) -> None:
    """Fill in the normal equations, see `kernels.measure.least_squares.Normal`, and the pull (6,) of what is left for a flux of one."""
    size, bins = weight.size, weight.size // LANES
    flat, ones = row.reshape(bins, LANES), models[7][:size].reshape(bins, LANES)
    for one in range(7):
        model = models[one][:size]
        for k in range(weight.size):
            row[k] = model[k] * weight[k]
        means[one] = _dot(flat, ones, lanes) / total
        for other in range(one + 1):
            squares[one, other] = _dot(flat, models[other][:size].reshape(bins, LANES), lanes)
        if one > 0:
            pull[one - 1] = _dot(left.reshape(bins, LANES), model.reshape(bins, LANES), lanes)
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
    light: Any,
    weight: Any,
    place: Any,
    where: Any,
    counts: Any,
    start: Any,
    limits: Any,
    known: Any,
    photons: Any,
    grids: Any,
    tables: Any,
    waves: Any,
    responses: Any,
    rows: Any,
    room: Any,
    answer: Any,
    squares: Any,
    means: Any,
) -> None:
    """Fit profiles: fill in the answers (k, 12) and the normal equations where they ended.

    As `kernels.measure.sersic.fit` does it, but for where slopes are from: what pixels and PSF make of a profile is summed up from waves in the middle at every
    step, and around it, where they change little, added to the profile at the bins' middles as it was for a shape close by. One long loop: each function that calls
    the sums over waves compiles them once more.

    Parameters
    ----------
    light, weight, place, where, counts
        See `kernels.measure.nested_bins.nested`; whole lanes.
    start : (k, 6) float64 array
        Shapes, see `kernels.measure.profiles.Camera.render`, in innermost bins; indices are looked for.
    limits : (k, 2, 4) float64 array
        Least and most of the first four.
    known : (k,) float64 array
        See `kernels.measure.sersic.fit`, in innermost bins.
    photons : (k,) float64 array
        Variance of the light's photons over that of the sky, per unit of light in an innermost bin of weight one; 0 for none.
    grids : (k,) int64 array
        Around the innermost one.
    tables, waves, responses, room
        What profiles are made of; waves and responses in the middle, and around it.
    rows : (k, 1 + grids) int64 array
        Which responses are each stamp's.
    """
    # out of an array: loops are compiled for each number that is written into a call
    wanted = np.array([1, 7, 0])
    alone, with_slopes, middle = wanted[0], wanted[1], wanted[2]
    most = light.shape[1]
    models, other = np.ones((8, most), np.float32), np.ones((8, most), np.float32)
    around, left, row = np.zeros(most, np.float32), np.zeros(most, np.float32), np.zeros(most, np.float32)
    lanes, matrix = np.zeros(LANES, np.float32), np.zeros((6, 6))
    shape, tried, best, seen_at = np.zeros(6), np.zeros(6), np.zeros(6), np.zeros(6)
    slope, pull, move = np.zeros(6), np.zeros(6), np.zeros(6)
    for i in range(len(light)):
        count = int(counts[i, 0])
        if count == 0:
            continue
        padded = -(-count // LANES) * LANES
        values, weights, places, on, edges = light[i], weight[i], place[i], where[i], limits[i]
        freedom = -_FREE
        for k in range(padded):
            freedom += weights[k] > 0
            around[k], left[k] = 0, 0
        for k in range(count, padded):
            for image in range(7):
                models[image, k], other[image, k] = 0, 0
        freedom = max(freedom, 1)
        total, level = _level(values, weights, known[i])
        # which index leaves least
        least = np.inf
        for n in _STARTS:
            _copy(start[i], tried, 6)
            tried[3] = n
            _within(tried, edges)
            if n == _STARTS[0]:
                _copy(tried, best, 6)
            _render(
                tried,
                alone,
                middle,
                count,
                places,
                on,
                around,
                tables,
                waves,
                responses,
                rows[i],
                room,
                models,
            )
            flux, sky, chi2 = _compare(models[0], values, weights, count, total, level, known[i], left)
            if flux > 0 and chi2 < least:
                least = chi2
                _copy(tried, best, 6)
        _copy(best, shape, 6)
        _render(
            shape,
            with_slopes,
            middle,
            count,
            places,
            on,
            around,
            tables,
            waves,
            responses,
            rows[i],
            room,
            models,
        )
        damping, stale, converged = _DAMPED, False, False
        for look in range(_LOOKS):
            if grids[i] > 0:
                _render(
                    shape,
                    alone,
                    grids[i],
                    count,
                    places,
                    on,
                    around,
                    tables,
                    waves,
                    responses,
                    rows[i],
                    room,
                    models,
                )
            _copy(shape, seen_at, 6)
            if look == 1 and photons[i] > 0:
                flux, sky, chi2 = _compare(models[0], values, weights, count, total, level, known[i], left)
                for k in range(count):
                    more = max(models[0, k] * flux, 0.0) * photons[i] * weights[k]
                    weights[k] /= 1 + more / (1 << (2 * on[k, 0]))
                total, level = _level(values, weights, known[i])
            rough = _ROUGH if look == 0 else 1.0
            flux, sky, chi2 = _compare(models[0], values, weights, count, total, level, known[i], left)
            damping, rests = min(damping, _DAMPED if look == 0 else _UNDAMPED), False
            for _ in range(_STEPS):
                _normal(
                    models,
                    weights[:padded],
                    left[:padded],
                    total,
                    row[:padded],
                    lanes,
                    squares[i],
                    means[i],
                    pull,
                )
                for k in range(6):
                    slope[k] = pull[k] * flux
                for k in range(4):
                    if (shape[k] <= edges[0, k] and slope[k] < 0) or (
                        shape[k] >= edges[1, k] and slope[k] > 0
                    ):
                        slope[k] = 0
                _step(squares[i], flux, slope, damping, matrix, move)
                for k in range(6):
                    tried[k] = shape[k] + move[k]
                _within(tried, edges)
                small, gain = True, 0.0
                for k in range(6):
                    small = small and abs(tried[k] - shape[k]) < _STILL * rough
                    gain += slope[k] * move[k]
                rests = (small or gain < _LEVEL * rough * chi2 / freedom) and damping <= 1
                _render(
                    tried,
                    alone if rests else with_slopes,
                    middle,
                    count,
                    places,
                    on,
                    around,
                    tables,
                    waves,
                    responses,
                    rows[i],
                    room,
                    other,
                )
                found = _compare(other[0], values, weights, count, total, level, known[i], row)
                better = found[2] < chi2 and found[0] > 0
                if better:
                    _copy(tried, shape, 6)
                    flux, sky, chi2 = found
                    _copy(row, left, count)
                    if rests:  # its slopes are those of a shape close by
                        _copy(other[0], models[0], count)
                    else:
                        models, other = other, models
                    stale = rests
                elif stale:
                    _render(
                        shape,
                        with_slopes,
                        middle,
                        count,
                        places,
                        on,
                        around,
                        tables,
                        waves,
                        responses,
                        rows[i],
                        room,
                        models,
                    )
                    stale = False
                    continue
                damping = min(max(damping / 10 if better else damping * 10, 1e-7), 1e7)
                if rests:
                    break
            moved = 0.0
            for k in range(6):
                moved = max(moved, abs(shape[k] - seen_at[k]))
            if look > 0 and rests and (grids[i] == 0 or moved < _MOVED):
                converged = True
                break
        for k in range(6):
            answer[i, k] = shape[k]
        answer[i, FLUX], answer[i, LEVEL], answer[i, CHI2] = flux, sky, chi2
        answer[i, FREEDOM], answer[i, TOTAL], answer[i, CONVERGED] = freedom, total, converged
