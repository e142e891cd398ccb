"""Numbers in order."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.compiled import compiled

__all__ = ["sort"]

_DIGITS = 2048


@compiled
def sort(values: Any, room: Any, count: int) -> None:
    """Sort the first so many of some finite float32 numbers, by eleven bits at a time (radix sort); `room` is as large.

    Bits of positive floats are ordered as they are; those of negative ones the other way round.
    """
    bits, moved = values.view(np.uint32), room.view(np.uint32)
    sign, every = np.uint32(0x80000000), np.uint32(0xFFFFFFFF)
    begin = np.zeros((3, _DIGITS + 1), np.int64)
    for k in range(count):
        key = bits[k]
        key = key ^ every if key & sign else key | sign
        bits[k] = key
        begin[0, (key & np.uint32(2047)) + 1] += 1
        begin[1, ((key >> np.uint32(11)) & np.uint32(2047)) + 1] += 1
        begin[2, (key >> np.uint32(22)) + 1] += 1
    for turn in range(3):
        for digit in range(_DIGITS):
            begin[turn, digit + 1] += begin[turn, digit]
    for turn in range(3):
        shift = np.uint32(11 * turn)
        for k in range(count):
            digit = (bits[k] >> shift) & np.uint32(2047)
            moved[begin[turn, digit]] = bits[k]
            begin[turn, digit] += 1
        bits, moved = moved, bits
    # three turns end in the room
    out = values.view(np.uint32)
    for k in range(count):
        key = bits[k]
        out[k] = key ^ sign if key & sign else key ^ every
