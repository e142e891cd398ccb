"""The sky's noise in a stamp, from pixels that show no object."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from kernels.compiled import compiled
from kernels.segmentation.selection import median

__all__ = ["deviation", "frame", "frame_deviation", "near", "sky_deviation"]

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
    _deviations(images.numpy(force=True), where.numpy(force=True), found)
    return torch.from_numpy(found).to(images.device) * _SIGMA_PER_MAD


@compiled
def _deviations(images: Any, where: Any, found: Any) -> None:
    """Fill in the median absolute deviations."""
    n, height, width = images.shape
    values = np.empty(height * width, np.float32)
    for i in range(n):
        count = 0
        for y in range(height):
            for x in range(width):
                if where[i, y, x]:
                    values[count] = images[i, y, x]
                    count += 1
        found[i] = _middle_deviation(values, count, _ENOUGH)


@compiled
def frame_deviation(image: Any, bad: Any) -> float:
    """The same as `deviation` on `frame`, of one image (y, x)."""
    height, width = image.shape
    values = np.empty(height * width, np.float32)
    count, holes = 0, bad.any()
    for y in range(height):
        inner = _FRAME <= y < height - _FRAME and not holes
        for x in range(width):
            if inner and x == _FRAME:
                break
            if _on_frame(bad, y, x):
                values[count] = image[y, x]
                count += 1
        if inner:
            for x in range(max(width - _FRAME, _FRAME), width):
                values[count] = image[y, x]
                count += 1
    return _SIGMA_PER_MAD * _middle_deviation(values, count, _ENOUGH)


@compiled
def sky_deviation(image: Any, bad: Any, light: Any) -> float:
    """The same as `deviation` on the pixels (y, x) that are neither bad nor lit (y + 2, x + 2; see `kernels.segmentation.watershed`); 0 where these are few. Of many a part will do."""
    height, width = image.shape
    values = np.empty(height * width, np.float32)
    count = 0
    for y in range(height):
        for x in range(width):
            if not light[y + 1, x + 1] > -np.inf and not bad[y, x]:
                values[count] = image[y, x]
                count += 1
    if count < _LEAST_SKY * values.size:
        return 0.0
    return _SIGMA_PER_MAD * _middle_deviation(values, count, _FEW)


@compiled
def _middle_deviation(values: Any, count: int, enough: int) -> float:
    """Median absolute deviation of the first values; of many more than `enough` a part will do. 0 where there are none."""
    if count == 0:
        return 0.0
    some = values[: count : 1 + count // enough].copy()
    middle = median(some, some.size)
    away = np.empty(some.size)
    for i in range(some.size):
        away[i] = abs(some[i] - middle)
    return median(away, away.size)


@compiled
def _on_frame(bad: Any, y: int, x: int) -> bool:
    height, width = bad.shape
    if bad[y, x]:
        return False
    for to_y in range(y - _FRAME, y + _FRAME + 1):
        for to_x in range(x - _FRAME, x + _FRAME + 1):
            if not (0 <= to_y < height and 0 <= to_x < width) or bad[to_y, to_x]:
                return True
    return False
