"""Multimode, intensity, deviation: whether an object has one heart or several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.measure.boxes import box_of
from kernels.measure.disjoint_sets import join, root_of
from kernels.measure.flood import flood
from kernels.measure.intensity import intensity
from kernels.measure.regions import blur

__all__ = ["Hearts", "multimode"]

_FAINTEST = 0.2  # of the mean within: where the region ends (Freeman et al. 2013, 4.3)
_SMOOTHING = 1.0  # pixels, before intensity peaks are looked for
_AROUND = 5  # pixels: where such a Gaussian ends


@dataclass(frozen=True)
class Hearts:
    """MID statistics (n,) float64; NaN where there is no region."""

    multimode: torch.Tensor
    """Area of the second largest region over the largest, at the threshold where the second counts most; 0 for a single one."""
    intensity: torch.Tensor
    """Light around the second brightest peak over that around the brightest; 0 for a single one."""
    deviation: torch.Tensor
    """Distance of the brightest peak from the centroid, in radii of a circle as large as the region."""


def multimode(images: torch.Tensor, central: torch.Tensor) -> Hearts:
    """MID statistics (Freeman et al. 2013, MNRAS 434, 282; Peth et al. 2016, MNRAS 458, 963).

    The region is what is connected to the brightest pixel above the level that is 0.2 of the mean above it, with edges smoothed by the majority in a 3 x 3 box; the
    whole segment where light nowhere falls that low. M is looked for at every pixel value as a threshold: exactly, where others try some thresholds. As
    in Rodriguez-Gomez et al. (2019), A2^2 / A1 is made largest, and A2 / A1 is given. I parts the region by walking from every pixel to
    its brightest neighbour, on the image smoothed by a Gaussian of one pixel.

    Parameters
    ----------
    images : (n, y, x) float tensor
    central : (n, y, x) bool tensor
        Pixels of the object, without masked ones.

    Returns
    -------
    Hearts
        NaN where there is no positive light.
    """
    found = np.full((len(images), 3), np.nan)
    _hearts(images.float().numpy(force=True), central.numpy(force=True), found)
    answer = torch.from_numpy(found).to(images.device)
    return Hearts(*answer.unbind(1))


@compiled
def _hearts(images: Any, central: Any, found: Any) -> None:
    for i in range(len(images)):
        light = _lit(images[i], central[i])
        if light.size == 0:
            continue
        framed = _framed(light)
        order = _brightest_first(framed)
        region = _region(framed, order)
        for y in range(light.shape[0]):
            here, inside = light[y], region[y]
            for x in range(here.size):
                here[x] = here[x] if inside[x] else np.float32(0)
        framed = _framed(light)
        found[i, 0] = _multimode(framed, _those(order, framed))
        smooth = np.empty_like(light)
        blur(light, _SMOOTHING, smooth, 0, light.shape[0], 0, light.shape[1])
        found[i, 1], top = intensity(smooth)
        height, width = light.shape
        flux, x0, y0 = 0.0, 0.0, 0.0
        for y in range(height):
            for x in range(width):
                flux += light[y, x]
                x0 += light[y, x] * x
                y0 += light[y, x] * y
        away = np.hypot(top % width - x0 / flux, top // width - y0 / flux)
        found[i, 2] = away * np.sqrt(np.pi / region.sum())


@compiled
def _lit(image: Any, central: Any) -> Any:
    """The light of a region (y, x), cut out with as much around it as blurring needs; empty where there is none."""
    height, width = image.shape
    first_y, last_y, first_x, last_x = box_of(central)
    lit = np.empty((last_y - first_y, last_x - first_x), np.bool_)
    for y in range(first_y, last_y):
        given, own, here = image[y, first_x:last_x], central[y, first_x:last_x], lit[y - first_y]
        for x in range(here.size):
            here[x] = own[x] & (given[x] > 0)
    top, bottom, left, right = box_of(lit)
    if bottom == 0:
        return np.zeros((0, 0), np.float32)
    above, beside = min(first_y + top, _AROUND), min(first_x + left, _AROUND)
    below, behind = min(height - first_y - bottom, _AROUND), min(width - first_x - right, _AROUND)
    light = np.zeros((above + bottom - top + below, beside + right - left + behind), np.float32)
    for y in range(top, bottom):
        given, here = image[first_y + y, first_x + left : first_x + right], lit[y, left:right]
        inside = light[above + y - top, beside : beside + right - left]
        for x in range(inside.size):
            inside[x] = given[x] if here[x] else np.float32(0)
    return light


@compiled
def _brightest_first(light: Any) -> Any:
    """Places of the pixels with light; of equal ones the first comes first: sorted by eleven bits at a time (radix sort), as bits of positive floats are ordered as they are."""
    values = light.ravel()
    places = np.flatnonzero(values > 0).astype(np.int32)
    bits = ~values.view(np.uint32)
    moved = np.empty_like(places)
    for shift in (0, 11, 22):
        begin = np.zeros(2049, np.int64)
        for place in places:
            begin[((bits[place] >> np.uint32(shift)) & np.uint32(2047)) + 1] += 1
        for k in range(2048):
            begin[k + 1] += begin[k]
        for place in places:
            digit = (bits[place] >> np.uint32(shift)) & np.uint32(2047)
            moved[begin[digit]] = place
            begin[digit] += 1
        places, moved = moved, places
    return places


@compiled
def _those(order: Any, framed: Any) -> Any:
    """The places that are lit, in their order."""
    values, some, count = framed.ravel(), np.empty_like(order), 0
    for place in order:
        some[count] = place
        count += values[place] > 0
    return some[:count]


@compiled
def _framed(light: Any) -> Any:
    """A stamp (y, x) with a frame of one dark pixel around it, so that every pixel has neighbours."""
    height, width = light.shape
    framed = np.zeros((height + 2, width + 2), np.float32)
    for y in range(height):
        given, inside = light[y], framed[y + 1, 1 : width + 1]
        for x in range(width):
            inside[x] = given[x]
    return framed


@compiled
def _region(framed: Any, order: Any) -> Any:
    """Pixels (y, x) bool, without the frame, of the main heart."""
    height, width = framed.shape[0] - 2, framed.shape[1] - 2
    top_y, top_x = order[0] // (width + 2) - 1, order[0] % (width + 2) - 1
    level = _faintest(framed, order)
    seed, above = np.zeros((1, height, width), np.bool_), np.zeros((1, height, width), np.bool_)
    for y in range(height):
        light, here = framed[y + 1, 1 : width + 1], above[0, y]
        for x in range(width):
            here[x] = (light[x] > 0) & (light[x] >= level)
    seed[0, top_y, top_x] = True
    flood(seed, above)
    if level == 0:
        return seed[0]
    lines = np.zeros(
        (2, width), np.int8
    )  # of each column, how many of three rows are inside; and of three columns
    for y in range(height):
        lines[0] = 0
        for to_y in range(max(y - 1, 0), min(y + 2, height)):
            for x in range(width):
                lines[0, x] += seed[0, to_y, x]
        for x in range(width):
            lines[1, x] = lines[0, x]
        for x in range(1, width):
            lines[1, x] += lines[0, x - 1]
        for x in range(width - 1):
            lines[1, x] += lines[0, x + 1]
        for x in range(width):
            above[0, y, x] = lines[1, x] >= 5
    above[0, top_y, top_x] = True
    seed[:] = False
    seed[0, top_y, top_x] = True
    flood(seed, above)
    return seed[0]


@compiled
def _faintest(framed: Any, order: Any) -> float:
    """The level where what is added to the brightest pixel's region is faint beside the region; 0 if it never is."""
    values, top, wide = framed.ravel(), order[0], framed.shape[1]
    parent = np.full(values.size, -1, np.int32)
    total, count = np.zeros(values.size), np.zeros(values.size, np.int32)
    for place in order:
        value = values[place]
        parent[place], root, light_in, pixels = place, place, float(value), 1
        for step in (-wide - 1, -wide, 1 - wide, -1, 1, wide - 1, wide, wide + 1):
            if parent[place + step] >= 0:
                other = root_of(parent, place + step)
                if other != root:
                    light_in += total[other]
                    root, pixels = join(parent, root, pixels, other, count[other])
        total[root], count[root] = light_in, pixels
        main = root_of(parent, top)
        if value <= _FAINTEST * total[main] / count[main]:
            return value
    return 0.0


@compiled
def _multimode(framed: Any, order: Any) -> float:
    """A2 / A1 where A2^2 / A1 is largest over all thresholds: regions grow together as pixels are added from the brightest down."""
    values, wide = framed.ravel(), framed.shape[1]
    parent, area = np.full(values.size, -1, np.int32), np.zeros(values.size, np.int32)
    of_area = np.zeros(len(order) + 2, np.int64)  # regions of each area
    first, second, most, answer = 0, 0, 0.0, 0.0
    for k in range(len(order)):
        place, value = order[k], values[order[k]]
        parent[place], root, grown = place, place, 1
        for step in (-wide - 1, -wide, 1 - wide, -1, 1, wide - 1, wide, wide + 1):
            if parent[place + step] >= 0:
                other = root_of(parent, place + step)
                if other != root:
                    of_area[area[other]] -= 1
                    root, grown = join(parent, root, grown, other, area[other])
        area[root] = grown
        of_area[grown] += 1
        if grown < first:
            second = max(second, grown)
        else:
            if of_area[first] > (first == grown):  # the largest until now is still there
                second = first
            first = grown
        while of_area[second] <= (second == first) and second > 0:
            second -= 1
        # a threshold takes all pixels of a value
        last_of_value = k + 1 == len(order) or values[order[k + 1]] < value
        if last_of_value and second * second > most * first:
            most, answer = second * second / first, second / first
    return answer
