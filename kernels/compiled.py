"""Loops over pixels, compiled: for what has no good form as tensor arithmetic (floods, searches, orders)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
from numba.core import config as settings

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["compiled"]

Loop = TypeVar("Loop", bound="Callable[..., object]")

_SOURCES = [
    Path(__file__),
    *sorted(Path(__file__).parent.glob("measure/*.py")),
    *sorted(Path(__file__).parent.glob("segmentation/*.py")),
]
_DIGEST = hashlib.sha256(b"".join(file.read_bytes() for file in _SOURCES)).hexdigest()[:12]


def compiled(loop: Loop) -> Loop:
    """A function of NumPy arrays and numbers, compiled at its first call; kept on disk where there is a place to.

    Without `fastmath`: a loop that is compiled into another is optimised once more, so sums in an order of the compiler's choice would
    have other last bits in the process that compiles than in those that load what it kept.
    """
    # numba looks at a loop's own file to see whether what it kept is stale, not at the files of the loops that it calls:
    # so what is kept lies in a folder named after all of them
    config: Any = settings  # it makes its attributes at run time
    before, base = config.CACHE_DIR, config.CACHE_DIR or str(Path(__file__).parent / "__pycache__")
    try:
        config.CACHE_DIR = str(Path(base) / f"loops-{_DIGEST}")
        kept = numba.njit(loop, cache=True, nogil=True)
    except (RuntimeError, OSError):  # nowhere to keep it
        kept = numba.njit(loop, nogil=True)
    finally:
        config.CACHE_DIR = before
    return cast("Loop", kept)
