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
def part(light: Any, noise: Any, region: Any, saddle: Any, beyond: Any) -> int:
    """Part the lit pixels of one stamp into regions, each around a peak.

    Every pixel belongs to the peak that the steepest way up leads to (a watershed). A region becomes a part of the one beyond its highest saddle, if
    that one has the higher peak, unless it is higher than the saddle by 3.75 sigma of a pixel's noise and by a tenth of itself. The object's region
    is the one at the stamp's middle; what touches it and is neither brighter nor has 5 % of its light above the saddle is a part of it, as a clump in a spiral arm.

    Parameters
    ----------
    light : (y + 2, x + 2) float32 array
        The light, smoothed; -inf where it is not lit, and in a frame of one pixel.
    noise : (y + 2, x + 2) or (1, 1) float64 array
        Standard deviation of the sky in each pixel or in all, before smoothing; it counts at peaks.
    region : (y + 2, x + 2) int32 array
        Is filled with the region of each lit pixel, named after the place of its peak in `light.ravel()`; -1 elsewhere.
    saddle, beyond : ((y + 2) * (x + 2),) float32 and int32 arrays
        For work.

    Returns
    -------
    int
        The object's region; -1 where nothing is lit.
    """
    values, regions, levels = light.ravel(), region.ravel(), noise.ravel()
    height, width = light.shape
    regions[:] = -1
    places = _lit(values)
    if places.size == 0:
        return -1
    for place in places:
        regions[place] = _steepest(values, place, width)
    _settle(regions, places)
    peaks, borders = _peaks(regions, places), _borders(regions, places, width)
    while _merge(values, regions, peaks, saddle, beyond, borders, levels):
        borders = _still(borders, regions)
    _settle(regions, places)
    own, above = _central(regions, places, height, width), np.empty(values.size)
    while _absorb(values, regions, places, peaks, saddle, above, own, borders):
        pass
    return own


@compiled
def spread(light: Any, region: Any, own: int) -> None:
    """Give the object those pixels of regions that touch it of which half the light is its own: as much as it has where they are turned to about its peak.

    A watershed parts light along its valleys, and a star on a disc would take a piece of the disc along.

    Parameters
    ----------
    light, region : arrays
        See `part`; the regions are changed.
    own : int
        The object's region.
    """
    width = light.shape[1]
    values, regions = light.ravel(), region.ravel()
    before = regions == own
    waiting = np.empty(values.size, np.int32)
    count = 0
    for place in range(values.size):
        if regions[place] >= 0 and not before[place]:
            for step in (-width - 1, -width, 1 - width, -1, 1, width - 1, width, width + 1):
                if before[place + step]:
                    count = _hand_over(values, regions, before, place, own, width, waiting, count)
                    break
    while count:
        count -= 1
        place = waiting[count]
        for step in (-width - 1, -width, 1 - width, -1, 1, width - 1, width, width + 1):
            if regions[place + step] >= 0:
                count = _hand_over(values, regions, before, place + step, own, width, waiting, count)


@compiled
def _hand_over(
    values: Any, regions: Any, before: Any, place: int, own: int, width: int, waiting: Any, count: int
) -> int:
    """Give the object a pixel of another region, if half of its light is the object's, and let it wait for its neighbours' turn; how many wait."""
    x, turned = 2 * (own % width) - place % width, 2 * own - place
    shown = 0 <= x < width and 0 <= turned < values.size and before[turned]
    if regions[place] == own or not shown or values[turned] < _HALF * values[place]:
        return count
    regions[place] = own
    waiting[count] = place
    return count + 1


@compiled
def _lit(values: Any) -> Any:
    """Places of lit pixels, ascending."""
    places = np.empty(values.size, np.int32)
    count = 0
    for place in range(values.size):
        places[count] = place
        count += values[place] > -np.inf
    return places[:count]


@compiled
def _steepest(values: Any, place: int, width: int) -> int:
    """The brightest of a pixel and those around it; of equal ones the last."""
    best = place
    for step in (-width - 1, -width, 1 - width, -1):
        if values[place + step] > values[best]:
            best = place + step
    for step in (1, width - 1, width, width + 1):
        if values[place + step] >= values[best]:
            best = place + step
    return best


@compiled
def _settle(regions: Any, places: Any) -> None:
    """Let every pixel name its region's peak itself."""
    for place in places:
        peak = regions[place]
        while regions[peak] != peak:
            peak = regions[peak]
        step = place
        while regions[step] != peak:  # and all on the way
            regions[step], step = peak, regions[step]


@compiled
def _peaks(regions: Any, places: Any) -> Any:
    """Places of the regions' peaks, in the places' order."""
    peaks, count = np.empty_like(places), 0
    for place in places:
        peaks[count] = place
        count += regions[place] == place
    return peaks[:count]


@compiled
def _borders(regions: Any, places: Any, width: int) -> Any:
    """Pairs (k, 2) of places that touch and are of two regions, in the places' order."""
    pairs = np.empty((4 * places.size, 2), np.int32)
    count = 0
    for place in places:
        for step in (1, width - 1, width, width + 1):
            other = regions[place + step]
            if other >= 0 and other != regions[place]:
                pairs[count, 0], pairs[count, 1] = place, place + step
                count += 1
    return pairs[:count]


@compiled
def _still(borders: Any, regions: Any) -> Any:
    """The borders that still are some, in their order; the regions of peaks alone need be settled."""
    count = 0
    for k in range(len(borders)):
        if regions[regions[borders[k, 0]]] != regions[regions[borders[k, 1]]]:
            borders[count, 0], borders[count, 1] = borders[k, 0], borders[k, 1]
            count += 1
    return borders[:count]


@compiled
def _merge(values: Any, regions: Any, peaks: Any, saddle: Any, beyond: Any, borders: Any, noise: Any) -> bool:
    """Let regions be a part of the one beyond their highest saddle, if they are; whether any was. The regions of peaks alone are settled."""
    _saddles(values, regions, peaks, saddle, beyond, borders)
    found = False
    for place in peaks:
        if regions[place] != place or saddle[place] == -np.inf:
            continue
        other = beyond[place]
        higher = values[other] > values[place] or (values[other] == values[place] and other > place)
        least = max(_PROMINENCE * noise[min(place, noise.size - 1)], _CONTRAST * values[place])
        if higher and values[place] - saddle[place] < least:
            regions[place], found = other, True
    if found:
        _settle(regions, peaks)
    return found


@compiled
def _saddles(values: Any, regions: Any, peaks: Any, saddle: Any, beyond: Any, borders: Any) -> None:
    """Fill in, at each region's peak, its highest saddle to another one, and to which; -inf where it touches none."""
    for place in peaks:
        saddle[place], beyond[place] = -np.inf, -1
    for k in range(len(borders)):
        one, two = borders[k]
        own, other = regions[regions[one]], regions[regions[two]]
        if own != other:
            lower = min(values[one], values[two])
            if lower > saddle[own]:
                saddle[own], beyond[own] = lower, other
            if lower > saddle[other]:
                saddle[other], beyond[other] = lower, own


@compiled
def _central(regions: Any, places: Any, height: int, width: int) -> int:
    """The region with the peak nearest to the stamp's middle, if that is within two pixels; else the region of the pixel nearest to it."""
    nearest, nearest_peak = np.inf, np.inf
    own, own_peak = -1, -1
    y = 0
    for place in places:
        while place >= (y + 1) * width:
            y += 1
        x = place - y * width
        away = (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2
        if away < nearest:
            nearest, own = away, regions[place]
        if regions[place] == place and away < nearest_peak:
            nearest_peak, own_peak = away, place
    return own_peak if nearest_peak <= _NEAR**2 else own


@compiled
def _absorb(
    values: Any, regions: Any, places: Any, peaks: Any, saddle: Any, above: Any, own: int, borders: Any
) -> bool:
    """Give regions to the object that are a part of it; whether there were any."""
    for peak in peaks:
        saddle[peak], above[peak] = -np.inf, 0
    if not _touching(values, regions, saddle, own, borders):
        return False
    light = 0.0
    for place in places:
        if regions[place] == own:
            light += values[place]
        else:
            above[regions[place]] += max(values[place] - saddle[regions[place]], 0.0)
    found = False
    for peak in peaks:
        part = regions[peak] == peak != own and saddle[peak] > -np.inf and values[peak] <= values[own]
        if part and above[peak] < _SHARE * light:
            regions[peak], found = own, True
    if found:
        _settle(regions, places)
    return found


@compiled
def _touching(values: Any, regions: Any, saddle: Any, own: int, borders: Any) -> bool:
    """Fill in, at each region's peak, its highest saddle to the object's region, where it touches it; whether any does."""
    touched = False
    for k in range(len(borders)):
        one, two = borders[k]
        if (regions[one] == own) != (regions[two] == own):
            other = regions[two] if regions[one] == own else regions[one]
            saddle[other] = max(saddle[other], min(values[one], values[two]))
            touched = True
    return touched
