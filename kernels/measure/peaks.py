"""Peaks of connected light: whether what is measured as one object is two that touch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kernels.measure.compiled import compiled

__all__ = ["shared"]

_PROMINENCE = 3.75  # of the noise of a pixel: ten sigma of the noise of the smoothed image
_CONTRAST = 0.1  # of its own brightness: what a peak rises above its saddle
_COMPARABLE = 0.25  # of the object's light
_LEAST = 0.1  # of it, where the other peak is the brighter one


def shared(smooth: torch.Tensor, central: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Whether connected light has another peak than the object's, with a quarter of its light at least; or a brighter one with a tenth.

    From the brightest pixel down, each joins the region of its brightest neighbour (a watershed). Where two regions meet, the one with the lower peak is
    a part of the other unless that peak is higher than the saddle by 3.75 sigma of a pixel's noise and by a tenth of itself. So a
    clump in a spiral arm is the galaxy's, and a galaxy on another one's wing is not. The object's region is the one at the stamp's middle.

    Parameters
    ----------
    smooth : (n, y, x) float tensor
        Smoothed by a 3 x 3 binomial kernel, see `kernels.measure.segments.Segments`.
    central : (n, y, x) bool tensor
        The connected light.
    noise : (n,) float tensor
        Standard deviation of the sky in a pixel.

    Returns
    -------
    (n,) bool tensor, false where there is no light. Two peaks closer than what the image resolves are one.
    """
    found = np.zeros(len(smooth), np.bool_)
    least = (_PROMINENCE * noise).double().numpy(force=True)
    _shared(smooth.float().numpy(force=True), central.numpy(force=True), least, found)
    return torch.from_numpy(found).to(smooth.device)


@compiled
def _shared(smooth: Any, central: Any, least: Any, found: Any) -> None:
    n, height, width = smooth.shape
    parent = np.empty(height * width, np.int32)
    light, peak = np.empty(height * width), np.empty(height * width, np.float32)
    for i in range(n):
        places = np.flatnonzero(central[i].ravel())
        if places.size == 0:
            continue
        values = smooth[i].ravel()
        parent[:] = -1
        for place in places[np.argsort(-values[places])]:
            _join(values, parent, light, peak, place, width, least[i])
        away_y, away_x = places // width - (height - 1) / 2, places % width - (width - 1) / 2
        own = _top(parent, places[np.argmin(away_y**2 + away_x**2)])
        for place in places:
            share = _LEAST if peak[place] > peak[own] else _COMPARABLE
            if parent[place] == place and place != own and light[place] >= share * light[own]:
                found[i] = True
                break


@compiled
def _join(values: Any, parent: Any, light: Any, peak: Any, place: int, width: int, least: float) -> None:
    """Give a pixel to the region of its brightest neighbour, or a region of its own; and let the regions that meet there be one, if they are."""
    height = len(values) // width
    y, x = divmod(place, width)
    first_y, last_y, first_x, last_x = max(y - 1, 0), min(y + 2, height), max(x - 1, 0), min(x + 2, width)
    value = values[place]
    brightest = -1
    for row in range(first_y * width, last_y * width, width):
        for near in range(row + first_x, row + last_x):
            if parent[near] >= 0 and (brightest < 0 or values[near] > values[brightest]):
                brightest = near
    if brightest < 0:
        parent[place], light[place], peak[place] = place, value, value
        return
    top = _top(parent, brightest)
    light[top] += value
    for row in range(first_y * width, last_y * width, width):
        for near in range(row + first_x, row + last_x):
            if parent[near] < 0 or parent[near] == top:
                continue
            other = _top(parent, near)
            low, high = (other, top) if peak[other] < peak[top] else (top, other)
            if low != high and peak[low] - value < max(least, _CONTRAST * peak[low]):
                parent[low], top = high, high
                light[high] += light[low]
    parent[place] = top


@compiled
def _top(parent: Any, place: int) -> int:
    """The peak of a pixel's region."""
    while parent[place] != place:
        parent[place] = parent[parent[place]]
        place = parent[place]
    return place
