"""A stamp's background and bad pixels: what is taken off, what becomes zero, and which flags say so."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from catalogs.flags import Flag

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalogs._types import Floats, Integers
    from catalogs.survey import Images

_TOGETHER = 1 << 18  # pixels


def in_cache(count: int, pixels: int) -> Iterator[slice]:
    """So many stamps of so many pixels, a few at a time: as many as stay in a core's cache from one pass to the next."""
    few = max(1, _TOGETHER // max(pixels, 1))
    for first in range(0, count, few):
        yield slice(first, first + few)


def centre(planes: Floats, stamps: Floats) -> None:
    """Crop or pad (n, h, w) planes into (n, side, side) stamps of zeros, around their centres.

    The centre pixel of a side n is n // 2, so odd and even sides keep their galaxy on the same pixel.
    """
    side = stamps.shape[-1]
    source, target = [slice(None)], [slice(None)]
    for length in planes.shape[1:]:
        offset = length // 2 - side // 2
        first, last = max(offset, 0), min(offset + side, length)
        source.append(slice(first, last))
        target.append(slice(first - offset, last - offset))
    stamps[tuple(target)] = planes[tuple(source)]


def clean(
    stamps: Floats, layout: Images, covered: Integers | None = None, noise: Floats | None = None
) -> Integers:
    """Subtract the background and make every pixel finite, in place, and say what was wrong.

    Parameters
    ----------
    stamps : (n, y, x) float32
        One band; pixels off the image are NaN. Pixels that are not finite become zero, which is the
        background's level.
    layout : Images
    covered : (n,) int, optional
        Pixels of each stamp that lie on the image; all of them by default.
    noise : (n, y, x) float32, optional
        Noise of each pixel. Pixels whose noise is NaN are bad too; it becomes zero, in place, for all that are not finite.

    Returns
    -------
    flags : (n,) int32
    """
    flags = np.zeros(len(stamps), np.int32)
    covered = np.full(len(stamps), stamps.shape[1] * stamps.shape[2]) if covered is None else covered
    for now in in_cache(len(stamps), stamps[0].size if len(stamps) else 1):
        flags[now] = _clean(stamps[now], layout, covered[now], None if noise is None else noise[now])
    return flags


def _clean(stamps: Floats, layout: Images, covered: Integers, noise: Floats | None) -> Integers:
    flags = np.zeros(len(stamps), np.int32)
    if noise is not None:
        stamps[np.isnan(noise)] = np.nan
    pixels = stamps.shape[1] * stamps.shape[2]
    low, high = stamps.min(axis=(1, 2)), stamps.max(axis=(1, 2))
    whole = np.isfinite(low) & np.isfinite(high)  # min and max hand on NaN, and are the infinities if any
    border = layout.background == "border"
    background = _border(stamps) if border else np.zeros(len(stamps), np.float32)
    for i in np.flatnonzero(~whole):
        good = stamps[i][np.isfinite(stamps[i])]
        low[i], high[i] = (good.min(), good.max()) if len(good) else (np.nan, np.nan)
        background[i] = 0.0
        if border and len(good):
            frame = stamps[i].ravel()[_frame(stamps.shape[1:])]
            frame = frame[np.isfinite(frame)]
            background[i] = np.median(frame if len(frame) else good)
        flags[i] |= Flag.BAD_PIXELS if len(good) < covered[i] else 0
        flags[i] |= Flag.NO_PIXELS if len(good) == 0 < covered[i] else 0
    flags[covered < pixels] |= Flag.EDGE
    flags[covered == 0] ^= Flag.EDGE | Flag.OFF_IMAGE
    flags[low == high] |= Flag.BLANK
    if layout.saturation is not None:
        flags[high >= layout.saturation] |= Flag.SATURATED
    with np.errstate(over="ignore", invalid="ignore"):
        stamps -= background[:, None, None]
        # Sentinels near float32's limits are finite, but need not be so any more above their background.
        known = np.isfinite(low) & np.isfinite(high)
        burst = known & ~(np.isfinite(low - background) & np.isfinite(high - background))
    flags[burst] |= Flag.BAD_PIXELS
    for i in np.flatnonzero(~whole | burst):
        bad = ~np.isfinite(stamps[i])
        stamps[i][bad] = 0.0
        if noise is not None:
            noise[i][bad] = 0.0
    return flags


@cache
def _frame(shape: tuple[int, ...]) -> Integers:
    """Flat indices of the outer frame of a stamp, a sixteenth of its side wide."""
    width = max(1, min(shape) // 16)
    frame = np.ones(shape, bool)
    frame[width:-width, width:-width] = False
    return np.flatnonzero(frame)


def _border(stamps: Floats) -> Floats:
    """Median of each stamp's outer frame, (n,); of no meaning where a pixel is not finite."""
    pixels = stamps.reshape(len(stamps), -1).take(_frame(stamps.shape[1:]), axis=1, mode="clip")
    middle = pixels.shape[-1] // 2
    pixels.partition(middle, axis=-1)
    return np.asarray(pixels[:, middle])
