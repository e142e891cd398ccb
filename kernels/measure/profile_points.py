"""Sérsic profiles at points, with their derivatives, one by one."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from kernels.compiled import compiled
from kernels.measure.rows_of_numbers import log2, power_of_two
from kernels.measure.sersic_transform import TERMS, profile_scale, span

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["at_points", "scales"]


@functools.cache
def scales() -> NDArray[np.float64]:
    """Chebyshev coefficients (2, terms) in ln n of b_n, and of the logarithm of the central brightness of a profile of unit flux and radius.

    Half-light radius, that is, as the geometric mean of both axes (Graham & Driver 2005, eqs. 2 and 4).
    """
    middle, half = span()
    turn = np.pi * (np.arange(TERMS) + 0.5) / TERMS
    n = np.exp(middle + half * np.cos(turn))
    b = profile_scale(n)
    values = np.stack([b, 2 * n * np.log(b) - np.log(2 * np.pi * n) - special.gammaln(2 * n)])
    found = values @ np.cos(turn[:, None] * np.arange(TERMS)) * 2 / TERMS
    found[:, 0] /= 2
    return found


@compiled
def at_points(
    shape: Any,
    chebyshev: Any,
    scale: Any,
    place: Any,
    first: int,
    last: int,
    wanted: int,
    room: Any,
    images: Any,
) -> None:
    """Fill in images (7, points) from the first to the last point, all or the first, see `kernels.measure.profile_waves.by_waves`; `place` (2, points) are x and y."""
    b, level, b_slope, level_slope = 0.0, 0.0, 0.0, 0.0
    for term in range(chebyshev.shape[1]):
        b += chebyshev[0, term] * scale[0, term]
        level += chebyshev[0, term] * scale[1, term]
        b_slope += chebyshev[1, term] * scale[0, term]
        level_slope += chebyshev[1, term] * scale[1, term]
    e1, e2 = shape[4], shape[5]
    e = max(np.sqrt(e1 * e1 + e2 * e2), 1e-6)
    c, s = np.cosh(e), np.sinh(e) / e
    bend = (c - s) / (e * e)
    over, over_n = np.exp(-2 * shape[2]), np.exp(-shape[3])
    # the squared distance is a x^2 + b y^2 + d x y, over the squared radius
    xx, yy, xy = (
        np.float32(over * (c - s * e1)),
        np.float32(over * (c + s * e1)),
        np.float32(-2 * over * s * e2),
    )
    x0, y0 = np.float32(shape[0]), np.float32(shape[1])
    work, bits, room_whole = room
    size = last - first
    squares, t, light, logs = work[0, :size], work[1, :size], work[2, :size], work[3, :size]
    whole, all_x, all_y = room_whole[:size], place[0, first:last], place[1, first:last]
    half_over_n, least = np.float32(0.5 * over_n), np.float32(1e-12)
    for k in range(size):
        x, y = all_x[k] - x0, all_y[k] - y0
        squares[k] = max(xx * x * x + yy * y * y + xy * x * y, least)
        logs[k] = squares[k]
    log2(logs, bits[3, :size], whole)
    for k in range(size):
        t[k] = logs[k] * half_over_n
    power_of_two(t, bits[1, :size], whole)
    to_power, top = np.float32(-b / np.log(2.0)), np.float32((level - 2 * shape[2]) / np.log(2.0))
    for k in range(size):
        light[k] = to_power * t[k] + top
    power_of_two(light, bits[2, :size], whole)
    answer = images[0, first:last]
    for k in range(size):
        answer[k] = light[k]
    if wanted == 1:
        return
    by_x, by_y, by_r, by_n = (
        images[1, first:last],
        images[2, first:last],
        images[3, first:last],
        images[4, first:last],
    )
    by_1, by_2 = images[5, first:last], images[6, first:last]
    fall, by_t, by_log = (
        np.float32(-b * over_n),
        np.float32(-b_slope),
        np.float32(0.5 * np.log(2.0) * b * over_n),
    )
    by_level = np.float32(level_slope)
    xx_1, yy_1 = (
        np.float32(over * (s * e1 - bend * e1 * e1 - s)),
        np.float32(over * (s * e1 + bend * e1 * e1 + s)),
    )
    xy_1 = np.float32(-2 * over * bend * e1 * e2)
    xx_2, yy_2 = np.float32(over * (s * e2 - bend * e1 * e2)), np.float32(over * (s * e2 + bend * e1 * e2))
    xy_2 = np.float32(-2 * over * (bend * e2 * e2 + s))
    two, half = np.float32(2), np.float32(0.5)
    for k in range(size):
        x, y = all_x[k] - x0, all_y[k] - y0
        # by ln r; and what moves that
        falling = fall * t[k] * light[k]
        along = half * falling / squares[k]
        by_x[k] = -along * (two * xx * x + xy * y)
        by_y[k] = -along * (two * yy * y + xy * x)
        by_r[k] = -two * light[k] - falling
        by_n[k] = light[k] * (by_level + t[k] * (by_t + by_log * logs[k]))
        by_1[k] = along * (xx_1 * x * x + yy_1 * y * y + xy_1 * x * y)
        by_2[k] = along * (xx_2 * x * x + yy_2 * y * y + xy_2 * x * y)
