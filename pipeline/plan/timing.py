"""What work takes, by a clock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["seconds"]


def seconds(
    work: Callable[[Any], object], on: object, clock: Callable[[], float] = time.perf_counter
) -> float:
    """What work takes; by the process's clock, of one core, whatever else the machine does: a few seconds of another program say nothing about a run."""
    start = clock()
    work(on)
    return clock() - start
