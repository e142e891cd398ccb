"""Which pixels are the central object's, and which are somebody else's."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.segmentation.noise import deviation, frame
from kernels.segmentation.watershed import part, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Segments", "segment"]

_THRESHOLD = 1.5  # of the smoothed image, in the noise of a pixel: four sigma of the smoothed noise
_NEIGHBOUR = 5.0  # what a neighbour must reach somewhere
_REACH = 0.25  # how far from the middle the central object may begin, in sides


@dataclass(frozen=True)
class Segments:
    """Pixels of stamps (n, y, x), by owner."""

    central: torch.Tensor
    """(n, y, x) bool: connected pixels of the central object."""
    others: torch.Tensor
    """(n, y, x) bool: pixels of neighbours."""
    found: torch.Tensor
    """(n,) bool: whether there is a central object."""
    peak: torch.Tensor
    """(n, 2) int32: x, y of the central object's brightest pixel, smoothed."""

    def split(self, rows: int) -> list[Segments]:
        """Parts of so many stamps."""
        split = [getattr(self, field.name).split(rows) for field in fields(self)]
        return [Segments(*part) for part in zip(*split, strict=True)]

    @staticmethod
    def joined(parts: Sequence[Segments]) -> Segments:
        """Parts, one after the other."""
        return Segments(
            *(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Segments))
        )


def segment(stamps: torch.Tensor, bad: torch.Tensor) -> Segments:
    """Part stamps into the central object, neighbours and sky.

    Light above 1.5 sigma after smoothing by a 3 x 3 binomial kernel is parted into regions (`kernels.segmentation.watershed`). The central object is
    the region at the stamp's middle, at most a quarter of the side away; neighbours are other regions that reach 5 sigma somewhere. Fainter
    specks are left to the sky. Sigma is that of the stamp's frame; without noise all positive light is an object's. Every stamp has its answer
    whatever others are there.

    Parameters
    ----------
    stamps : (n, b, y, x) float32 tensor
        Background-subtracted. Of several bands the mean is looked at, each in its own noise (those without noise count only if all are).
    bad : (n, b, y, x) bool tensor
        Pixels that are no data: they count for nothing, and are nobody's where all bands are bad.

    Returns
    -------
    Segments
        A stamp without an object has an empty central region and `found` false.
    """
    everywhere = bad.all(dim=1)
    images = _detection_image(torch.where(bad, 0.0, stamps), bad)
    noise = deviation(images, frame(everywhere))
    central, others = np.zeros(images.shape, np.bool_), np.zeros(images.shape, np.bool_)
    found, peak = np.zeros(len(images), np.bool_), np.zeros((len(images), 2), np.int32)
    _own(
        images.numpy(force=True),
        everywhere.numpy(force=True),
        noise.numpy(force=True),
        central,
        others,
        found,
        peak,
    )
    return Segments(*(torch.from_numpy(a).to(stamps.device) for a in (central, others, found, peak)))


def _detection_image(stamps: torch.Tensor, bad: torch.Tensor) -> torch.Tensor:
    """The mean (n, y, x) of bands, each in units of its noise over the least of them, so that nothing overflows."""
    bands = stamps.shape[1]
    if bands == 1:
        return stamps[:, 0].contiguous()
    noise = torch.stack([deviation(stamps[:, b], frame(bad[:, b])) for b in range(bands)], dim=1)
    noise = torch.where((noise > 0).any(dim=1, keepdim=True), torch.where(noise > 0, noise, torch.inf), 1.0)
    weights = (noise.amin(dim=1, keepdim=True) / noise / bands).float()
    image = torch.zeros_like(stamps[:, 0])
    for b in range(bands):
        image += stamps[:, b] * weights[:, b, None, None]
    return image


@compiled
def _smoothed(image: Any, smooth: Any) -> None:
    """Fill `smooth` (y, x) with an image convolved with a 3 x 3 binomial kernel, zero outside the stamp."""
    height, width = image.shape
    row = np.empty(width)
    for y in range(height):
        for x in range(width):
            row[x] = 2.0 * image[y, x]
            if y > 0:
                row[x] += image[y - 1, x]
            if y + 1 < height:
                row[x] += image[y + 1, x]
        for x in range(width):
            total = 2.0 * row[x]
            if x > 0:
                total += row[x - 1]
            if x + 1 < width:
                total += row[x + 1]
            smooth[y, x] = total / 16


@compiled
def _own(images: Any, bad: Any, noise: Any, central: Any, others: Any, found: Any, peak: Any) -> None:
    n, height, width = images.shape
    owner, smooth = np.empty((height, width), np.int32), np.empty((height, width), np.float32)
    for i in range(n):
        _smoothed(images[i], smooth)
        own = part(smooth, (smooth > _THRESHOLD * noise[i]) & ~bad[i], noise[i], owner)
        if own < 0:
            continue
        spread(smooth, owner, own)
        peak[i, 0], peak[i, 1] = own % width, own // width
        nearest = np.inf
        for y in range(height):
            for x in range(width):
                if owner[y, x] < 0:
                    continue
                if owner[y, x] == own:
                    central[i, y, x] = True
                    nearest = min(nearest, (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2)
                else:
                    others[i, y, x] = smooth.ravel()[owner[y, x]] > _NEIGHBOUR * noise[i]
        found[i] = nearest <= (_REACH * min(height, width)) ** 2
        if not found[i]:
            if smooth.ravel()[own] > _NEIGHBOUR * noise[i]:
                others[i] |= central[i]
            central[i] = False
