"""How far an actor is with the table that it works on, for people who wait."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TwoSteps", "nobody"]


def nobody(stamps: float) -> None:
    """Nobody hears it."""


class TwoSteps:
    """The share that is done of work in two steps, one after the other, judged by what they took before.

    Parameters
    ----------
    told : callable
        Hears the share.
    seconds : list of float
        What the two steps took until now, not 0 in all; these are added.
    total : int
        Stamps.
    """

    def __init__(self, told: Callable[[float], None], seconds: list[float], total: int) -> None:
        self._told, self._seconds, self._total = told, seconds, max(1, total)
        self._first = seconds[0] / sum(seconds)
        self._done, self._begun = 0.0, time.perf_counter()

    def first(self, stamps: float) -> None:
        """So many more are through the first step."""
        self._done += self._first * stamps / self._total
        self._told(self._done)

    def between(self) -> None:
        """The first step is over."""
        now = time.perf_counter()
        self._seconds[0] += now - self._begun
        self._done, self._begun = self._first, now
        self._told(self._done)

    def second(self, stamps: float) -> None:
        """So many more are through the second step."""
        self._done += (1.0 - self._first) * stamps / self._total
        self._told(self._done)

    def over(self) -> None:
        """Both steps are over."""
        self._seconds[1] += time.perf_counter() - self._begun
