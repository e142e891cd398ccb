"""Processes of this machine for work that holds Python's lock, as `sep` does: threads would take turns.

It answers as an engine does (`pipeline.engine.engine.Engine.map`).
"""

from __future__ import annotations

import multiprocessing
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, Protocol, Self

from pipeline.engine.cluster import WorkLost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

__all__ = ["Mapper", "Processes"]


class Mapper(Protocol):
    """Whatever has an engine's `map`."""

    def map(
        self,
        function: Callable[..., Any],
        each: Iterable[tuple[Any, ...]],
        *shared: Any,
        names: Sequence[str] | None = None,
    ) -> Iterator[Any]:
        """See `pipeline.engine.engine.Engine`."""
        ...


class Processes:
    """A pool of so many processes; one works in this process. A context manager."""

    def __init__(self, number: int) -> None:
        # A forked child would inherit the locks of this process's threads.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(number, context, _ignore_interrupts) if number > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        if kind is KeyboardInterrupt:
            for process in list(self._pool._processes.values()):  # noqa: SLF001 - nobody waits for tiles that are being worked on
                process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def map(
        self,
        function: Callable[..., Any],
        each: Iterable[tuple[Any, ...]],
        *shared: Any,
        names: Sequence[str] | None = None,  # noqa: ARG002 - nobody lists processes
    ) -> Iterator[Any]:
        """See `pipeline.engine.engine.Engine`."""
        each = list(each)
        if self._pool is None or len(each) == 1:
            yield from (function(*arguments, *shared) for arguments in each)
            return
        calls = [self._pool.submit(function, *arguments, *shared) for arguments in each]
        try:
            for call in calls:
                yield call.result()
        except BrokenProcessPool as error:
            raise WorkLost(
                "a process that looked for sources has died: there may be too little memory for [detect] workers tiles at a time"
            ) from error


def _ignore_interrupts() -> None:
    """Ctrl-C reaches all processes of a terminal: it is for the one that ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
