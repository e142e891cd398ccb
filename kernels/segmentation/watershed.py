"""Deblending: light that touches is parted where it has several peaks, as by a watershed."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compiled import compiled
from kernels.segmentation.selection import marked

__all__ = ["part"]

_PROMINENCE = 3.75  # of the noise of a pixel: ten sigma of the noise of the smoothed image
_CONTRAST = 0.1  # of its own brightness: what a peak rises above its saddle
_SHARE = 0.05  # of the object's light: what a fainter peak has above its saddle
_NEAR = 2.0  # pixels
_OURS, _ASKED = 1, 2  # the object's; of a region that may become it


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
    values, regions, levels, (height, width) = light.ravel(), region.ravel(), noise.ravel(), light.shape
    marks = np.zeros(light.shape, np.uint8)
    _climb(light, region, marks)
    places = np.empty(values.size, np.int32)
    places = places[: marked(marks.ravel(), places)]
    if places.size == 0:
        return -1
    _settle(regions, places)
    # from here on regions are numbered, in the order of their peaks' places
    numbers, peaks = np.empty(places.size, np.int32), _peaks(regions, places, beyond)
    lights = np.empty(places.size, np.float32)
    for k in range(places.size):
        numbers[k], lights[k] = beyond[regions[places[k]]], values[places[k]]
    heights, least = np.empty(peaks.size, np.float32), np.empty(peaks.size)
    for k in range(peaks.size):
        heights[k] = values[peaks[k]]
        least[k] = max(_PROMINENCE * levels[min(peaks[k], levels.size - 1)], _CONTRAST * heights[k])
    _mark_borders(region, marks)
    pairs, lower = _borders(values, regions, marks.ravel(), beyond, width)
    owners, saddles = np.empty(peaks.size, np.int32), saddle[: peaks.size]
    for k in range(peaks.size):
        owners[k] = k
    while _merge(owners, heights, least, saddles, beyond, pairs, lower):
        pairs, lower = _still(pairs, lower, owners)
    own = _central(owners, peaks, numbers, places, height, width)
    _absorb(owners, heights, numbers, lights, saddles, own, pairs, lower)
    for k in range(places.size):
        regions[places[k]] = peaks[owners[numbers[k]]]
    return peaks[own]


@compiled
def _climb(light: Any, region: Any, lit: Any) -> None:
    """Fill in for each pixel the place of the brightest of it and those around it, of equal ones the last, -1 where it is dark; and ones, of zeros, where it is lit."""
    height, width = light.shape
    region[:] = -1
    dark, still, left, right = np.float32(-np.inf), np.int32(0), np.int32(-1), np.int32(1)
    up_left, up, up_right = np.int32(-width - 1), np.int32(-width), np.int32(1 - width)
    down_left, down, down_right = np.int32(width - 1), np.int32(width), np.int32(width + 1)
    for y in range(1, height - 1):
        above, here, below = light[y - 1], light[y], light[y + 1]
        to, shines, first = region[y, 1 : width - 1], lit[y, 1 : width - 1], y * width + 1
        middle_above, middle, middle_below = above[1 : width - 1], here[1 : width - 1], below[1 : width - 1]
        right_above, at_right, right_below = above[2:], here[2:], below[2:]
        for x in range(to.size):
            own = middle[x]
            best, step = (above[x], up_left) if above[x] > own else (own, still)
            best, step = (middle_above[x], up) if middle_above[x] > best else (best, step)
            best, step = (right_above[x], up_right) if right_above[x] > best else (best, step)
            best, step = (here[x], left) if here[x] > best else (best, step)
            best, step = (at_right[x], right) if at_right[x] >= best else (best, step)
            best, step = (below[x], down_left) if below[x] >= best else (best, step)
            best, step = (middle_below[x], down) if middle_below[x] >= best else (best, step)
            step = down_right if right_below[x] >= best else step
            shines[x] = own > dark
            to[x] = first + x + step if own > dark else -1


@compiled
def _settle(regions: Any, places: Any) -> None:
    """Let every pixel name its region's peak itself."""
    for k in range(places.size - 1, -1, -1):  # most ways up lead down first: these are short then
        regions[places[k]] = regions[regions[places[k]]]
    for place in places:
        peak = regions[place]
        while regions[peak] != peak:
            peak = regions[peak]
        step = place
        while regions[step] != peak:  # and all on the way
            regions[step], step = peak, regions[step]


@compiled
def _peaks(regions: Any, places: Any, numbers: Any) -> Any:
    """Places of the regions' peaks, in the places' order; fills in their numbers, at these places."""
    peaks, count = np.empty_like(places), 0
    for place in places:
        peaks[count] = place
        count += regions[place] == place
    for k in range(count):
        numbers[peaks[k]] = k
    return peaks[:count]


@compiled
def _mark_borders(region: Any, marks: Any) -> None:
    """Fill in ones, else zeros, where a pixel and one after it that it touches are of two regions; but in the frame."""
    height, width = region.shape
    for y in range(1, height - 1):
        here, right, to = region[y, 1 : width - 1], region[y, 2:], marks[y, 1 : width - 1]
        below, below_left, below_right = (
            region[y + 1, 1 : width - 1],
            region[y + 1, : width - 2],
            region[y + 1, 2:],
        )
        for x in range(width - 2):
            own = here[x]
            parted = (right[x] >= 0) & (right[x] != own)
            parted |= (below_left[x] >= 0) & (below_left[x] != own)
            parted |= (below[x] >= 0) & (below[x] != own)
            parted |= (below_right[x] >= 0) & (below_right[x] != own)
            to[x] = parted & (own >= 0)


@compiled
def _borders(values: Any, regions: Any, marks: Any, numbers: Any, width: int) -> Any:
    """Pairs (k, 2) of regions where two pixels of theirs touch, in the order of places, and the lower light (k,) of the two."""
    places = np.empty(marks.size, np.int32)
    places = places[: marked(marks, places)]
    pairs, lower = np.empty((4 * places.size, 2), np.int32), np.empty(4 * places.size, np.float32)
    count = 0
    for place in places:
        for step in (1, width - 1, width, width + 1):
            other = regions[place + step]
            if other >= 0 and other != regions[place]:
                pairs[count, 0], pairs[count, 1] = numbers[regions[place]], numbers[other]
                lower[count] = min(values[place], values[place + step])
                count += 1
    return pairs[:count], lower[:count]


@compiled
def _still(pairs: Any, lower: Any, owners: Any) -> Any:
    """The borders that still are some, of their owners, in their order."""
    count = 0
    for k in range(len(lower)):
        one, two, light = owners[pairs[k, 0]], owners[pairs[k, 1]], lower[k]
        pairs[count, 0], pairs[count, 1], lower[count] = one, two, light
        count += one != two
    return pairs[:count], lower[:count]


@compiled
def _merge(owners: Any, heights: Any, least: Any, saddles: Any, beyond: Any, pairs: Any, lower: Any) -> bool:
    """Let regions be a part of the one beyond their highest saddle, if they are; whether any was. The borders are those of owners."""
    _saddles(saddles, beyond, pairs, lower)
    found = False
    for k in range(owners.size):
        if owners[k] != k or saddles[k] == -np.inf:
            continue
        other = beyond[k]
        higher = heights[other] > heights[k] or (heights[other] == heights[k] and other > k)
        if higher and heights[k] - saddles[k] < least[k]:
            owners[k], found = other, True
    if found:
        _follow(owners)
    return found


@compiled
def _follow(owners: Any) -> None:
    """Let every region name the owner that has none itself."""
    for k in range(owners.size):
        owner = owners[k]
        while owners[owner] != owner:
            owner = owners[owner]
        owners[k] = owner


@compiled
def _saddles(saddles: Any, beyond: Any, pairs: Any, lower: Any) -> None:
    """Fill in each region's highest saddle to another one, and to which; -inf where it touches none."""
    saddles[:] = -np.inf
    for k in range(len(lower)):
        one, two, light = pairs[k, 0], pairs[k, 1], lower[k]
        if light > saddles[one]:
            saddles[one], beyond[one] = light, two
        if light > saddles[two]:
            saddles[two], beyond[two] = light, one


@compiled
def _central(owners: Any, peaks: Any, numbers: Any, places: Any, height: int, width: int) -> int:
    """The region with the peak nearest to the stamp's middle, if that is within two pixels; else the region of the pixel nearest to it."""
    nearest, own = np.inf, -1
    for k in range(peaks.size):
        away = _away(peaks[k], height, width)
        if owners[k] == k and away < nearest:
            nearest, own = away, k
    if nearest <= _NEAR**2:
        return own
    nearest = np.inf
    for k in range(places.size):
        away = _away(places[k], height, width)
        if away < nearest:
            nearest, own = away, owners[numbers[k]]
    return own


@compiled
def _away(place: int, height: int, width: int) -> float:
    """How far a place is from the stamp's middle, squared."""
    y = place // width
    return (y - (height - 1) / 2) ** 2 + (place - y * width - (width - 1) / 2) ** 2


@compiled
def _absorb(
    owners: Any, heights: Any, numbers: Any, lights: Any, saddles: Any, own: int, pairs: Any, lower: Any
) -> None:
    """Give regions to the object that are a part of it."""
    roles, above = np.zeros(owners.size, np.uint8), np.empty(owners.size)
    summed = np.empty(owners.size, np.float32)  # the saddles that `above` is of
    summed[:] = np.nan
    while True:
        pairs, lower = _still(pairs, lower, owners)
        if not _touching(saddles, own, pairs, lower):
            return
        for k in range(owners.size):
            owner = owners[k]
            asked = (
                saddles[owner] > -np.inf
                and heights[owner] <= heights[own]
                and saddles[owner] != summed[owner]
            )
            roles[k] = _OURS if owner == own else _ASKED if asked else 0
        for k in range(owners.size):
            if owners[k] == k and roles[k] == _ASKED:
                summed[k], above[k] = saddles[k], 0.0
        light = 0.0
        for k in range(lights.size):
            role = roles[numbers[k]]
            light += lights[k] if role == _OURS else 0.0
            if role == _ASKED:
                owner = owners[numbers[k]]
                above[owner] += max(lights[k] - saddles[owner], 0.0)
        if not _take(owners, heights, saddles, above, own, _SHARE * light):
            return


@compiled
def _take(owners: Any, heights: Any, saddles: Any, above: Any, own: int, least: float) -> bool:
    """Give the object the regions that touch it, are not brighter and have less light above the saddle; whether there are any."""
    found = False
    for k in range(owners.size):
        part = owners[k] == k != own and saddles[k] > -np.inf and heights[k] <= heights[own]
        if part and above[k] < least:
            owners[k], found = own, True
    if found:
        _follow(owners)
    return found


@compiled
def _touching(saddles: Any, own: int, pairs: Any, lower: Any) -> bool:
    """Fill in each region's highest saddle to the object's, -inf where it does not touch that; whether any does."""
    saddles[:] = -np.inf
    touched = False
    for k in range(len(lower)):
        one, two = pairs[k, 0], pairs[k, 1]
        if (one == own) != (two == own):
            other = two if one == own else one
            saddles[other] = max(saddles[other], lower[k])
            touched = True
    return touched
