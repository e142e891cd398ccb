"""The named bits of an object's `flags`: why it has no result, or what to mind about the one it has."""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from catalogs._types import Integers


class Flag(IntFlag):
    """Bits of the column `flags`."""

    OFF_IMAGE = 1
    """The stamp lies wholly off the image, or the position is unknown."""
    EDGE = 2
    """Part of the stamp lies off the image; those pixels are zero."""
    BAD_PIXELS = 4
    """Some pixels are NaN, infinite, masked or of no weight; they are zero in the stamp."""
    NO_PIXELS = 8
    """In some band no pixel is finite."""
    BLANK = 16
    """In some band all pixels are the same."""
    SATURATED = 32
    """Some pixel reaches the saturation level of the config."""
    BAD_POSITION = 64
    """ra or dec is null, NaN or out of range (0..360, -90..90 degrees)."""
    SYNTHETIC = 128
    """A diffusion model drew the stamp; on all objects of a synthetic release, and on no others."""
    NO_EXTENT = 256
    """`[survey.images] extent` gives no positive number: the stamp covers `size` pixels."""
    NO_SEGMENT = 512
    """The survey's segmentation map has no pixel of the object in its stamp, which is segmented here instead."""
    MISSING_MODALITY = 1024
    """Some modality of the config has no value: the object is encoded from the others."""


UNUSABLE = Flag.OFF_IMAGE | Flag.NO_PIXELS | Flag.BLANK
"""An object with one of these is written with null results."""

DESCRIPTION = "; ".join(f"{flag.value} {flag.name.lower()}" for flag in Flag if flag.name)


def count(flags: Integers) -> dict[str, int]:
    """How many objects carry each flag, by name; flags that no object carries are left out."""
    tally = {str(f.name).lower(): int(np.count_nonzero(flags & f.value)) for f in Flag}
    return {name: number for name, number in tally.items() if number}
