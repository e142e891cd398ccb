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
    """Above zero, and then the same below it."""
    ky: NDArray[np.float64]
    """Above zero."""
    parts: NDArray[np.float64]
    """(ky, kx): what each stands for in the integral."""
    along_x: NDArray[np.float32]
    """(2, x above the middle, kx): cosines, and sines, of waves above zero."""
    along_y: NDArray[np.float32]
    """(2, y above the middle, ky)."""

    @property
    def arrays(self) -> tuple[NDArray[np.float64] | NDArray[np.float32], ...]:
        """What `by_waves` takes."""
        return self.kx, self.ky, self.along_x, self.along_y

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
    k, part = (part.numpy() for part in waves(SIDE, reach, _NEAR, _FINE))
    # the other half is the conjugate; and some of no weight, for products take four rows at a time
    fill = (0, -(k > 0).sum() % _FOUR)
    k, part = np.pad(k[k > 0], fill, constant_values=reach), np.pad(part[k > 0], fill)
    phase = (np.arange(SIDE // 2) + 0.5)[:, None] * k
    along = np.stack([np.cos(phase), np.sin(phase)]).astype(np.float32)
    parts = 2 * part[:, None] * np.concatenate([part, part]) / (2 * math.pi) ** 2
    return Waves(np.concatenate([k, -k]), k, parts, along, along)


@functools.cache
def coefficients() -> NDArray[np.float32]:
    """Those of `kernels.measure.sersic_transform.table`: (terms, 3, nodes)."""
    return np.ascontiguousarray(table()[0].numpy().reshape(TERMS, 3, NODES))


def scratch(waves: Waves) -> tuple[NDArray[Any], ...]:
    """Room for what `by_waves` needs on the way."""
    rows, columns = len(waves.ky), len(waves.kx)
    seen = np.zeros((2, IMAGES * rows * columns), np.float32)
    summed = np.zeros(IMAGES * SIDE * columns, np.float32)
    turned = np.zeros((2, IMAGES * SIDE * columns // 2), np.float32)
    halves = np.zeros((2, IMAGES * SIDE * SIDE // 2), np.float32)
    values, turns = np.zeros((5, NODES), np.float32), np.zeros((4, columns), np.float32)
    lights, work = np.zeros((IMAGES, columns), np.float32), np.zeros((6, rows * columns), np.float32)
    bits, nodes = work[3].view(np.int32), np.zeros(rows * columns, np.int32)
    return seen, summed, turned, halves, values, turns, lights, work, bits, nodes


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
def _even_and_odd(light: Any, real: Any, imaginary: Any, sign: int, by_cosine: Any, by_sine: Any) -> None:
    """Fill in what stands before cosines and before sines of y (2k,), of waves (2k,) above and below zero: first for cosines of x, then for minus its sines."""
    half, sign_i = light.size // 2, np.float32(sign)
    for k in range(half):
        other = half + k
        r, r_other = light[k] * real[k], light[other] * real[other]
        i, i_other = sign_i * light[k] * imaginary[k], sign_i * light[other] * imaginary[other]
        by_cosine[k], by_cosine[other] = r + r_other, i - i_other
        by_sine[k], by_sine[other] = i + i_other, r_other - r


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
    """Fill images (7, y * x or more) of unit flux, all or only the first of them, as wanted: 7 or 1.

    `shape` (6,) is as for `kernels.measure.profiles.Camera.render`, places counted from the middle, in innermost bins, of which one of this grid's has `2**grid` a side;
    slopes are those of the innermost grid. `chebyshev` are its `polynomials`, `table` is `coefficients`, `waves` are `Waves.arrays`, `room` is `scratch`.
    """
    kx, ky, along_x, along_y = waves
    seen, summed, turned, halves, values, turns, lights, work, bits, nodes = room
    scale = 1.0 / (1 << grid)
    x0, y0, e1, e2 = shape[0] * scale, shape[1] * scale, shape[4], shape[5]
    columns, rows, half = len(kx), len(ky), SIDE // 2
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
    most = radius * np.exp(e / 2) * np.sqrt(2.0) * max(ky[rows - 1], kx[columns // 2 - 1])
    first = min(max(int((np.log(least) - FIRST) / STEP) - 1, 0), NODES - 2)
    last = min(max(int((np.log(most) - FIRST) / STEP) + 3, first + 2), NODES)
    _tabled(chebyshev, table, first, last, 5 if wanted > 1 else 3, values)
    turn_c, turn_s, real, imaginary = turns[0], turns[1], turns[2], turns[3]
    squares, away, light, falling, by_n = work[0], work[1], work[2], work[4], work[5]
    for column in range(columns // 2):
        c, s = np.float32(np.cos(kx[column] * x0)), np.float32(np.sin(kx[column] * x0))
        turn_c[column], turn_s[column] = c, s
        turn_c[columns // 2 + column], turn_s[columns // 2 + column] = c, -s
    by_cosine = seen[0, : rows * wanted * columns].reshape(rows, wanted * columns)
    by_sine = seen[1, : rows * wanted * columns].reshape(rows, wanted * columns)
    for row in range(rows):
        k, at = ky[row], row * columns
        for column in range(columns):
            squares[at + column] = max(a * kx[column] * kx[column] + (b * k + d * kx[column]) * k, 1e-12)
    for one in range(squares.size):
        work[3, one] = squares[one]
    _places(work[3], bits, first, last, nodes, away)
    for one in range(squares.size):
        node, off = nodes[one], away[one]
        slope = values[1, node] + off * values[2, node]
        light[one] = values[0, node] + off * (slope - np.float32(0.5) * off * values[2, node])
        falling[one] = slope
        by_n[one] = values[3, node] + off * values[4, node]
    for row in range(rows):
        k, at = ky[row], row * columns
        c_y, s_y = np.float32(np.cos(k * y0)), np.float32(np.sin(k * y0))
        left_r, left_i = response[0, row], response[1, row]
        for column in range(columns):
            to_r = c_y * turn_c[column] - s_y * turn_s[column]
            to_i = -(s_y * turn_c[column] + c_y * turn_s[column])
            real[column] = left_r[column] * to_r - left_i[column] * to_i
            imaginary[column] = left_r[column] * to_i + left_i[column] * to_r
            lights[0, column] = light[at + column]
        if wanted > 1:
            for column in range(columns):
                along, part = kx[column], falling[at + column] / (2 * squares[at + column])
                lights[1, column] = along * lights[0, column]
                lights[2, column] = k * lights[0, column]
                lights[3, column] = falling[at + column]
                lights[4, column] = by_n[at + column]
                lights[5, column] = part * (a1 * along * along + (b1 * k + d1 * along) * k)
                lights[6, column] = part * (a2 * along * along + (b2 * k + d2 * along) * k)
        for image in range(wanted):
            to = image * columns
            # derivatives by x and y: -i k
            sloping = 0 < image < 3
            _even_and_odd(
                lights[image],
                imaginary if sloping else real,
                real if sloping else imaginary,
                -1 if sloping else 1,
                by_cosine[row, to : to + columns],
                by_sine[row, to : to + columns],
            )
    over = summed[: SIDE * wanted * columns].reshape(SIDE, wanted * columns)
    _times(along_y[0], by_cosine, over[:half])
    _times(along_y[1], by_sine, over[half:])
    both = wanted * SIDE
    even_waves = turned[0, : columns // 2 * both].reshape(columns // 2, both)
    odd_waves = turned[1, : columns // 2 * both].reshape(columns // 2, both)
    for image in range(wanted):
        for k in range(columns // 2):
            at, to = image * columns + k, image * SIDE
            for y in range(SIDE):
                even_waves[k, to + y] = over[y, at]
                odd_waves[k, to + y] = over[y, at + columns // 2]
    even, odd = halves[0, : half * both].reshape(half, both), halves[1, : half * both].reshape(half, both)
    _times(along_x[0], even_waves, even)
    _times(along_x[1], odd_waves, odd)
    for image in range(wanted):
        answer = images[image]
        for x in range(half):
            for y in range(half):
                at = image * SIDE + y
                above, below = (half + y) * SIDE + half, (half - 1 - y) * SIDE + half
                in_y, across = even[x, at], odd[x, at]
                to_y, back = even[x, at + half], odd[x, at + half]
                answer[above + x] = (in_y - across) - (to_y - back)
                answer[above - 1 - x] = (in_y + across) - (to_y + back)
                answer[below + x] = (in_y - across) + (to_y - back)
                answer[below - 1 - x] = (in_y + across) + (to_y + back)
