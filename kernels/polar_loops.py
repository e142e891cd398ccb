"""Polar unwrapping on a CPU, compiled: one stamp after the other, while it is in the processor's cache.

`kernels.polar` says what is computed, and has the same in tensors for other devices.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.compiled import compiled
from kernels.polar_poles import BEYOND, pole_of, rooms_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["poles", "unwrapped"]

_LARGEST = np.float32(np.finfo(np.float32).max)


def poles(stamps: NDArray[np.float32], pole: str) -> NDArray[np.float32]:
    """X and y of each stamp's pole, and of its direction, (n, 4), for stamps (n, b, y, x): see `kernels.polar.find_pole`."""
    found = np.empty((len(stamps), 4), np.float32)
    padded, image, cells, windows, room = _rooms(stamps)
    _poles(stamps, pole == "moments", padded, image, cells, windows, room, found)
    return found


def unwrapped(
    stamps: NDArray[np.float32], angles: int, radii: int, pole: str, *, mirror: bool
) -> NDArray[np.float32]:
    """Polar images (n, b, angles, radii), or twice as many columns with the mirror image: see `kernels.polar.unwrap`."""
    n, bands, height, width = stamps.shape
    turn = np.arange(angles) * (2 * math.pi / angles)
    turns = np.stack([np.cos(turn), np.sin(turn)]).astype(np.float32)
    radius = ((np.arange(radii) + 0.5) * (min(height, width) / 2 / radii)).astype(np.float32)
    polar = np.empty((n, bands, angles, 2 * radii if mirror else radii), np.float32)
    padded, image, cells, windows, room = _rooms(stamps)
    # every pixel beside the one below it: four neighbours lie in a row, and are loaded at once
    columns = np.empty((bands, len(image), 2 * image.shape[1]), np.float32)
    fours = np.ndarray(columns.size // 2 - 1, np.complex128, buffer=columns, strides=(2 * columns.itemsize,))
    places, offs = np.empty(radii, np.uint32), np.empty((2, radii), np.float32)
    _unwrap(
        stamps, pole == "moments", padded, image, cells, windows, room,
        turns, radius, columns, fours, places, offs, np.empty(radii, np.complex128), polar,
    )  # fmt: skip
    return polar


def _rooms(stamps: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Where a stamp is padded, its bands are averaged, and its pole is found."""
    bands, height, width = stamps.shape[1:]
    padded = np.zeros((bands, height + BEYOND, width + BEYOND), np.float32)
    return padded, np.zeros(padded.shape[1:], np.float32), *rooms_of(height, width)


@compiled
def _poles(
    stamps: Any, by_moments: Any, padded: Any, image: Any, cells: Any, windows: Any, room: Any, found: Any
) -> None:
    for i in range(len(stamps)):
        _fill(stamps[i], padded)
        found[i, 0], found[i, 1], found[i, 2], found[i, 3] = pole_of(
            _average(padded, image), by_moments, cells, windows, room
        )


@compiled
def _unwrap(
    stamps: Any, by_moments: Any, padded: Any, image: Any, cells: Any, windows: Any, room: Any,
    turns: Any, radius: Any, columns: Any, fours: Any, places: Any, offs: Any, loaded: Any, polar: Any,
) -> None:  # fmt: skip
    band = np.uint64(padded[0].size)
    for i in range(len(stamps)):
        _fill(stamps[i], padded)
        _pair(padded, columns)
        x, y, c, s = pole_of(_average(padded, image), by_moments, cells, windows, room)
        for k in range(turns.shape[1]):
            across = np.float32(c * turns[0, k] - s * turns[1, k])
            down = np.float32(s * turns[0, k] + c * turns[1, k])
            _place(np.float32(x), np.float32(y), across, down, radius, image, places, offs)
            for b in range(len(padded)):
                values = polar[i, b, k, polar.shape[3] - len(radius) :]
                _load(fours[np.uint64(b) * band :], places, loaded)
                _blend(loaded.view(np.float32), offs[0], offs[1], values)
                if polar.shape[3] > len(radius):
                    _mirror(values, polar[i, b, k, : len(radius)])


@compiled
def _fill(stamp: Any, padded: Any) -> None:
    """One stamp within the zeros around it; what is not finite is zero."""
    bands, height, width = stamp.shape
    for b in range(bands):
        for y in range(height):
            given, kept = stamp[b, y], padded[b, y + 1, 1 : width + 1]
            for x in range(width):
                value = given[x]
                kept[x] = value if -_LARGEST <= value <= _LARGEST else np.float32(0)


@compiled
def _pair(padded: Any, columns: Any) -> None:
    """Each pixel, and the one below it."""
    for b in range(len(padded)):
        for y in range(padded.shape[1] - 1):
            _interleave(padded[b, y], padded[b, y + 1], columns[b, y])


@compiled
def _interleave(here: Any, below: Any, both: Any) -> None:
    for x in range(len(here)):
        both[2 * x] = here[x]
        both[2 * x + 1] = below[x]


@compiled
def _average(padded: Any, mean: Any) -> Any:
    """Mean of the bands, padded as they are; where there is one, it is that."""
    bands = len(padded)
    if bands == 1:
        return padded[0]
    share = np.float32(1 / bands)
    for y in range(len(mean)):
        line = mean[y]
        line[:] = 0
        for b in range(bands):
            given = padded[b, y]
            for x in range(len(line)):
                line[x] += given[x]
        for x in range(len(line)):
            line[x] *= share
    return mean


@compiled
def _place(x: Any, y: Any, across: Any, down: Any, radius: Any, image: Any, places: Any, offs: Any) -> None:
    """Along one ray: the pixel left above each position, and how far off it that is in x and y."""
    nothing, one, line = np.float32(0), np.float32(1), np.int32(image.shape[1])
    last_x, last_y = np.float32(image.shape[1] - 2), np.float32(image.shape[0] - 2)
    off_x, off_y = offs[0], offs[1]
    for j in range(len(radius)):
        at_x = min(max(x + one + across * radius[j], nothing), last_x)
        at_y = min(max(y + one + down * radius[j], nothing), last_y)
        column, row = np.int32(at_x), np.int32(at_y)
        places[j] = np.uint32(row * line + column)
        off_x[j], off_y[j] = at_x - np.float32(column), at_y - np.float32(row)


@compiled
def _load(fours: Any, places: Any, loaded: Any) -> None:
    """The four pixels around each position."""
    for j in range(len(places)):
        loaded[j] = fours[np.uint64(places[j])]


@compiled
def _blend(pixels: Any, off_x: Any, off_y: Any, values: Any) -> None:
    """Their bilinear means."""
    for j in range(len(values)):
        left = pixels[4 * j] + off_y[j] * (pixels[4 * j + 1] - pixels[4 * j])
        right = pixels[4 * j + 2] + off_y[j] * (pixels[4 * j + 3] - pixels[4 * j + 2])
        values[j] = left + off_x[j] * (right - left)


@compiled
def _mirror(values: Any, flipped: Any) -> None:
    for j in range(len(values)):
        flipped[np.uint64(len(values) - 1 - j)] = values[j]
