"""Segments that a survey's own segmentation map gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from kernels.compiled import compiled
from kernels.segmentation.detection_image import detection_image
from kernels.segmentation.segments import Segments, segment

__all__ = ["given"]

_OWN, _OTHERS, _UNKNOWN = 1, 2, 3


def given(
    stamps: torch.Tensor, bad: torch.Tensor, owners: torch.Tensor, noise: torch.Tensor | None = None
) -> Segments:
    """Segments of stamps by a map of owners; those that the map does not have are segmented here.

    Parameters
    ----------
    stamps, bad, noise
        See `kernels.segmentation.segments.segment`.
    owners : (n, y, x) uint8 tensor
        1: the object's own pixel, 2: another object's, 0: nobody's; 3 in all pixels of a stamp whose object the map does not have.

    Returns
    -------
    Segments
        Pixels that are bad in all bands are nobody's. The peak is the brightest own pixel after smoothing by a 3 x 3 binomial kernel.
    """
    images, _, nowhere = detection_image(stamps, bad, noise)
    everywhere = torch.from_numpy(nowhere).to(stamps.device)
    central, others = (owners == _OWN) & ~everywhere, (owners == _OTHERS) & ~everywhere
    peak = np.zeros((len(images), 2), np.int32)
    _peaks(images, central.numpy(force=True), peak)
    found = Segments(central, others, central.flatten(1).any(dim=1), torch.from_numpy(peak).to(stamps.device))
    unknown = (owners[:, 0, 0] == _UNKNOWN).nonzero()[:, 0]
    if len(unknown):
        ours = segment(stamps[unknown], bad[unknown], None if noise is None else noise[unknown])
        for theirs, own in zip(found.tensors, ours.tensors, strict=True):
            theirs[unknown] = own
    return found


@compiled
def _peaks(images: Any, central: Any, peak: Any) -> None:
    """Fill in x, y of the brightest smoothed pixel of each central region."""
    n, height, width = images.shape
    for i in range(n):
        brightest = -np.inf
        for y in range(height):
            for x in range(width):
                if not central[i, y, x]:
                    continue
                light = 0.0
                for to_y in range(max(y - 1, 0), min(y + 2, height)):
                    for to_x in range(max(x - 1, 0), min(x + 2, width)):
                        weight = (2.0 if to_y == y else 1.0) * (2.0 if to_x == x else 1.0)
                        light += weight * images[i, to_y, to_x]
                if light > brightest:
                    brightest = light
                    peak[i, 0], peak[i, 1] = x, y
