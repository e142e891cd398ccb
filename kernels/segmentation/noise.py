"""The sky's noise in a stamp, from pixels that show no object."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from kernels.compiled import compiled
from kernels.segmentation.selection import marked, median, thinned

__all__ = ["deviation", "frame", "frame_deviation", "frame_deviations", "grow", "near", "sky_deviation"]

_SIGMA_PER_MAD = 1.482602218505602
_ENOUGH = 4096  # pixels that a deviation is estimated from, to one percent
_FRAME = 2  # pixels
_LEAST_SKY = 0.05  # of the stamp
_FEW = 512  # pixels, about: to four percent


def frame(bad: torch.Tensor) -> torch.Tensor:
    """Good pixels (n, y, x) bool next to bad ones, or to the stamp's border."""
    return near(bad, _FRAME, beyond=True) & ~bad


def near(where: torch.Tensor, reach: int, *, beyond: bool) -> torch.Tensor:
    """Pixels (n, y, x) bool with one of `where` at most so far away in x and in y; `beyond` says what is outside the stamp."""
    found = functional.pad(where, (reach,) * 4, value=beyond)
    for axis in (1, 2):
        side = where.shape[axis]
        shifts = (found.narrow(axis, first, side) for first in range(2 * reach + 1))
        found = functools.reduce(torch.logical_or, shifts)
    return found


def deviation(images: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Robust standard deviation (n,) float64 of some pixels, 1.4826 MAD; 0 where there are none."""
    found = np.zeros(len(images))
    _deviations(images.contiguous().numpy(force=True), where.contiguous().numpy(force=True), found)
    return torch.from_numpy(found).to(images.device) * _SIGMA_PER_MAD


@compiled
def _deviations(images: Any, where: Any, found: Any) -> None:
    """Fill in the median absolute deviations."""
    n, height, width = images.shape
    places = np.empty(height * width, np.int32)
    for i in range(n):
        count = 0
        for y in range(height):
            for x in range(width):
                places[count] = y * width + x
                count += where[i, y, x]
        found[i] = _middle_deviation(images[i].ravel(), places[:count], 1 + count // _ENOUGH)


@compiled
def frame_deviations(stamps: Any, bad: Any, found: Any) -> None:
    """Fill in (n, b) the same as `deviation` on `frame`, of each band of stamps (n, b, y, x)."""
    for i in range(len(stamps)):
        for band in range(stamps.shape[1]):
            found[i, band] = frame_deviation(stamps[i, band], bad[i, band])


@compiled
def frame_deviation(image: Any, bad: Any) -> float:
    """The same as `deviation` on `frame`, of one image (y, x)."""
    height, width = image.shape
    marks, line = np.zeros((height, width), np.uint8), np.zeros(width, np.uint8)
    if _are_any(bad, line):
        grow(bad.view(np.uint8), marks, line, _FRAME)
    for y in range(height):
        row, lost, edge = marks[y], bad[y].view(np.uint8), not _FRAME <= y < height - _FRAME
        for x in range(width):
            row[x] = (row[x] | edge | (x < _FRAME) | (x >= width - _FRAME)) & (lost[x] ^ 1)
    places = np.empty(marks.size, np.int32)
    count = marked(marks.ravel(), places)
    return _SIGMA_PER_MAD * _middle_deviation(image.ravel(), places[:count], 1 + count // _ENOUGH)


@compiled
def sky_deviation(image: Any, sky: Any, places: Any) -> float:
    """The same as `deviation` on the pixels of the sky (y, x) uint8; 0 where these are few. Of many a part will do. `places` (y * x,) is for work."""
    marks, count = sky.ravel(), 0
    for k in range(marks.size):
        count += marks[k]
    if count < _LEAST_SKY * marks.size:
        return 0.0
    some = thinned(marks, 1 + count // _FEW, places)
    return _SIGMA_PER_MAD * _middle_deviation(image.ravel(), places[:some], 1)


@compiled
def _are_any(where: Any, line: Any) -> bool:
    """Whether there are any pixels (y, x) bool; `line` (x,), of zeros, is for work."""
    height, width = where.shape
    for y in range(height):
        row = where[y].view(np.uint8)
        for x in range(width):
            line[x] |= row[x]
    found = 0
    for x in range(width):
        found |= line[x]
    return found > 0


@compiled
def _middle_deviation(pixels: Any, places: Any, step: int) -> float:
    """Median absolute deviation of the pixels (k,) at every step-th place. 0 where there are none."""
    if places.size == 0:
        return 0.0
    some = np.empty((places.size - 1) // step + 1, np.float32)
    for k in range(some.size):
        some[k] = pixels[places[k * step]]
    middle = median(some, some.size)
    away = np.empty(some.size)
    for k in range(some.size):
        away[k] = abs(some[k] - middle)
    return median(away, away.size)


@compiled
def grow(where: Any, grown: Any, line: Any, reach: int) -> None:
    """Fill in ones, else zeros, at the pixels with one of `where` (y, x) at most so far away in x and in y; `line` (x,) is for work. All are uint8: compilers make vectors of bytes, not of truths."""
    height, width = where.shape
    grown[:] = 0
    for y in range(height):
        line[:] = 0
        row = where[y]
        for away in range(min(reach, width - 1) + 1):
            # slices from zero on: an index that might be negative is looked at one by one
            ahead, behind = row[away:], line[: width - away]
            for x in range(ahead.size):
                behind[x] |= ahead[x]
            ahead, behind = row[: width - away], line[away:]
            for x in range(ahead.size):
                behind[x] |= ahead[x]
        for to_y in range(max(y - reach, 0), min(y + reach + 1, height)):
            to = grown[to_y]
            for x in range(width):
                to[x] |= line[x]
