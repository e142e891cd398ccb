"""Which pixels are the central object's, and which are somebody else's."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.segmentation.detection_image import detection_image
from kernels.segmentation.noise import frame_deviation, sky_deviation
from kernels.segmentation.spreading import spread
from kernels.segmentation.watershed import part

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Segments", "segment"]

_THRESHOLD = 1.5  # of the smoothed image, in the noise of a pixel: four sigma of the smoothed noise
_NEIGHBOUR = 5.0  # what a neighbour must reach somewhere
_ROUNDS = 3  # at most
_QUIETER = 0.9  # of the noise that was assumed: then the sky's own is taken
_BRIDGE = 4.0  # of the 16 parts of the smoothing kernel: bad columns of one pixel or two
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

    @property
    def tensors(self) -> list[torch.Tensor]:
        """All fields."""
        return [getattr(self, field.name) for field in fields(self)]

    def split(self, rows: int) -> list[Segments]:
        """Parts of so many stamps."""
        split = [tensor.split(rows) for tensor in self.tensors]
        return [Segments(*part) for part in zip(*split, strict=True)]

    @staticmethod
    def joined(parts: Sequence[Segments]) -> Segments:
        """Parts, one after the other."""
        return Segments(
            *(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Segments))
        )


def segment(stamps: torch.Tensor, bad: torch.Tensor, noise: torch.Tensor | None = None) -> Segments:
    """Part stamps into the central object, neighbours and sky.

    Light above 1.5 sigma after smoothing by a 3 x 3 binomial kernel is parted into regions (`kernels.segmentation.watershed`). The central object is
    the region at the stamp's middle, at most a quarter of the side away; neighbours are other regions that reach 5 sigma somewhere. Fainter
    specks are left to the sky. Sigma is that of the stamp's frame first; where the sky that is found is quieter, as in crowded fields, all is found anew with that one's. Without noise all positive light is an object's. Every stamp has its answer
    whatever others are there.

    Where the noise of each pixel is known, sigma is what smoothing makes of it at each pixel, as with SExtractor's MAP_RMS (Bertin & Arnouts 1996): a threshold for
    each pixel, and peaks and neighbours by the sigma at their peaks.

    Parameters
    ----------
    stamps : (n, b, y, x) float32 tensor
        Background-subtracted. Of several bands the mean is looked at, each in its own noise (those without noise count only if all are).
    bad : (n, b, y, x) bool tensor
        Pixels that are no data: they count for nothing, and are nobody's where all bands are bad.
    noise : (n, b, y, x) float32 tensor, optional
        One standard deviation of each pixel; it is taken as it is.

    Returns
    -------
    Segments
        A stamp without an object has an empty central region and `found` false.
    """
    images, depth, everywhere = detection_image(stamps, bad, noise)
    central, others = np.zeros(images.shape, np.bool_), np.zeros(images.shape, np.bool_)
    found, peak = np.zeros(len(images), np.bool_), np.zeros((len(images), 2), np.int32)
    _own(images, everywhere, depth, central, others, found, peak)
    return Segments(*(torch.from_numpy(a).to(stamps.device) for a in (central, others, found, peak)))


@compiled
def _own(images: Any, bad: Any, depth: Any, central: Any, others: Any, found: Any, peak: Any) -> None:
    n, height, width = images.shape
    framed, known = (height + 2, width + 2), len(depth) > 0
    region, light = np.empty(framed, np.int32), np.full(framed, -np.inf, np.float32)
    saddle, beyond = np.empty(light.size, np.float32), np.empty(light.size, np.int32)
    line, sky = np.empty(width, np.float32), np.empty((height, width), np.uint8)
    noise = np.zeros(framed if known else (1, 1))
    for i in range(n):
        if known:
            _light_over(images[i], bad[i], depth[i], noise, light)
        else:
            noise[0, 0] = _light_in_sky(images[i], bad[i], line, sky, beyond, light)
        own = part(light, noise, region, saddle, beyond)
        if own >= 0:
            spread(light, region, own)
            peak[i, 0], peak[i, 1] = own % framed[1] - 1, own // framed[1] - 1
            found[i] = _share_out(light, region, own, noise, bad[i], central[i], others[i])


@compiled
def _light_in_sky(image: Any, bad: Any, line: Any, sky: Any, places: Any, light: Any) -> float:
    """The same as `_light`, in the noise of the stamp's frame, or in that of the sky which it leaves, where that is quieter; the noise. `places` (y * x,) is for work, too."""
    noise = frame_deviation(image, bad)
    for _ in range(_ROUNDS - 1):
        _light(image, bad, noise, line, sky, light)
        quiet = sky_deviation(image, sky, places)
        if not 0 < quiet < _QUIETER * noise:
            return noise
        noise = quiet
    _light(image, bad, noise, line, sky, light)
    return noise


@compiled
def _light_over(image: Any, bad: Any, depth: Any, noise: Any, light: Any) -> None:
    """The same as `_light` where the noise (y, x) of each pixel is known: means of good pixels, and their noise over what even noise is lowered by (3 / 8).

    Bad pixels have the light of those beside them, so that a bad column does not cut objects in two.
    """
    height, width = image.shape
    rows, sums = (
        np.zeros((3, 3, width + 2)),
        np.empty((3, width)),
    )  # pixels, squares of noise, good: three rows
    total, variance, weights = sums[0], sums[1], sums[2]
    for y in range(height + 1):
        pixels, squares, good = rows[y % 3, 0, 1:], rows[y % 3, 1, 1:], rows[y % 3, 2, 1:]
        for x in range(width):
            here = y < height and not bad[y, x]
            pixels[x] = image[y, x] if here else 0.0
            squares[x] = depth[y, x] ** 2 if here else 0.0
            good[x] = here
        if y == 0:
            continue
        for kind, weight in ((0, 2.0), (1, 4.0), (2, 2.0)):
            _sum_around(
                rows[(y - 2) % 3, kind], rows[(y - 1) % 3, kind], rows[y % 3, kind], weight, sums[kind]
            )
        levels, lights = noise[y, 1 : width + 1], light[y, 1 : width + 1]
        for x in range(width):
            enough, mean = weights[x] >= _BRIDGE, np.divide(total[x], weights[x])
            level = np.divide(np.sqrt(variance[x]), weights[x]) / 0.375 if enough else 0.0
            levels[x] = level
            lights[x] = mean if enough & (mean > _THRESHOLD * level) else -np.inf


@compiled
def _sum_around(above: Any, here: Any, below: Any, weight: float, total: Any) -> None:
    """Fill in sums (x,) over a pixel and those around it, of three rows (x + 2,): with weight where they are of its row or column, with its square where of both."""
    twice, size = weight * weight, total.size
    right_above, right, right_below = above[2:], here[2:], below[2:]
    above_it, it, below_it = above[1:], here[1:], below[1:]
    for x in range(size):
        upper = 0.0 + above[x] + weight * above_it[x] + right_above[x]
        same = upper + weight * here[x] + twice * it[x] + weight * right[x]
        total[x] = same + below[x] + weight * below_it[x] + right_below[x]


@compiled
def _light(image: Any, bad: Any, noise: float, line: Any, sky: Any, light: Any) -> None:
    """Fill all but the frame of `light` with an image convolved with a 3 x 3 binomial kernel, where it is above the threshold in its noise; and `sky` (y, x) uint8 with ones where it is not, nor bad. `line` (x,) is for work."""
    height, width = image.shape
    once, twice = np.float32(1 / 16), np.float32(2 / 16)  # divided first: no sum overflows
    dark, least = np.float32(-np.inf), np.float32(_THRESHOLD * noise)
    for y in range(height):
        here = image[y]
        for x in range(width):
            line[x] = twice * here[x]
        for beside in (y - 1, y + 1):
            if 0 <= beside < height:
                row = image[beside]
                for x in range(width):
                    line[x] += once * row[x]
        row, lost, unlit = light[y + 1, 1 : width + 1], bad[y].view(np.uint8), sky[y]
        left, middle, right = line[: width - 2], line[1 : width - 1], line[2:]
        inner = row[1 : width - 1]
        for x in range(inner.size):
            inner[x] = middle[x] + middle[x] + left[x] + right[x]
        row[0] = line[0] + line[0] + line[1]
        row[width - 1] = line[width - 1] + line[width - 1] + line[width - 2]
        for x in range(width):
            lit = (row[x] > least) & (lost[x] == 0)
            unlit[x] = (lost[x] | lit) ^ 1
            row[x] = row[x] if lit else dark


@compiled
def _share_out(light: Any, region: Any, own: int, noise: Any, bad: Any, central: Any, others: Any) -> bool:
    """Fill in whose the pixels are; whether the object is near enough to the stamp's middle to be one. `noise`: see `kernels.segmentation.watershed.part`."""
    height, width = central.shape
    values, levels, taken = light.ravel(), noise.ravel(), others.view(np.uint8)
    for y in range(height):
        owner, lost = region[y + 1, 1 : width + 1], bad[y].view(np.uint8)
        ours, theirs = central[y].view(np.uint8), taken[y]
        for x in range(width):
            ours[x] = (owner[x] == own) & (lost[x] == 0)
            theirs[x] = (owner[x] != own) & (owner[x] >= 0) & (lost[x] == 0)
        for x in range(width):
            if theirs[x]:
                other = owner[x]
                theirs[x] = values[other] > _NEIGHBOUR * levels[min(other, levels.size - 1)]
    if _is_near(central):
        return True
    if values[own] > _NEIGHBOUR * levels[min(own, levels.size - 1)]:
        others |= central
    central[:] = False
    return False


@compiled
def _is_near(central: Any) -> bool:
    """Whether any pixel (y, x) is near the stamp's middle."""
    height, width = central.shape
    reach = (_REACH * min(height, width)) ** 2
    for y in range(height):
        down = (y - (height - 1) / 2) ** 2
        if down <= reach:
            for x in range(width):
                if central[y, x] and down + (x - (width - 1) / 2) ** 2 <= reach:
                    return True
    return False
