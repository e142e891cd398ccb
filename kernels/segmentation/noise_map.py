"""The noise of each pixel where a survey's weight maps say it: all of it, and the sky's alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled

if TYPE_CHECKING:
    from kernels.segmentation.segments import Segments

__all__ = ["NoiseMap"]


@dataclass(frozen=True)
class NoiseMap:
    """One standard deviation of the pixels of stamps (n, b, y, x) or (n, y, x) float32, zero where there is no data."""

    total: torch.Tensor
    """As the map has it: of the sky and, in some maps, of the objects' photons."""
    sky: torch.Tensor
    """Of the sky alone."""

    @classmethod
    def of(cls, total: torch.Tensor, segments: Segments, bad: torch.Tensor, *, photons: bool) -> NoiseMap:
        """The map of some stamps.

        Parameters
        ----------
        total : (n, b, y, x) float32 tensor
        segments : Segments
            Of these stamps.
        bad : (n, b, y, x) bool tensor
            Pixels that are no data.
        photons : bool
            Whether the map holds the objects' photon noise. Then, under objects and neighbours, the sky's is that of the nearest pixel that is nobody's
            (by steps to one of eight pixels), where that is less; it stays as it is where no such pixel is left.
        """
        total = torch.where(bad, 0.0, total)
        if not photons:
            return cls(total, total)
        sky = total.clone()
        taken = segments.central | segments.others
        _from_nearest(sky.numpy(), taken.numpy(force=True), bad.any(dim=1).numpy(force=True))
        return cls(total, torch.minimum(total, sky))

    def band(self, number: int) -> NoiseMap:
        """The map (n, y, x) of one of the bands."""
        return NoiseMap(self.total[:, number], self.sky[:, number])

    def split(self, rows: int) -> list[NoiseMap]:
        """Parts of so many stamps."""
        return [NoiseMap(*part) for part in zip(self.total.split(rows), self.sky.split(rows), strict=True)]


@compiled
def _from_nearest(noise: Any, taken: Any, lost: Any) -> None:
    """Give every taken pixel (n, y, x) the noise (n, b, y, x) of the nearest one that is neither taken nor lost."""
    n, bands, height, width = noise.shape
    nearest, waiting = np.empty(height * width, np.int32), np.empty(height * width, np.int32)
    for i in range(n):
        _find_nearest(taken[i], lost[i], nearest, waiting)
        for place in range(height * width):
            y, x = divmod(place, width)
            if taken[i, y, x] and nearest[place] >= 0:
                from_y, from_x = divmod(nearest[place], width)
                for band in range(bands):
                    noise[i, band, y, x] = noise[i, band, from_y, from_x]


@compiled
def _find_nearest(taken: Any, lost: Any, nearest: Any, waiting: Any) -> None:
    """Fill in the place of the pixel nearest to each that is neither taken nor lost, -1 if there is none; `waiting` is for work."""
    height, width = taken.shape
    nearest[:] = -1
    count, done = 0, 0
    for place in range(height * width):
        y, x = divmod(place, width)
        if not (taken[y, x] or lost[y, x]):
            nearest[place], waiting[count] = place, place
            count += 1
    while done < count:
        place = waiting[done]
        y, x = divmod(place, width)
        done += 1
        for to_y in range(max(y - 1, 0), min(y + 2, height)):
            for to_x in range(max(x - 1, 0), min(x + 2, width)):
                if nearest[to_y * width + to_x] < 0:
                    nearest[to_y * width + to_x] = nearest[place]
                    waiting[count] = to_y * width + to_x
                    count += 1
