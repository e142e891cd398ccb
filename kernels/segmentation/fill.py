"""Stamps without neighbours: their pixels show sky instead, as the stamp's own sky is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.compiled import compiled
from kernels.segmentation.noise import near

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from kernels.segmentation.segments import Segments

__all__ = ["fill"]

_REACH = 2  # pixels: what a neighbour's faint rim reaches beyond its region


def fill(
    stamps: NDArray[np.float32], segments: Segments, bad: torch.Tensor, seeds: NDArray[np.uint64]
) -> NDArray[np.float32]:
    """Replace the neighbours in stamps by the object's own light and by the stamp's own sky.

    A neighbour's region, grown by two pixels but not into the object's, is filled with what lies opposite, about the object's peak, where that is the object's;
    elsewhere with pixels that are drawn from those that are nobody's: so the filled ones have the level, the noise and the colours of the sky around them,
    whatever its distribution.

    Parameters
    ----------
    stamps : (n, b, y, x) float32 array
        Is left as it is.
    segments : Segments
        Of these stamps.
    bad : (n, b, y, x) bool tensor
        Pixels that are no data: they are neither drawn nor filled.
    seeds : (n,) uint64 array
        One for each object, as `kernels.bags.hash_ids` makes them: the same seed draws the same pixels, whatever other stamps there are.

    Returns
    -------
    (n, b, y, x) float32 array; a stamp without neighbours is the same as before. Where no pixel is left for sky, neighbours become zero.
    """
    covered = near(segments.others, _REACH, beyond=False)
    sky = ~(covered | near(segments.central, _REACH, beyond=False) | bad.any(dim=1))
    filled = stamps.copy()
    own = segments.central & ~bad.any(dim=1)
    _fill(
        filled,
        (covered & ~segments.central).numpy(force=True),
        bad.numpy(force=True),
        own.numpy(force=True),
        sky.numpy(force=True),
        segments.peak.numpy(force=True),
        seeds,
    )
    return filled


@compiled
def _fill(stamps: Any, covered: Any, bad: Any, central: Any, sky: Any, peak: Any, seeds: Any) -> None:
    n, bands, height, width = stamps.shape
    places = np.empty(height * width, np.int32)
    for i in range(n):
        if not covered[i].any():
            continue
        count = 0
        for place in range(height * width):
            if sky[i, place // width, place % width]:
                places[count] = place
                count += 1
        for place in range(height * width):
            y, x = divmod(place, width)
            if not covered[i, y, x]:
                continue
            from_y, from_x = 2 * peak[i, 1] - y, 2 * peak[i, 0] - x
            inside = 0 <= from_y < height and 0 <= from_x < width and central[i, from_y, from_x]
            if not inside and count:
                from_y, from_x = divmod(places[_mixed(seeds[i] + np.uint64(place)) % np.uint64(count)], width)
            for band in range(bands):
                if not bad[i, band, y, x]:
                    stamps[i, band, y, x] = stamps[i, band, from_y, from_x] if inside or count else 0.0


@compiled
def _mixed(word: Any) -> Any:
    """The finaliser of splitmix64 (Steele, Lea & Flood 2014): every bit of a word depends on all others."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))
