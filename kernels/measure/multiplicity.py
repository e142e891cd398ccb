"""Multiplicity: whether light lies in several clumps, or as compactly as it could."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.measure.boxes import box_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["multiplicity"]

_SIDE = 40  # pixels a side of the box around a region: of larger ones, means of so many pixels a side are looked at that it has no more


def multiplicity(images: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
    """Psi (Law et al. 2007, ApJ 656, 1, eqs. 5 to 7): how much potential energy light would gain by being brought together.

        Psi = 100 log10(psi_compact / psi),  psi = sum over pairs of pixels of X_i X_j / r_ij

    where for psi_compact the same pixel values lie around one place, the brightest inside.

    Parameters
    ----------
    images : (n, y, x) float tensor
    region : (n, y, x) bool tensor
        Pixels that count where they are positive. Of regions wider or higher than 40 pixels, means of 2 x 2, 3 x 3... pixels count.

    Returns
    -------
    (n,) float64 tensor: near 0 for light around one centre, above some 5 for several. NaN for fewer than two pixels, or where a sum is not positive.
    """
    found = np.full(len(images), np.nan)
    _multiplicities(images.float().numpy(force=True), region.numpy(force=True), _inside_out(), found)
    return torch.from_numpy(found).to(images.device)


@functools.cache
def _inside_out() -> NDArray[np.int32]:
    """Places (k, 2) around (0, 0), y and x, by their distance; of equal ones row by row."""
    reach = _SIDE
    line = np.arange(-reach, reach + 1)
    y, x = (axis.ravel() for axis in np.meshgrid(line, line, indexing="ij"))
    order = np.lexsort((x, y, x * x + y * y))[: _SIDE * _SIDE]
    return np.stack([y[order], x[order]], axis=1).astype(np.int32)


@compiled
def _multiplicities(images: Any, region: Any, places: Any, found: Any) -> None:
    for i in range(len(images)):
        top, bottom, left, right = box_of(region[i])
        if bottom == 0:
            continue
        step = (max(bottom - top, right - left) + _SIDE - 1) // _SIDE
        rows, columns = (bottom - top + step - 1) // step, (right - left + step - 1) // step
        light, count = np.zeros((rows, columns), np.float32), np.zeros((rows, columns), np.int32)
        for y in range(top, bottom):
            for x in range(left, right):
                if region[i, y, x] and images[i, y, x] > 0:
                    light[(y - top) // step, (x - left) // step] += images[i, y, x]
                    count[(y - top) // step, (x - left) // step] += 1
        values = np.sort(-light.ravel()[count.ravel() > 0])
        if values.size < 2:
            continue
        far = 0
        for k in range(values.size):
            far = max(far, abs(places[k, 0]), abs(places[k, 1]))
        together = np.zeros((2 * far + 1, 2 * far + 1), np.float32)
        for k in range(values.size):
            together[places[k, 0] + far, places[k, 1] + far] = -values[k]
        as_it_is, compact = _energy(light), _energy(together)
        if as_it_is > 0 and compact > 0:
            found[i] = 100 * np.log10(compact / as_it_is)


@compiled
def _energy(light: Any) -> float:
    """Twice the sum over pairs of pixels (y, x)."""
    height, width = light.shape
    brightest = np.abs(light).max()
    if not brightest > 0:
        return 0.0
    light = light / brightest
    near, total = np.empty(2 * width - 1, np.float32), 0.0
    for dy in range(height):
        for k in range(2 * width - 1):
            away = np.sqrt(float(dy * dy + (k - width + 1) ** 2))
            near[k] = 1 / away if away > 0 else 0
        for y in range(height - dy):
            lines = _line(light[y], light[y + dy], near)
            total += lines if dy == 0 else 2 * lines
    return total * brightest * brightest


@compiled
def _line(one: Any, other: Any, near: Any) -> float:
    """Sum over the pixels of two lines (x,) of their products times what is for their distance along x (2 x - 1,)."""
    size, total = one.size, 0.0
    # the potential at each pixel of the other line: in an order of its own, see `compiled`
    potential = np.zeros(size, np.float32)
    for x in range(size):
        if one[x] == 0:
            continue
        part, weights = one[x], near[size - 1 - x : 2 * size - 1 - x]
        for k in range(size):
            potential[k] += part * weights[k]
    for k in range(size):
        total += float(potential[k]) * float(other[k])
    return total
