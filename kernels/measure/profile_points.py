"""Sérsic profiles at points, with their derivatives, one by one."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special

from kernels.compiled import compiled
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
    shape: Any, chebyshev: Any, scale: Any, place: Any, first: int, last: int, slopes: bool, images: Any
) -> None:
    """Fill in images (7, points) from the first to the last point, see `kernels.measure.profile_waves.by_waves`; `place` (points, 2 or more) are x and y."""
    b, level, b_slope, level_slope = 0.0, 0.0, 0.0, 0.0
    for term in range(chebyshev.shape[1]):
        b += chebyshev[0, term] * scale[0, term]
        level += chebyshev[0, term] * scale[1, term]
        b_slope += chebyshev[1, term] * scale[0, term]
        level_slope += chebyshev[1, term] * scale[1, term]
    x0, y0, e1, e2 = shape[0], shape[1], shape[4], shape[5]
    over_n = np.exp(-shape[3])
    e = max(np.sqrt(e1 * e1 + e2 * e2), 1e-6)
    c, s = np.cosh(e), np.sinh(e) / e
    bend = (c - s) / (e * e)
    over = np.exp(-2 * shape[2])
    top = level - 2 * shape[2]
    for k in range(first, last):
        x, y = place[k, 0] - x0, place[k, 1] - y0
        plus, cross, r2 = x * x - y * y, 2 * x * y, x * x + y * y
        square = max(over * (c * r2 - s * (e1 * plus + e2 * cross)), 1e-12)
        log_r = 0.5 * np.log(square)
        t = np.exp(log_r * over_n)
        light = np.exp(top - b * t)
        images[0, k] = light
        if slopes:
            # by ln r, and of that the derivatives by what moves it
            falling = -b * t * over_n * light
            along = 0.5 * over / square * falling
            images[1, k] = -2 * along * (c * x - s * (e1 * x + e2 * y))
            images[2, k] = -2 * along * (c * y - s * (e2 * x - e1 * y))
            images[3, k] = -2 * light - falling
            images[4, k] = light * (level_slope - b_slope * t + b * t * log_r * over_n)
            images[5, k] = along * (s * e1 * r2 - (bend * e1 * e1 + s) * plus - bend * e1 * e2 * cross)
            images[6, k] = along * (s * e2 * r2 - bend * e1 * e2 * plus - (bend * e2 * e2 + s) * cross)
