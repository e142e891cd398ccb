"""The compiled loops: whether they are compiled, and compiling them all, before anybody waits for one.

Run as a module with the number of a part, it compiles that part: parts are made by processes beside one another.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from kernels.measure.asymmetry import asymmetry, sky_asymmetry
from kernels.measure.morphology import measure
from kernels.measure.smoothness import smoothness
from kernels.segmentation.fill import fill
from kernels.segmentation.given import given
from kernels.segmentation.no_data import no_data
from kernels.segmentation.noise_map import NoiseMap
from kernels.segmentation.segments import segment

__all__ = ["PARTS", "compile_part"]

_SIDE = 48


def compile_part(number: int) -> None:
    """Compile one of `PARTS` and keep it on disk, where `kernels.compiled` has a place to."""
    PARTS[number]()


def _stamps() -> torch.Tensor:
    """Two galaxies (2, 1, y, x), each with a neighbour, in noise of one."""
    middle, line = _SIDE // 2, torch.arange(_SIDE)
    images = torch.randn(2, 1, _SIDE, _SIDE, generator=torch.Generator().manual_seed(1))
    for x, y, width, peak in ((middle, middle, 4.0, 100.0), (middle + 15, middle, 2.0, 40.0)):
        images += peak * torch.exp(-((line - x) ** 2 + (line[:, None] - y) ** 2) / (2 * width**2))
    return images


def _found_and_filled() -> None:
    """Segments, filling, and the two measures that need nothing of the others."""
    stamps = _stamps()
    images, bad = stamps[:, 0], no_data(stamps, torch.zeros(2, dtype=torch.bool))
    segments = segment(stamps, bad)
    total = torch.ones_like(stamps)
    noise = NoiseMap.of(total, segments, bad, photons=True)
    segment(stamps, bad, total)
    fill(stamps.numpy(), segments, bad, np.arange(2, dtype=np.uint64))
    middle, radius = torch.full((2, 2), _SIDE / 2).double(), torch.full((2,), 12.0).double()
    sky = ~(segments.central | segments.others)
    for depth in (None, noise.sky[:, 0]):
        asymmetry(images, segments.others, middle, radius, sky_asymmetry(images, sky, depth), depth)
        smoothness(images, segments.others, sky, middle, radius, depth)


def _measured() -> None:
    """All other measures."""
    stamps = _stamps()
    bad, owners = torch.zeros_like(stamps, dtype=torch.bool), torch.zeros(2, _SIDE, _SIDE, dtype=torch.uint8)
    owners[:, 12:36, 12:36] = 1
    quantities = ("shape", "gini", "mid", "sersic")
    measure(stamps[:, 0], bad[:, 0], quantities=quantities, segments=given(stamps, bad, owners))


PARTS = (_found_and_filled, _measured)

if __name__ == "__main__":
    compile_part(int(sys.argv[1]))
