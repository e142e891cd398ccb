"""Stamps without neighbours: their pixels show sky instead, as the stamp's own sky is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.compiled import compiled
from kernels.segmentation.noise import grow
from kernels.segmentation.selection import marked, median

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from kernels.segmentation.segments import Segments

__all__ = ["fill", "mixed"]

_REACH = 2  # pixels: what a neighbour's faint rim reaches beyond its region


def fill(
    stamps: NDArray[np.float32],
    segments: Segments,
    bad: torch.Tensor,
    seeds: NDArray[np.uint64],
    noise: torch.Tensor | None = None,
    *,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Replace the neighbours in stamps by the object's own light and by the stamp's own sky.

    A neighbour's region, grown by two pixels but not into the object's, is filled with what lies opposite, about the object's peak, where that is the object's;
    elsewhere with pixels that are drawn from those that are nobody's: so the filled ones have the level, the noise and the colours of the sky around them,
    whatever its distribution. Where the noise of each pixel is known, what is drawn is stretched about the sky's median to the noise of the pixel that it fills; the object's
    own light keeps that of the place where it was.

    Parameters
    ----------
    stamps : (n, b, y, x) float32 array
    segments : Segments
        Of these stamps.
    bad : (n, b, y, x) bool tensor
        Pixels that are no data: they are neither drawn nor filled.
    seeds : (n,) uint64 array
        One for each object, as `kernels.bags.hash_ids` makes them: the same seed draws the same pixels, whatever other stamps there are.
    noise : (n, b, y, x) float32 tensor, optional
        The sky's, in each pixel: `kernels.segmentation.noise_map.NoiseMap.sky`.
    out : (n, b, y, x) float32 array, optional
        Where they are filled in: the stamps themselves, to save a copy.

    Returns
    -------
    (n, b, y, x) float32 array; a stamp without neighbours is the same as before. Where no pixel is left for sky, neighbours become zero.
    """
    filled = stamps.copy() if out is None else out
    _fill(
        filled,
        segments.others.numpy(force=True),
        segments.central.numpy(force=True),
        bad.numpy(force=True),
        segments.peak.numpy(force=True),
        seeds,
        stamps[:0] if noise is None else noise.numpy(force=True),
    )
    return filled


@compiled
def _fill(stamps: Any, others: Any, central: Any, bad: Any, peak: Any, seeds: Any, noise: Any) -> None:
    n, bands, height, width = stamps.shape
    known, pixels = len(noise) > 0, height * width
    sky, places, sources = np.empty(pixels, np.int32), np.empty(pixels, np.int32), np.empty(pixels, np.int32)
    drawn, values = np.empty(pixels, np.bool_), np.empty(pixels, np.float32)
    covered, taken = np.empty((height, width), np.uint8), np.empty((height, width), np.uint8)
    line = np.empty(width, np.uint8)
    for i in range(n):
        if not others[i].any():
            continue
        grow(others[i].view(np.uint8), covered, line, _REACH)
        grow(central[i].view(np.uint8), taken, line, _REACH)
        count = _sky(covered, taken, central[i], bad[i], line, sky)
        filled = _sources(covered, taken, peak[i], seeds[i], sky[:count], places, sources, drawn)
        # one band after the other: what is drawn comes from anywhere in it, and a core's cache holds one
        for band in range(bands):
            stamp, lost = stamps[i, band].ravel(), bad[i, band].ravel()
            for k in range(filled):
                if not lost[places[k]]:
                    stamp[places[k]] = stamp[sources[k]] if sources[k] >= 0 else 0.0
            if known and count:
                level, depth = _median(stamp, sky[:count], values), noise[i, band].ravel()
                for k in range(filled):
                    if drawn[k] and not lost[places[k]]:
                        ratio = depth[places[k]] / depth[sources[k]]
                        stamp[places[k]] = level + (stamp[places[k]] - level) * ratio


@compiled
def _sources(
    covered: Any, taken: Any, peak: Any, seed: Any, sky: Any, places: Any, sources: Any, drawn: Any
) -> int:
    """Fill in which places are filled, from which others, -1 where there are none, and whether these are drawn; how many."""
    height, width = covered.shape
    filled = marked(covered.ravel(), places)
    for k in range(filled):
        y, x = places[k] // width, places[k] % width
        from_y, from_x = 2 * peak[1] - y, 2 * peak[0] - x
        own = 0 <= from_y < height and 0 <= from_x < width and taken[from_y, from_x]
        sources[k], drawn[k] = -1, not own
        if own:
            sources[k] = from_y * width + from_x
        elif sky.size:
            sources[k] = sky[mixed(seed + np.uint64(places[k])) % np.uint64(sky.size)]
    return filled


@compiled
def _median(stamp: Any, sky: Any, values: Any) -> Any:
    """The sky's median in one band of a stamp."""
    for k in range(sky.size):
        values[k] = stamp[sky[k]]
    return np.float32(median(values, sky.size))


@compiled
def _sky(covered: Any, taken: Any, central: Any, bad: Any, lost: Any, sky: Any) -> int:
    """Fill in the places of the sky, and take away what is not to be filled, or not to be shown elsewhere; how many places. `lost` (x,) is for work."""
    bands, height, width = bad.shape
    marks = np.empty((height, width), np.uint8)
    for y in range(height):
        lost[:] = 0
        for band in range(bands):
            row = bad[band, y].view(np.uint8)
            for x in range(width):
                lost[x] |= row[x]
        mark, cover, take, own = marks[y], covered[y], taken[y], central[y].view(np.uint8)
        for x in range(width):
            mark[x] = (cover[x] | take[x] | lost[x]) ^ 1
        for x in range(width):
            cover[x] &= own[x] ^ 1
        for x in range(width):
            take[x] = own[x] & (lost[x] ^ 1)
    return marked(marks.ravel(), sky)


@compiled
def mixed(word: Any) -> Any:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014): every bit of a word depends on all others."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
