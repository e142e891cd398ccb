"""Loops over pixels, compiled: for what has no good form as tensor arithmetic (floods, searches, orders)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["compiled"]

Loop = TypeVar("Loop", bound="Callable[..., object]")


def compiled(loop: Loop) -> Loop:
    """A function of NumPy arrays and numbers, compiled at its first call; kept on disk where there is a place to."""
    try:
        kept = numba.njit(loop, cache=True, nogil=True)
    except RuntimeError:  # neither the package's folder nor the user's can be written to
        kept = numba.njit(loop, nogil=True)
    return cast("Loop", kept)
