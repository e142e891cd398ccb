"""Logarithms and powers of two of rows of numbers, in loops that compilers make vectors of: the same bits wherever a number stands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kernels.compiled import compiled

__all__ = ["log2", "power_of_two"]

_ROOT = np.float32(math.sqrt(2))
_LOG = tuple(np.float32(2 / ((2 * power + 1) * math.log(2))) for power in range(5))
_POWER = tuple(np.float32(math.sqrt(2) * math.log(2) ** power / math.factorial(power)) for power in range(8))
_LEAST = np.float32(-126)


@compiled
def log2(values: Any, bits: Any, whole: Any) -> None:
    """Logarithms of base two of positive float32 numbers (k,), in their place; `bits` are the same numbers as int32, `whole` is room for as many.

    The exponent, and of the rest the area hyperbolic tangent's series (Abramowitz & Stegun 1964, 4.1.27) about the root of two: within 2e-7.
    """
    for k in range(whole.size):
        whole[k] = (bits[k] >> 23) - 127
        bits[k] = (bits[k] & 0x7FFFFF) | 0x3F800000
    for k in range(whole.size):
        z = (values[k] - _ROOT) / (values[k] + _ROOT)
        z2 = z * z
        rest = z * (_LOG[0] + z2 * (_LOG[1] + z2 * (_LOG[2] + z2 * (_LOG[3] + z2 * _LOG[4]))))
        values[k] = np.float32(whole[k]) + (np.float32(0.5) + rest)


@compiled
def power_of_two(values: Any, bits: Any, whole: Any) -> None:
    """Powers of two with float32 exponents (k,) below 128, in their place; below -126 that of -126. Taylor's series about the root of two: within 2e-7."""
    for k in range(whole.size):
        value = max(values[k], _LEAST)
        floor = np.floor(value)
        z = value - floor - np.float32(0.5)
        low = _POWER[0] + z * (_POWER[1] + z * (_POWER[2] + z * _POWER[3]))
        z4 = (z * z) * (z * z)
        values[k] = low + z4 * (_POWER[4] + z * (_POWER[5] + z * (_POWER[6] + z * _POWER[7])))
        whole[k] = np.int32(floor)
    for k in range(whole.size):
        bits[k] += whole[k] << 23
