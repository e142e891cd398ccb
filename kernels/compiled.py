"""Loops over pixels, compiled: for what has no good form as tensor arithmetic (floods, searches, orders)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numba
from numba.core import config as settings

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["are_missing", "compiled", "folder"]

Loop = TypeVar("Loop", bound="Callable[..., object]")

_SOURCES = [
    Path(__file__),
    *sorted(Path(__file__).parent.glob("measure/*.py")),
    *sorted(Path(__file__).parent.glob("segmentation/*.py")),
    *sorted(Path(__file__).parent.glob("polar*.py")),
    *(Path(__file__).parent / name for name in ("nearest_loops.py", "smallest.py")),
]
_DIGEST = hashlib.sha256(b"".join(file.read_bytes() for file in _SOURCES)).hexdigest()[:12]


def folder() -> Path:
    """Where what is compiled is kept; named after all loops, for numba looks at a loop's own file to see whether it is stale, not at those that it calls."""
    config: Any = settings  # it makes its attributes at run time
    return Path(config.CACHE_DIR or Path(__file__).parent / "__pycache__") / f"loops-{_DIGEST}"


def are_missing() -> bool:
    """Whether no process has compiled loops here before, and there is a place to keep them."""
    base = folder().parent
    place = next(path for path in (base, *base.parents) if path.exists())
    return not any(folder().rglob("*.nbi")) and os.access(place, os.W_OK)


def compiled(loop: Loop) -> Loop:
    """A function of NumPy arrays and numbers, compiled at its first call; kept on disk where there is a place to.

    Without `fastmath`: a loop that is compiled into another is optimised once more, so sums in an order of the compiler's choice would
    have other last bits in the process that compiles than in those that load what it kept.
    """
    config: Any = settings
    before = config.CACHE_DIR
    try:
        config.CACHE_DIR = str(folder())
        kept = numba.njit(loop, cache=True, nogil=True)
    except (RuntimeError, OSError):  # nowhere to keep it
        kept = numba.njit(loop, nogil=True)
    finally:
        config.CACHE_DIR = before
    return cast("Loop", kept)
