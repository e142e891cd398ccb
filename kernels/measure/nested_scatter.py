"""Chi-squared of the pixels within nested bins: what the means of bins leave out."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compiled import compiled
from kernels.measure.nested_bins import SIDE
from kernels.measure.nested_search import FLUX
from kernels.measure.profile_points import at_points
from kernels.measure.profile_waves import polynomials
from kernels.measure.sersic_transform import TERMS

__all__ = ["scatter_room", "scatter_within"]

_PIXELS = 4  # of a bin that are looked at, in x and in y; up to seven where it has no more
_MOST = (2 * _PIXELS - 1) ** 2
_TOGETHER = 1024  # pixels whose models are made at a time


def scatter_room() -> tuple[Any, ...]:
    """Where pixels are gathered and their models made."""
    work = np.zeros((4, _TOGETHER), np.float32)
    pixels, models = np.zeros((4, _TOGETHER), np.float32), np.zeros((1, _TOGETHER), np.float32)
    room = work, work.view(np.int32), np.zeros(_TOGETHER, np.int32)
    return pixels, models, np.zeros(_TOGETHER, np.int64), np.zeros((2, TERMS)), room


@compiled
def scatter_within(
    images: Any,
    masked: Any,
    weights: Any,
    rows: Any,
    frames: Any,
    where: Any,
    counts: Any,
    noise: Any,
    electrons: Any,
    answer: Any,
    scale: Any,
    room: Any,
    found: Any,
) -> None:
    """Fill in chi-squared within the outer grids' bins, and its degrees of freedom (k, 2).

    Of each bin: how far light less profile is from its mean over the bin, pixel by pixel, over the pixel's variance; of large bins, of some pixels, evenly
    spaced. Together with what is left of the bin's mean that is chi-squared of all its pixels, but for what the PSF changes from one to the next.

    Parameters
    ----------
    images, masked, weights, rows, frames, where, counts
        See `kernels.measure.nested_bins.nested`.
    noise, electrons : (n,) float64 arrays
        Noise of the sky in a pixel of weight one; electrons a unit of light, 0 where photons do not count.
    answer, scale
        See `kernels.measure.nested_search.search` and `kernels.measure.profile_points.scales`.
    room
        Of `scatter_room`.
    """
    pixels, models, ends, chebyshev, work = room
    place, light, known = pixels[:2], pixels[2], pixels[3]
    for k in range(len(rows)):
        i, count, flux = rows[k], int(counts[k, 0]), answer[k, FLUX] * counts[k, 1]
        found[k, 0], found[k, 1] = 0.0, 0.0
        if count == 0 or not noise[i] > 0 or not flux > 0:
            continue
        own = weights[0] if len(weights) == 1 else weights[i]
        polynomials(answer[k, 3], chebyshev)
        photons = 0.0
        if electrons[i] > 0:
            photons = flux / (electrons[i] * noise[i] * noise[i])
        one = SIDE * SIDE
        while one < count:
            first, end = one, 0
            while one < count and end + _MOST <= _TOGETHER:
                end = _gather(images[i], masked[i], own, frames[i], where[k, one], end, place, light, known)
                ends[one - first] = end
                one += 1
            at_points(answer[k], chebyshev, scale, place, 0, end, 1, work, models)
            start = 0
            for j in range(one - first):
                chi2, freedom = _of_bin(
                    light[start : ends[j]], known[start : ends[j]], models[0, start : ends[j]], flux, photons
                )
                found[k, 0] += chi2 / (noise[i] * noise[i])
                found[k, 1] += freedom
                start = ends[j]


@compiled
def _gather(
    image: Any,
    masked: Any,
    weights: Any,
    frame: Any,
    where: Any,
    end: int,
    place: Any,
    light: Any,
    known: Any,
) -> int:
    """Fill in pixels of a bin behind so many others; returns how many there are then."""
    height, width = masked.shape
    side = frame[2] << where[0]
    step = max(side // _PIXELS, 1)
    left = (where[1] % SIDE - SIDE // 2) * side
    top = (where[1] // SIDE - SIDE // 2) * side
    for y in range(top, top + side, step):
        for x in range(left, left + side, step):
            if not (0 <= frame[1] + y < height and 0 <= frame[0] + x < width):
                continue
            value = image[frame[1] + y, frame[0] + x]
            weight = 1.0 if weights.size == 1 else weights[frame[1] + y, frame[0] + x]
            if masked[frame[1] + y, frame[0] + x] or not np.isfinite(value) or not weight > 0:
                continue
            place[0, end], place[1, end] = (x + 0.5) / frame[2], (y + 0.5) / frame[2]
            light[end], known[end] = value, weight
            end += 1
    return end


@compiled
def _of_bin(light: Any, weights: Any, models: Any, flux: float, photons: float) -> tuple[float, float]:
    """Chi-squared of a bin's pixels less their mean, in units of the noise of weight one, and its degrees of freedom.

    A mean that does not heed the weights leaves, of n pixels with variances v, n - 2 + (sum of 1 / v) (sum of v) / n^2.
    """
    pixels = light.size
    mean = 0.0
    for k in range(pixels):
        mean += light[k] - flux * models[k]
    mean /= max(pixels, 1)
    chi2, ones, variances = 0.0, 0.0, 0.0
    for k in range(pixels):
        variance = 1.0 / weights[k] + photons * max(models[k], 0.0)
        off = light[k] - flux * models[k] - mean
        chi2 += off * off / variance
        ones += 1.0 / variance
        variances += variance
    if pixels < 2:
        return 0.0, 0.0
    return chi2, pixels - 2 + ones * variances / (pixels * pixels)
