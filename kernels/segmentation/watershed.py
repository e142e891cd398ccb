"""Deblending: light that touches is parted where it has several peaks, as by a watershed."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compiled import compiled

__all__ = ["part", "spread"]

_PROMINENCE = 3.75  # of the noise of a pixel: ten sigma of the noise of the smoothed image
_CONTRAST = 0.1  # of its own brightness: what a peak rises above its saddle
_SHARE = 0.05  # of the object's light: what a fainter peak has above its saddle
_NEAR = 2.0  # pixels
_HALF = 0.5  # of a pixel's light


@compiled
def part(smooth: Any, lit: Any, noise: float, owner: Any) -> int:
    """Part the lit pixels of one stamp into regions, each around a peak.

    From the brightest pixel down, each joins the region of its brightest neighbour (a watershed). Where two regions meet, the one with the lower peak is
    a part of the other unless that peak is higher than the saddle by 3.75 sigma of a pixel's noise and by a tenth of itself. The object's region
    is the one at the stamp's middle; what touches it and is neither brighter nor has 5 % of its light above the saddle is a part of it, as a clump in a spiral arm.

    Parameters
    ----------
    smooth : (y, x) float32 array
        The light, smoothed.
    lit : (y, x) bool array
        Pixels to part.
    noise : float
        Standard deviation of the sky in a pixel, before smoothing.
    owner : (y, x) int32 array
        Is filled with the region of each lit pixel, named after the place y * width + x of its peak; -1 elsewhere.

    Returns
    -------
    int
        The object's region; -1 where nothing is lit.
    """
    values, parent = smooth.ravel(), owner.ravel()
    parent[:] = -1
    places = np.flatnonzero(lit.ravel())
    if places.size == 0:
        return -1
    peak = np.empty(values.size, np.float32)
    width = smooth.shape[1]
    for place in places[np.argsort(-values[places])]:
        _join(values, parent, peak, place, width, _PROMINENCE * noise)
    for place in places:
        parent[place] = top(parent, int(place))
    own = _central(parent, places, smooth.shape)
    while _absorb(values, parent, places, own, width):
        pass
    return own


@compiled
def spread(smooth: Any, owner: Any, own: int) -> None:
    """Give the object those pixels of regions that touch it of which half the light is its own: as much as it has where they are turned to about its peak.

    A watershed parts light along its valleys, and a star on a disc would take a piece of the disc along.

    Parameters
    ----------
    smooth, owner : (y, x) arrays
        See `part`; the owners are changed.
    own : int
        The object's region.
    """
    height, width = smooth.shape
    waiting = np.empty(height * width, np.int32)
    count = 0
    before = owner == own
    for place in np.flatnonzero(before.ravel()):
        waiting[count] = place
        count += 1
    while count:
        count -= 1
        y, x = divmod(waiting[count], width)
        for to_y in range(max(y - 1, 0), min(y + 2, height)):
            for to_x in range(max(x - 1, 0), min(x + 2, width)):
                if owner[to_y, to_x] < 0 or owner[to_y, to_x] == own:
                    continue
                turned_y, turned_x = 2 * (own // width) - to_y, 2 * (own % width) - to_x
                if not (0 <= turned_y < height and 0 <= turned_x < width) or not before[turned_y, turned_x]:
                    continue
                if smooth[turned_y, turned_x] >= _HALF * smooth[to_y, to_x]:
                    owner[to_y, to_x] = own
                    waiting[count] = to_y * width + to_x
                    count += 1


@compiled
def _central(parent: Any, places: Any, shape: Any) -> int:
    """The region with the peak nearest to the stamp's middle, if that is within two pixels; else the region of the pixel nearest to it."""
    height, width = shape
    y, x = places // width - (height - 1) / 2, places % width - (width - 1) / 2
    away = y**2 + x**2
    peaks = np.where(parent[places] == places, away, np.inf)
    if peaks.min() <= _NEAR**2:
        return places[np.argmin(peaks)]
    return parent[places[np.argmin(away)]]


@compiled
def _absorb(values: Any, parent: Any, places: Any, own: int, width: int) -> bool:
    """Give regions to the object that are a part of it; whether there were any."""
    saddle = np.full(values.size, -np.inf, np.float32)  # of the region with this peak
    light = 0.0
    for place in places:
        if parent[place] != own:
            continue
        light += values[place]
        y, x = divmod(place, width)
        for row in range(max(y - 1, 0) * width, min(y + 2, len(values) // width) * width, width):
            for near in range(row + max(x - 1, 0), row + min(x + 2, width)):
                other = parent[near]
                if other >= 0 and other != own:
                    saddle[other] = max(saddle[other], min(values[place], values[near]))
    above = np.zeros(values.size)
    for place in places:
        above[parent[place]] += max(values[place] - saddle[parent[place]], 0.0)
    found = False
    for place in places:
        other = parent[place]
        if other == own or saddle[other] == -np.inf or values[other] > values[own]:
            continue
        if above[other] < _SHARE * light:
            parent[place], found = own, True
    return found


@compiled
def _join(values: Any, parent: Any, peak: Any, place: int, width: int, least: float) -> None:
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
        parent[place], peak[place] = place, value
        return
    own = top(parent, brightest)
    for row in range(first_y * width, last_y * width, width):
        for near in range(row + first_x, row + last_x):
            if parent[near] < 0 or parent[near] == own:
                continue
            other = top(parent, near)
            low, high = (other, own) if peak[other] < peak[own] else (own, other)
            if low != high and peak[low] - value < max(least, _CONTRAST * peak[low]):
                parent[low], own = high, high
    parent[place] = own


@compiled
def top(parent: Any, place: int) -> int:
    """The peak of a pixel's region."""
    while parent[place] != place:
        parent[place] = parent[parent[place]]
        place = parent[place]
    return place
