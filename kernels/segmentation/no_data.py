"""Pixels that are no data: off the image, not finite, or zeros that stand for holes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled

__all__ = ["no_data", "outside"]


def no_data(stamps: torch.Tensor, holes: torch.Tensor) -> torch.Tensor:
    """Where stamps have no data.

    Parameters
    ----------
    stamps : (n, b, y, x) float32 tensor
    holes : (n,) bool tensor
        In which stamps zeros stand for pixels that are no data.

    Returns
    -------
    (n, b, y, x) bool tensor: not finite; or rows or columns from a border on that are nothing but zeros, as smaller images are padded with them; or holes.
    """
    images = stamps.flatten(0, 1).contiguous().numpy(force=True)
    found = np.empty(images.shape, np.bool_)
    _mark(images, holes.repeat_interleave(stamps.shape[1]).numpy(force=True), found)
    return torch.from_numpy(found).to(stamps.device).view(stamps.shape)


def outside(images: torch.Tensor) -> torch.Tensor:
    """Where images (n, y, x) have no data, see `no_data`; without holes."""
    return no_data(images[:, None], torch.zeros(len(images), dtype=torch.bool))[:, 0]


@compiled
def _mark(images: Any, holes: Any, found: Any) -> None:
    n, height, width = images.shape
    for i in range(n):
        image = images[i]
        top, bottom, left, right = _bounds(image)
        for y in range(height):
            lost, first, last = found[i, y].view(np.uint8), left, right
            if not top <= y < bottom:
                first, last = width, width
            lost[:first] = 1
            lost[last:] = 1
            row, lost = image[y, first:last], lost[first:last]
            for x in range(row.size):
                lost[x] = row[x] - row[x] != 0  # not finite: compilers make vectors of this
            if holes[i]:
                for x in range(row.size):
                    lost[x] |= row[x] == 0


@compiled
def _bounds(image: Any) -> Any:
    """First row and column that are not nothing but zeros, and those after the last."""
    height, width = image.shape
    top, bottom, left, right = 0, height, 0, width
    while top < height and not image[top].any():
        top += 1
    while bottom > top and not image[bottom - 1].any():
        bottom -= 1
    while left < width and not image[top:bottom, left].any():
        left += 1
    while right > left and not image[top:bottom, right - 1].any():
        right -= 1
    return top, bottom, left, right
