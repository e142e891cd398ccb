"""The image that objects are found in: the mean of bands, each in its own noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.segmentation.noise import frame_deviations
from kernels.segmentation.selection import select

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["detection_image"]


def detection_image(
    stamps: torch.Tensor, bad: torch.Tensor, noise: torch.Tensor | None
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_]]:
    """The mean (n, y, x) of bands, each in units of its noise over the least of them, so that nothing overflows; its noise, of no stamps where that is not known; and where all bands are bad."""
    n, bands, height, width = stamps.shape
    stamps, bad = stamps.contiguous(), bad.contiguous()
    weights = torch.ones(n, 1) if bands == 1 else _weights(stamps, bad, noise)
    image, everywhere = np.empty((n, height, width), np.float32), np.empty((n, height, width), np.bool_)
    _combine(stamps.numpy(force=True), bad.numpy(force=True), weights.numpy(force=True), image, everywhere)
    if noise is None:
        return image, np.empty((0, height, width)), everywhere
    if bands == 1:
        return image, torch.where(bad, 0.0, noise.double())[:, 0].contiguous().numpy(force=True), everywhere
    variance = np.empty(image.shape)
    _combine_variances(
        noise.contiguous().numpy(force=True), bad.numpy(force=True), weights.numpy(force=True), variance
    )
    return image, torch.from_numpy(variance).sqrt_().numpy(), everywhere


def _weights(stamps: torch.Tensor, bad: torch.Tensor, noise: torch.Tensor | None) -> torch.Tensor:
    """What bands are multiplied by (n, b)."""
    found = np.empty(stamps.shape[:2])
    if noise is None:
        frame_deviations(stamps.numpy(force=True), bad.numpy(force=True), found)
    else:  # light must not be weighed by a step of depth, which would look like an edge
        _middle_noise(noise.contiguous().numpy(force=True), bad.numpy(force=True), found)
    level = torch.from_numpy(found)
    level = torch.where((level > 0).any(dim=1, keepdim=True), torch.where(level > 0, level, torch.inf), 1.0)
    return (level.amin(dim=1, keepdim=True) / level / stamps.shape[1]).float()


@compiled
def _combine(stamps: Any, bad: Any, weights: Any, image: Any, everywhere: Any) -> None:
    """Fill in the sum (n, y, x) of bands, each with its weight (n, b), where they are not bad; and where all are."""
    n, bands, height, width = stamps.shape
    nothing = np.float32(0)
    for i in range(n):
        for y in range(height):
            total, nowhere = image[i, y], everywhere[i, y].view(np.uint8)
            total[:], nowhere[:] = nothing, 1
            for band in range(bands):
                row, lost, weight = stamps[i, band, y], bad[i, band, y].view(np.uint8), weights[i, band]
                for x in range(width):
                    total[x] += weight * (nothing if lost[x] else row[x])
                    nowhere[x] &= lost[x]


@compiled
def _combine_variances(noise: Any, bad: Any, weights: Any, variance: Any) -> None:
    """Fill in the squared noise (n, y, x) of what `_combine` adds."""
    n, bands, height, width = noise.shape
    for i in range(n):
        for y in range(height):
            total = variance[i, y]
            total[:] = 0.0
            for band in range(bands):
                row, lost, weight = noise[i, band, y], bad[i, band, y].view(np.uint8), weights[i, band]
                for x in range(width):
                    own = np.float64(row[x]) * weight
                    total[x] += 0.0 if lost[x] else own * own


@compiled
def _middle_noise(noise: Any, bad: Any, found: Any) -> None:
    """Fill in the lower median (n, b) of the noise where pixels are not bad; nan where all are."""
    n, bands, height, width = noise.shape
    values = np.empty(height * width, noise.dtype)
    for i in range(n):
        for band in range(bands):
            pixels, lost, count = noise[i, band].ravel(), bad[i, band].ravel(), 0
            for k in range(pixels.size):
                values[count] = pixels[k]
                count += (not lost[k]) & (pixels[k] == pixels[k])
            found[i, band] = select(values, count, (count - 1) // 2) if count else np.nan
