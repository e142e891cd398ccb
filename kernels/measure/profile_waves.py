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
from kernels.measure.rows_of_numbers import log2
from kernels.measure.sersic_transform import FIRST, NODES, STEP, TERMS, span, table
from kernels.measure.transfer import pixel, transform, turns, waves

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FAR", "IMAGES", "Waves", "by_waves", "coefficients", "polynomials", "scratch", "waves_to"]

IMAGES = 7
"""A profile, and its derivatives by x, y, ln R, ln n and both ellipticities, see `kernels.measure.profiles.Camera.render`."""
FAR = 1.4 * math.pi
"""Up to where grids are looked at whose middle is not: there light changes little from bin to bin."""
_FADE = (
    0.2 * math.pi
)  # by how much waves fade before that, so that the middle does not ring through to the rim
_NEAR, _FINE = 5.0, 0.03  # see `kernels.measure.transfer.waves`: objects are larger than such a grid
_FOUR = 4


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

    @property
    def arrays(self) -> tuple[NDArray[np.float64] | NDArray[np.float32], ...]:
        """What `by_waves` takes."""
        return self.kx, self.ky, self.along_x, self.slope_x, self.along_y, self.slope_y

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


def scratch(waves: Waves) -> tuple[NDArray[Any], ...]:
    """Room for what `by_waves` needs on the way."""
    rows, columns = len(waves.ky), len(waves.kx)
    filtered = np.zeros((5 * rows, 2 * columns), np.float32)
    wide = np.zeros((6 * rows, 2 * SIDE), np.float32)
    work = np.zeros((12, columns), np.float32)
    values, nodes = np.zeros((5, NODES), np.float32), np.zeros(columns, np.int32)
    return filtered, wide, wide.reshape(12 * rows, SIDE), values, work, work[11].view(np.int32), nodes


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
def _tabled(chebyshev: Any, table: Any, first: int, last: int, orders: int, values: Any) -> None:
    """Fill in F, F' and F'' (5, nodes) by ln k, and the derivatives of the first two by ln n."""
    for order in range(orders):
        total = values[order, first:last]
        for node in range(total.size):
            total[node] = 0
        for term in range(len(table)):
            share, row = np.float32(chebyshev[order // 3, term]), table[term, order % 3, first:last]
            for node in range(total.size):
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
def _places(squares: Any, bits: Any, first: int, last: int, nodes: Any, away: Any) -> None:
    """Fill in the nearest nodes (k,) of the table between a first and a last one, and how far they are from ln k, by k^2 (k,), whose bits they share and which are lost."""
    to_place, from_place = np.float32(0.5 / STEP * np.log(2.0)), np.float32(FIRST / STEP)
    low, high, step = np.float32(first), np.float32(last - 1), np.float32(STEP)
    log2(squares, bits, nodes)
    for k in range(nodes.size):
        place = min(max(to_place * squares[k] - from_place, low), high)
        nodes[k] = np.int32(place + np.float32(0.5))
        away[k] = (place - np.float32(nodes[k])) * step


@compiled
def by_waves(
    shape: Any,
    grid: int,
    chebyshev: Any,
    table: Any,
    waves: Any,
    response: Any,
    wanted: int,
    room: Any,
    images: Any,
) -> None:
    """Fill images (7, y, x) of unit flux, all or only the first of them, as wanted: 7 or 1.

    `shape` (6,) is as for `kernels.measure.profiles.Camera.render`, places counted from the middle, in innermost bins, of which one of this grid's has `2**grid` a side;
    slopes are those of the innermost grid. `chebyshev` are its `polynomials`, `table` is `coefficients`, `waves` are `Waves.arrays`, `room` is `scratch`.
    """
    kx, ky, along_x, slope_x, along_y, slope_y = waves
    filtered, wide, tall, values, work, bits, nodes = room
    scale = 1.0 / (1 << grid)
    x0, y0, e1, e2 = shape[0] * scale, shape[1] * scale, shape[4], shape[5]
    columns, rows, parts = len(kx), len(ky), 5 if wanted > 1 else 1
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
    _tabled(chebyshev, table, first, last, 5 if wanted > 1 else 3, values)
    turn_c, turn_s, squares, seen, turned, away = work[0], work[1], work[2], work[3], work[4], work[5]
    for column in range(columns):
        turn_c[column], turn_s[column] = np.cos(kx[column] * x0), np.sin(kx[column] * x0)
    for row in range(rows):
        k = ky[row]
        c_y, s_y = np.float32(np.cos(k * y0)), np.float32(np.sin(k * y0))
        real, imaginary = response[0, row], response[1, row]
        for column in range(columns):
            to_r = c_y * turn_c[column] - s_y * turn_s[column]
            to_i = -(s_y * turn_c[column] + c_y * turn_s[column])
            seen[column] = real[column] * to_r - imaginary[column] * to_i
            turned[column] = real[column] * to_i + imaginary[column] * to_r
            squares[column] = max(a * kx[column] * kx[column] + (b * k + d * kx[column]) * k, 1e-12)
            work[11, column] = squares[column]
        _places(work[11], bits, first, last, nodes, away)
        for column in range(columns):
            node, off = nodes[column], away[column]
            falling = values[1, node] + off * values[2, node]
            work[6, column] = values[0, node] + off * (falling - np.float32(0.5) * off * values[2, node])
            work[7, column] = falling
            work[8, column] = values[3, node] + off * values[4, node]
        if wanted > 1:
            for column in range(columns):
                along = kx[column]
                half = work[7, column] / (2 * squares[column])
                work[9, column] = half * (a1 * along * along + (b1 * k + d1 * along) * k)
                work[10, column] = half * (a2 * along * along + (b2 * k + d2 * along) * k)
        for part in range(parts):
            answer, light = filtered[part * rows + row], work[6 + part]
            for column in range(columns):
                answer[column] = light[column] * seen[column]
                answer[columns + column] = light[column] * turned[column]
    for job in range(2 if wanted > 1 else 1):
        to = 0 if job == 0 else 5 * rows
        some = parts * rows if job == 0 else rows
        _times(filtered[:some], along_x if job == 0 else slope_x, wide[to : to + some])
    for job in range(wanted):
        # profile; its derivatives by ln R, ln n and ellipticities; by x; by y
        to = 0 if job == 0 else job + 2 if job < 5 else job - 4
        some = 2 * rows * (0 if job == 6 else job)
        _times(along_y if job < 6 else slope_y, tall[some : some + 2 * rows], images[to])
