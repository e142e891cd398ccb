"""Poles of stamps on a CPU, compiled: see `kernels.polar.find_pole`, which says what is computed, and has the same in tensors for other devices.

Sums run over rows, elementwise in x, and are added up along x at their end: so the compiler can fill vectors without changing the order of a sum.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.compiled import compiled
from kernels.polar_window import DIRECTION, STEPS, WIDEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BEYOND", "pole_of", "rooms_of"]

BEYOND = 3
"""Rows and columns of zeros around a stamp: one before it, two behind."""
_LANES = 64  # as many numbers as a compiled loop takes at once
_HALF, _SIXTH, _1_24, _1_120, _1_720, _1_5040 = 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040


def rooms_of(height: int, width: int) -> tuple[NDArray[Any], ...]:
    """Where light is summed, smoothed and squared in cells, where windows are, and where their rows are summed."""
    cell = _cell(height, width)
    rows = -(-(-(-height // cell) + 2) // 2) * 2
    columns = -(-(-(-width // cell) + 2) // _LANES) * _LANES
    cells, sums = np.zeros((3, rows, columns), np.float32), np.empty((4, columns), np.float32)
    return cells, np.empty((2, 4, max(rows, columns))), sums


@compiled
def _cell(height: Any, width: Any) -> Any:
    """Pixels of a cell's side: about 32 cells a side, whatever the stamp."""
    return max(1, round(min(height, width) / 32))


@compiled
def pole_of(image: Any, by_moments: Any, cells: Any, windows: Any, room: Any) -> Any:
    """X and y of the pole and of the direction."""
    if by_moments:
        return _moments(image, cells, windows, room)
    return _extremes(image)


@compiled
def _extremes(image: Any) -> Any:
    """Brightest pixel and the direction to the darkest one."""
    height, width = _shape(image)
    high, low = _row(image, 0).copy(), _row(image, 0).copy()
    for y in range(1, height):
        row = _row(image, y)
        for x in range(width):
            high[x], low[x] = max(high[x], row[x]), min(low[x], row[x])
    bright, dark = high.max(), low.min()
    if bright == dark:
        return (width - 1) / 2, (height - 1) / 2, 1.0, 0.0
    x, y = _nearest(image, high, bright)
    to_x, to_y = _nearest(image, low, dark)
    length = math.sqrt((to_x - x) ** 2 + (to_y - y) ** 2)
    return float(x), float(y), (to_x - x) / length, (to_y - y) / length


@compiled
def _nearest(image: Any, extremes: Any, value: Any) -> Any:
    """X and y of the pixel of this value nearest the centre, then of lowest index; `extremes` are those of columns."""
    height, width = _shape(image)
    found_x, found_y, least = 0, 0, np.int64(-1)
    for x in range(width):
        if extremes[x] != value:
            continue
        for y in range(height):
            if _row(image, y)[x] != value:
                continue
            # twice the distance, squared, is a whole number: ties are exact
            rank = ((2 * y - height + 1) ** 2 + (2 * x - width + 1) ** 2) * (height * width) + y * width + x
            if least < 0 or rank < least:
                found_x, found_y, least = x, y, rank
    return found_x, found_y


@compiled
def _moments(image: Any, cells: Any, windows: Any, room: Any) -> Any:
    """Pole and direction from adaptive moments."""
    height, width = _shape(image)
    half, cell = min(height, width) / 2, _cell(height, width)
    rows, columns = -(-height // cell), -(-width // cell)
    if not _light(image, cell, rows, columns, cells):
        return (width - 1) / 2, (height - 1) / 2, 1.0, 0.0
    light, across, down, m = cells[0], windows[0], windows[1], np.empty((4, 4))
    from_x = (cell - width) / 2 - (columns * cell - width) // 2
    from_y = (cell - height) / 2 - (rows * cell - height) // 2

    x = y = 0.0  # from the stamp's middle
    largest = (WIDEST * half) ** 2
    spread = largest  # the window's variance
    for _ in range(STEPS):
        _powers(from_x - x, cell, spread, 2, across)
        _powers(from_y - y, cell, spread, 2, down)
        _weighted(light, rows, columns, across, down, 2, room, m)
        measured = (m[2, 0] + m[0, 2] - m[1, 0] ** 2 - m[0, 1] ** 2) / 2
        shrunk = 1 - measured / spread
        share = min(max(shrunk, 0.5), 1.0)
        x, y = x + m[1, 0] / share, y + m[0, 1] / share
        inner = (half / 2) / max(math.sqrt(x * x + y * y), half / 2)
        x, y = x * inner, y * inner
        spread = min(max(measured / max(shrunk, 0.1), float(cell**2)), largest)

    spread = min(spread * DIRECTION**2, (half / 2) ** 2)
    _powers(from_x - x, cell, spread, 2, across)
    _powers(from_y - y, cell, spread, 2, down)
    _weighted(light, rows, columns, across, down, 2, room, m)
    c, s = _axis(m[2, 0] - m[1, 0] ** 2, m[0, 2] - m[0, 1] ** 2, m[1, 1] - m[1, 0] * m[0, 1])
    _powers(from_x - x, cell, largest, 3, across)
    _powers(from_y - y, cell, largest, 3, down)
    _weighted(light, rows, columns, across, down, 3, room, m)
    u1 = c * m[1, 0] + s * m[0, 1]
    u2 = c * c * m[2, 0] + 2 * c * s * m[1, 1] + s * s * m[0, 2]
    u3 = c**3 * m[3, 0] + 3 * c * c * s * m[2, 1] + 3 * c * s * s * m[1, 2] + s**3 * m[0, 3]
    if u3 - 3 * u1 * u2 + 2 * u1**3 < 0:
        c, s = -c, -s
    return x + (width - 1) / 2, y + (height - 1) / 2, c, s


@compiled
def _axis(xx: Any, yy: Any, xy: Any) -> Any:
    """Cosine and sine of the major axis: tan 2 theta = 2 xy / (xx - yy)."""
    length = math.sqrt((xx - yy) ** 2 + (2 * xy) ** 2)
    if length == 0:
        return 1.0, 0.0
    cos2 = (xx - yy) / length
    larger = math.sqrt((1 + abs(cos2)) / 2)
    smaller = xy / length / larger
    return (larger, smaller) if cos2 >= 0 else (smaller, larger)


@compiled
def _light(image: Any, cell: Any, rows: Any, columns: Any, cells: Any) -> Any:
    """Squared positive light in smoothed cells, over its peak, within a border that means nothing; whether there is any."""
    _sum_cells(image, cell, rows, columns, cells[0])
    line, first, last = cells.shape[2], cells.shape[2], (rows + 1) * cells.shape[2]
    summed, smooth, light = cells[0].ravel(), cells[1].ravel(), cells[2].ravel()
    _smooth(
        summed[first - line : last - line],
        summed[first:last],
        summed[first + line : last + line],
        smooth[first:last],
    )
    _smooth(smooth[first - 1 : last - 1], smooth[first:last], smooth[first + 1 : last + 1], light[first:last])
    highest = np.zeros(columns, np.float32)
    for row in range(1, rows + 1):
        given = cells[2, row, 1 : columns + 1]
        for x in range(columns):
            highest[x] = max(highest[x], given[x])
    peak = highest.max()
    if peak <= 0:
        return False
    # over the peak first, so that the square neither overflows nor underflows in any unit
    squared, given = summed[first:last], light[first:last]
    for k in range(len(squared)):
        share = max(np.divide(given[k], peak), np.float32(0))  # unlike /, it does not look for a zero
        squared[k] = share * share
    return True


@compiled
def _smooth(before: Any, here: Any, after: Any, smooth: Any) -> None:
    """Weights of 1/4, 1/2 and 1/4."""
    for k in range(len(here)):
        smooth[k] = here[k] * np.float32(0.5) + (before[k] + after[k]) * np.float32(0.25)


@compiled
def _sum_cells(image: Any, cell: Any, rows: Any, columns: Any, summed: Any) -> None:
    """Light of each cell, within a border of zeros."""
    height, width = _shape(image)
    left, top = (columns * cell - width) // 2, (rows * cell - height) // 2
    line = np.zeros(columns * cell, np.float32)
    inner = line[left : left + width]
    summed[:] = 0
    for row in range(rows):
        first, last = max(row * cell - top, 0), min((row + 1) * cell - top, height)
        _copy(_row(image, first), inner)
        for y in range(first + 1, last):
            _add(_row(image, y), inner)
        out, place = summed[row + 1, 1 : columns + 1], np.uint64(0)
        for x in range(columns):
            total = line[place]
            for k in range(1, cell):
                total += line[place + np.uint64(k)]
            place += np.uint64(cell)
            out[x] = total


@compiled
def _copy(given: Any, kept: Any) -> None:
    for x in range(len(kept)):
        kept[x] = given[x]


@compiled
def _add(given: Any, summed: Any) -> None:
    for x in range(len(summed)):
        summed[x] += given[x]


@compiled
def _powers(first: Any, step: Any, spread: Any, order: Any, weighted: Any) -> None:
    """A Gaussian window along one axis, times powers 0 to `order` of the distance from its centre.

    exp(-t) is the 64th power of a polynomial for exp(-t / 64), so that vectors of it can be computed: within 1e-6 of it where it is above 1e-9.
    """
    scale, window = 1 / (128 * spread), weighted[0]
    for k in range(len(window)):
        off = first + k * step
        t = min(off * off * scale, 1.25)  # less light than float32 can tell from none is left there
        part = 1 - t * (
            1 - t * (_HALF - t * (_SIXTH - t * (_1_24 - t * (_1_120 - t * (_1_720 - t * _1_5040)))))
        )
        part *= part
        part *= part
        part *= part
        part *= part
        part *= part
        window[k] = part * part
    for p in range(1, order + 1):
        lower, higher = weighted[p - 1], weighted[p]
        for k in range(len(window)):
            higher[k] = lower[k] * (first + k * step)


@compiled
def _weighted(
    light: Any, rows: Any, columns: Any, across: Any, down: Any, order: Any, room: Any, m: Any
) -> None:
    """m[p, q] = <dx^p dy^q> up to p + q = order, 2 or 3, under a window that is given with its powers."""
    zeroth, first, second, third = room[0], room[1], room[2], room[3]
    for x in range(len(zeroth)):
        zeroth[x] = first[x] = second[x] = third[x] = 0
    for row in range(0, rows, 2):
        here, next_ = light[row + 1], light[row + 2]
        w0, w1, w2 = np.float32(down[0, row]), np.float32(down[1, row]), np.float32(down[2, row])
        v0, v1, v2 = np.float32(down[0, row + 1]), np.float32(down[1, row + 1]), np.float32(down[2, row + 1])
        for x in range(len(here)):
            zeroth[x] = (zeroth[x] + w0 * here[x]) + v0 * next_[x]
            first[x] = (first[x] + w1 * here[x]) + v1 * next_[x]
            second[x] = (second[x] + w2 * here[x]) + v2 * next_[x]
    m00 = m10 = m20 = m01 = m11 = m02 = 0.0
    for x in range(columns):
        m00 += across[0, x] * zeroth[x + 1]
        m10 += across[1, x] * zeroth[x + 1]
        m20 += across[2, x] * zeroth[x + 1]
        m01 += across[0, x] * first[x + 1]
        m11 += across[1, x] * first[x + 1]
        m02 += across[0, x] * second[x + 1]
    share = 1 / m00 if m00 > 0 else 1.0
    m[0, 0], m[1, 0], m[2, 0] = m00 * share, m10 * share, m20 * share
    m[0, 1], m[1, 1], m[0, 2] = m01 * share, m11 * share, m02 * share
    if order == 3:
        for row in range(rows):
            here, w3 = light[row + 1], np.float32(down[3, row])
            for x in range(len(here)):
                third[x] += w3 * here[x]
        m30 = m21 = m12 = m03 = 0.0
        for x in range(columns):
            m30 += across[3, x] * zeroth[x + 1]
            m21 += across[2, x] * first[x + 1]
            m12 += across[1, x] * second[x + 1]
            m03 += across[0, x] * third[x + 1]
        m[3, 0], m[2, 1], m[1, 2], m[0, 3] = m30 * share, m21 * share, m12 * share, m03 * share


@compiled
def _shape(padded: Any) -> Any:
    """Rows and columns of a stamp within its zeros."""
    return padded.shape[0] - BEYOND, padded.shape[1] - BEYOND


@compiled
def _row(padded: Any, y: Any) -> Any:
    """One of its rows."""
    return padded[y + 1, 1 : padded.shape[1] - BEYOND + 1]
