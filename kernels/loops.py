"""Compiling the loops that a run needs if nobody says what it measures, before anybody waits for one.

Run as a module with the number of a part, it compiles that part: parts are made by processes beside one another.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from kernels.measure.fit_windows import Optics, fit_in_windows
from kernels.measure.morphology import measure
from kernels.measure.multimode import multimode
from kernels.measure.quantities import USUAL
from kernels.measure.shapes import Ellipse
from kernels.nearest import nearest
from kernels.segmentation.fill import fill
from kernels.segmentation.given import given
from kernels.segmentation.no_data import no_data
from kernels.segmentation.segments import segment
from kernels.smallest import smallest

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
    """Segments, filling, what needs nothing but them, and what votes are counted with."""
    stamps = _stamps()
    bad = no_data(stamps, torch.zeros(2, dtype=torch.bool))
    segments = segment(stamps, bad)
    fill(stamps.numpy(), segments, bad, np.arange(2, dtype=np.uint64))
    multimode(stamps[:, 0], segments.central)
    codes = np.zeros((4, 2), np.float32)
    nearest(codes, codes)
    smallest(codes, 1)


def _measured() -> None:
    """All else that is measured if nobody says what, with errors, but for the fit."""
    stamps = _stamps()
    bad, owners = torch.zeros_like(stamps, dtype=torch.bool), torch.zeros(2, _SIDE, _SIDE, dtype=torch.uint8)
    owners[:, 12:36, 12:36] = 1
    quantities = tuple(name for name in USUAL if name not in {"mid", "sersic"})
    segments = given(stamps, bad, owners)
    measure(stamps[:, 0], bad[:, 0], quantities=quantities, segments=segments, errors="fast")


def _fitted() -> None:
    """The fit."""
    images, middle = _stamps()[:, 0], torch.full((2, 2), _SIDE / 2, dtype=torch.float64)
    noise, size, angle = (torch.full((2,), value, dtype=torch.float64) for value in (1.0, 4.0, 0.0))
    masked = torch.zeros_like(images, dtype=torch.bool)
    fit_in_windows(images, noise, masked, Optics(), middle, size, 3 * size, Ellipse(middle, noise, angle))


PARTS = (_found_and_filled, _measured, _fitted)

if __name__ == "__main__":
    compile_part(int(sys.argv[1]))
