"""Sérsic profiles on a small grid, seen through a PSF, with their derivatives: summed up from their Fourier transform, one by one."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import special

from kernels.compiled import compiled
from kernels.measure.nested_bins import SIDE
from kernels.measure.sersic_transform import FIRST, NODES, STEP, TERMS, span, table
from kernels.measure.transfer import pixel, transform, turns, waves

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FAR", "IMAGES", "Waves", "by_waves", "coefficients", "polynomials", "scratch", "waves_to"]

IMAGES = 7
"""A profile, and its derivatives by x, y, ln R, ln n and both ellipticities, see `kernels.measure.profiles.Camera.render`."""
FAR = 1.4 * math.pi
"""Up to where grids are looked at whose middle is not: there light changes little from bin to bin."""
_FADE = 0.2 * math.pi  # by how much waves fade before that, so that the middle does not ring through to the rim
_NEAR, _FINE = 5.0, 0.03  # see `kernels.measure.transfer.waves`: objects are larger than such a grid
_FOUR = 4
_ROOT = np.float32(math.sqrt(2))
_LOG = tuple(np.float32(2 / ((2 * power + 1) * math.log(2))) for power in range(5))


@dataclass(frozen=True)
class Waves:
    """A grid of waves, and what they are on a grid of bins; float32."""

    kx: NDArray[np.float64]
    ky: NDArray[np.float64]
    """Of the half above zero."""
    parts: NDArray[np.float64]
    """(ky, kx): what each stands for in the integral."""
    along_x: NDArray[np.float32]
    """(2 kx, 2 x), and its derivative by x."""
    slope_x: NDArray[np.float32]
    along_y: NDArray[np.float32]
    """(y, 2 ky), and its derivative by y."""
    slope_y: NDArray[np.float32]

    def response(self, psf: torch.Tensor | None, factor: int, *, far: bool) -> NDArray[np.float32]:
        """What is left (2, ky, kx) of each wave in means of so many pixels a side: real and imaginary part, times its part of the integral."""
        if psf is None:
            seen = pixel(torch.from_numpy(self.ky), torch.from_numpy(self.kx)).numpy()
        else:
            ky, kx = (torch.from_numpy(k / factor) for k in (self.ky, self.kx))
            seen = transform(psf, *turns(ky, kx, psf.shape)).numpy()
            seen = seen * _mean_of(factor, self.ky / factor)[:, None] * _mean_of(factor, self.kx / factor)
        seen = seen * self.parts
        if far:
            k = np.hypot(self.ky[:, None], self.kx)
            seen = seen * special.erfc((k - FAR + 3 * _FADE) / (math.sqrt(2) * _FADE)) / 2
        return np.stack([seen.real, seen.imag]).astype(np.float32)


def _mean_of(points: int, k: NDArray[np.float64]) -> NDArray[np.float64]:
    """What is left of waves (k,) in the mean of so many points, one apart."""
    return np.cos(k[:, None] * (np.arange(points) - (points - 1) / 2)).mean(axis=1)


@functools.lru_cache(maxsize=16)
def waves_to(reach: float) -> Waves:
    """Waves up to a number, per bin."""
    kx, wx = (part.numpy() for part in waves(SIDE, reach, _NEAR, _FINE))
    ky, wy = kx[kx > 0], 2 * wx[kx > 0]  # the other half is the conjugate
    fill = -len(ky) % _FOUR  # waves of no weight: products take four rows at a time
    ky, wy = np.pad(ky, (0, fill), constant_values=reach), np.pad(wy, (0, fill))
    fill = -len(kx) % _FOUR
    kx, wx = np.pad(kx, (0, fill), constant_values=reach), np.pad(wx, (0, fill))
    place = np.arange(SIDE) - (SIDE - 1) / 2
    phase = kx[:, None] * place
    c, s = np.cos(phase), np.sin(phase)
    both = np.concatenate([kx, kx])[:, None]
    along_x = np.block([[c, s], [-s, c]])
    slope_x = np.block([[s, -c], [c, s]]) * both  # minus the derivative by x: - i k
    phase = place[:, None] * ky
    c, s = np.cos(phase), np.sin(phase)
    along_y = np.stack([c, -s], axis=2).reshape(SIDE, -1)
    slope_y = np.stack([s * ky, c * ky], axis=2).reshape(SIDE, -1)
    single = [np.ascontiguousarray(m, np.float32) for m in (along_x, slope_x, along_y, slope_y)]
    return Waves(kx, ky, wy[:, None] * wx / (2 * math.pi) ** 2, *single)


@functools.cache
def coefficients() -> NDArray[np.float32]:
    """Those of `kernels.measure.sersic_transform.table`: (terms, 3, nodes)."""
    return np.ascontiguousarray(table()[0].numpy().reshape(TERMS, 3, NODES))


def scratch(*grids: Waves) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Room for what `by_waves` needs on the way, on any of some grids."""
    rows = max(2 * len(one.ky) for one in grids)
    columns = max(2 * len(one.kx) for one in grids)
    return (
        np.zeros((IMAGES, rows // 2, columns), np.float32),
        np.zeros((IMAGES, rows // 2, 2 * SIDE), np.float32),
    )


_MIDDLE, _HALF = span()


@compiled
def polynomials(log_n: float, found: Any) -> None:
    """Fill in Chebyshev polynomials (2, terms) and their derivatives by ln n."""
    x = min(max((log_n - _MIDDLE) / _HALF, -1 + 1e-9), 1 - 1e-9)
    turn, over = np.arccos(x), np.sqrt(1 - x * x) * _HALF
    for order in range(found.shape[1]):
        found[0, order] = np.cos(order * turn)
        found[1, order] = order * np.sin(order * turn) / over


@compiled
def _tabled(chebyshev: Any, table: Any, first: int, last: int, slopes: bool, values: Any) -> None:
    """Fill in F, F' and F'' (5, nodes) by ln k, and the derivatives of the first two by ln n."""
    values[:, first:last] = 0
    for term in range(len(table)):
        for order in range(3):
            share, row, total = np.float32(chebyshev[0, term]), table[term, order, first:last], values[order, first:last]
            for node in range(row.size):
                total[node] += share * row[node]
        if slopes:
            for order in range(2):
                share = np.float32(chebyshev[1, term])
                row, total = table[term, order, first:last], values[3 + order, first:last]
                for node in range(row.size):
                    total[node] += share * row[node]


@compiled
def _times(rows: Any, matrix: Any, answer: Any) -> None:
    """Fill in the product of matrices (a, b) and (b, c), a even and b a multiple of four."""
    for i in range(0, len(rows) - 1, 2):
        one, other, to_one, to_other = rows[i], rows[i + 1], answer[i], answer[i + 1]
        for x in range(to_one.size):
            to_one[x] = 0
            to_other[x] = 0
        for k in range(0, one.size - 3, 4):
            a, b, c, d = one[k], one[k + 1], one[k + 2], one[k + 3]
            e, f, g, h = other[k], other[k + 1], other[k + 2], other[k + 3]
            first, second, third, fourth = matrix[k], matrix[k + 1], matrix[k + 2], matrix[k + 3]
            for x in range(to_one.size):
                to_one[x] = to_one[x] + a * first[x] + b * second[x] + c * third[x] + d * fourth[x]
                to_other[x] = to_other[x] + e * first[x] + f * second[x] + g * third[x] + h * fourth[x]


@compiled
def _spread(values: Any, seen: Any, turned: Any, filtered: Any) -> None:
    """Fill in the real parts (2 k,), and behind them the imaginary ones, of what is left of waves of these values (k,)."""
    real, imaginary = filtered[: values.size], filtered[values.size :]
    for k in range(values.size):
        real[k] = values[k] * seen[k]
        imaginary[k] = values[k] * turned[k]


@compiled
def by_waves(
    shape: Any,
    grid: int,
    chebyshev: Any,
    table: Any,
    kx: Any,
    ky: Any,
    response: Any,
    along_x: Any,
    slope_x: Any,
    along_y: Any,
    slope_y: Any,
    slopes: bool,
    filtered: Any,
    summed: Any,
    values: Any,
    images: Any,
) -> None:
    """Fill images (7, y, x) of unit flux, in innermost bins; without slopes the first of them.

    `shape` (6,) is as for `kernels.measure.profiles.Camera.render`, places counted from the middle, in innermost bins, of which one of this grid's has `2**grid` a side.
    """
    scale = 1.0 / (1 << grid)
    x0, y0, e1, e2 = shape[0] * scale, shape[1] * scale, shape[4], shape[5]
    columns, rows, count = len(kx), len(ky), 6 if slopes else 1
    e = max(np.sqrt(e1 * e1 + e2 * e2), 1e-6)
    c, s = np.cosh(e), np.sinh(e) / e
    bend = (c - s) / (e * e)
    radius = np.exp(shape[2]) * scale
    square = radius * radius
    # k'^2 = a kx^2 + b ky^2 + d kx ky, and its derivatives by both ellipticities
    a, b, d = square * (c + s * e1), square * (c - s * e1), 2 * square * s * e2
    a1, b1 = square * (s * e1 + bend * e1 * e1 + s), square * (s * e1 - bend * e1 * e1 - s)
    d1 = 2 * square * bend * e1 * e2
    a2, b2 = square * (s * e2 + bend * e1 * e2), square * (s * e2 - bend * e1 * e2)
    d2 = 2 * square * (bend * e2 * e2 + s)
    least = radius * np.exp(-e / 2) * np.sqrt(2.0) * ky[0]
    most = radius * np.exp(e / 2) * np.sqrt(2.0) * max(ky[rows - 1], kx[columns - 1])
    first = min(max(int((np.log(least) - FIRST) / STEP) - 1, 0), NODES - 2)
    last = min(max(int((np.log(most) - FIRST) / STEP) + 3, first + 2), NODES)
    _tabled(chebyshev, table, first, last, slopes, values)
    phases, of_row = np.empty((2, columns), np.float32), np.empty((8, columns), np.float32)
    bits, nodes = of_row[0].view(np.int32), np.empty(columns, np.int32)
    for column in range(columns):
        phases[0, column], phases[1, column] = np.cos(kx[column] * x0), np.sin(kx[column] * x0)
    seen, turned, squares = of_row[1], of_row[2], of_row[3]
    light, falling, by_n, half = of_row[4], of_row[5], of_row[6], of_row[7]
    to_place, from_place = np.float32(0.5 / STEP * np.log(2.0)), np.float32(FIRST / STEP)
    low, high, step = np.float32(first), np.float32(last - 1), np.float32(STEP)
    for row in range(rows):
        along = ky[row]
        c_y, s_y = np.float32(np.cos(along * y0)), np.float32(np.sin(along * y0))
        real, imaginary = response[0, row], response[1, row]
        for column in range(columns):
            to_r = c_y * phases[0, column] - s_y * phases[1, column]
            to_i = -(s_y * phases[0, column] + c_y * phases[1, column])
            seen[column] = real[column] * to_r - imaginary[column] * to_i
            turned[column] = real[column] * to_i + imaginary[column] * to_r
            k = kx[column]
            squares[column] = max(a * k * k + b * along * along + d * k * along, 1e-12)
        of_row[0] = squares
        for column in range(columns):
            # the logarithm of base two: its whole part, and of the rest the area hyperbolic tangent's series
            exponent = (bits[column] >> 23) - 127
            bits[column] = (bits[column] & 0x7FFFFF) | 0x3F800000
            nodes[column] = exponent
        for column in range(columns):
            z = (of_row[0, column] - _ROOT) / (of_row[0, column] + _ROOT)
            z2 = z * z
            rest = z * (_LOG[0] + z2 * (_LOG[1] + z2 * (_LOG[2] + z2 * (_LOG[3] + z2 * _LOG[4]))))
            place = to_place * (np.float32(nodes[column]) + np.float32(0.5) + rest) - from_place
            place = min(max(place, low), high)
            node = np.int32(place + np.float32(0.5))
            nodes[column] = node
            half[column] = (place - np.float32(node)) * step
        for column in range(columns):
            node, away = nodes[column], half[column]
            slope, bend_here = values[1, node], values[2, node]
            light[column] = values[0, node] + away * (slope + np.float32(0.5) * away * bend_here)
            falling[column] = slope + away * bend_here
            by_n[column] = values[3, node] + away * values[4, node]
        _spread(light, seen, turned, filtered[0, row, : 2 * columns])
        if slopes:
            _spread(falling, seen, turned, filtered[1, row, : 2 * columns])
            _spread(by_n, seen, turned, filtered[2, row, : 2 * columns])
            for column in range(columns):
                k = kx[column]
                half[column] = falling[column] / (2 * squares[column])
                light[column] = half[column] * np.float32(a1 * k * k + b1 * along * along + d1 * k * along)
                by_n[column] = half[column] * np.float32(a2 * k * k + b2 * along * along + d2 * k * along)
            _spread(light, seen, turned, filtered[3, row, : 2 * columns])
            _spread(by_n, seen, turned, filtered[4, row, : 2 * columns])
    for image in range(count):
        which = image if image < 5 else 0
        _times(filtered[which, :rows, : 2 * columns], along_x if image < 5 else slope_x, summed[image, :rows])
    for image in range(count):
        to = 0 if image == 0 else 1 if image == 5 else image + 2
        _times(along_y, summed[image, :rows].reshape(2 * rows, SIDE), images[to])
    if slopes:
        _times(slope_y, summed[0, :rows].reshape(2 * rows, SIDE), images[2])
    area = scale * scale
    for image in range(7 if slopes else 1):
        flat = images[image].reshape(SIDE * SIDE)
        for place_on in range(flat.size):
            flat[place_on] *= np.float32(area)
    if slopes and grid > 0:
        # by places in innermost bins
        for image in range(1, 3):
            flat = images[image].reshape(SIDE * SIDE)
            for place_on in range(flat.size):
                flat[place_on] *= np.float32(scale)
