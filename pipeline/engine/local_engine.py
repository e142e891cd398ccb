"""Small work in this process: the same readers, actors, writers and tasks as Ray's, in threads instead of worker processes.

What they compute in lets go of Python's lock (torch, numba, Arrow, NumPy), so threads fill the cores. Nothing is started, and nothing is
loaded twice.
"""

from __future__ import annotations

import collections
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Self

import torch
from threadpoolctl import threadpool_limits

from catalogs.errors import TuningforkError
from catalogs.packed import read_slice
from pipeline.engine.cluster import WorkLost
from pipeline.engine.cores import usable_cores
from pipeline.engine.slice_tasks import Read
from pipeline.engine.streams import follow
from pipeline.engine.under_way import LocalUnderWay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType

    import pyarrow as pa

    from catalogs.packed import SliceTable
    from catalogs.slices import Slice
    from pipeline.engine.engine import Actors, Reader, Writer
    from pipeline.engine.slice_tasks import OnSlices
    from pipeline.engine.streams import Stream

__all__ = ["LocalEngine"]


class LocalEngine:
    """Works in threads of this process, as many as it may use cores. A context manager."""

    def __init__(self) -> None:
        self._cores = usable_cores()

    def __enter__(self) -> Self:
        # A worker of Ray has one thread for arithmetic, unless its actor asks for more; so has each of these.
        self._limits = threadpool_limits(1, user_api="blas")
        self._tasks = ThreadPoolExecutor(self._cores, "task", _one_thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tasks.shutdown(wait=kind is not KeyboardInterrupt, cancel_futures=True)
        self._limits.restore_original_limits()

    def stream(self, stream: Stream, reader: Reader, actors: Actors, writer: Writer) -> None:
        """See `pipeline.engine.engine.Engine`."""
        number = min(actors.most, len(stream.missing), self._cores)
        with _Workers(stream, reader, actors, writer, number) as workers:
            follow(stream, workers.written(), workers.under_way.total)

    def map(
        self,
        function: Callable[..., Any],
        each: Iterable[tuple[Any, ...]],
        *shared: Any,
        names: Sequence[str] | None = None,  # noqa: ARG002 - nobody lists threads
    ) -> Iterator[Any]:
        """See `pipeline.engine.engine.Engine`."""
        return _in_order([self._tasks.submit(function, *arguments, *shared) for arguments in each])


class _Workers:
    """Threads of a stream: each has an actor, and writes what that made; a few more read ahead of them.

    No more slices are in memory than twice as many as there are actors.
    """

    def __init__(self, stream: Stream, reader: Reader, actors: Actors, writer: Writer, number: int) -> None:
        make: Any = actors.kind
        self._make = lambda: make(*actors.arguments, stream.metrics)
        self._write = writer.write
        self._readers = ThreadPoolExecutor(number, "reader", _one_thread)
        self._read = self._ahead(Read(reader.read, stream.metrics), stream.missing, number)
        self._making, self._taking = threading.Lock(), threading.Lock()
        self._over, self.under_way = threading.Event(), LocalUnderWay()
        self._told: queue.SimpleQueue[dict[str, Any] | BaseException | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name="actor", daemon=True) for _ in range(number)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        # Somebody who interrupts does not wait for slices that are being worked on: their parts are absent, or complete.
        wait = kind is not KeyboardInterrupt
        self._readers.shutdown(wait=wait, cancel_futures=True)
        for thread in self._threads if wait else ():
            thread.join()

    def written(self) -> Iterator[dict[str, Any]]:
        """What was written, or not, as it comes: the fields of `pipeline.engine.slice_tasks.WRITTEN`."""
        running = len(self._threads)
        while running:
            told = self._told.get()
            if isinstance(told, BaseException):
                raise told
            if told is None:
                running -= 1
            else:
                yield told

    def _run(self) -> None:
        """Work on slices until there are no more, or all is over."""
        actor: OnSlices | None = None
        try:
            _one_thread()
            actor = self._made()
            while (found := self._next()) is not None:
                worked_on = actor(found)
                if self._over.is_set():
                    break
                self._told.put(self._write(worked_on).to_pylist()[0])
        except BaseException as error:  # noqa: BLE001 - it is raised where the stream is followed
            self._told.put(error)
        finally:
            if actor is not None:
                actor.close()
            self._told.put(None)

    def _made(self) -> OnSlices:
        """An actor. They are made one after another: torch has one random generator, which is seeded for what a network begins with."""
        try:
            with self._making:
                made: OnSlices = self._make()
        except Exception as error:
            raise WorkLost(
                f"an actor cannot start: {type(error).__name__}: {str(error).rstrip('.')}. Nothing is lost: run the same command again."
            ) from error
        made.tell = self.under_way.tell
        return made

    def _next(self) -> SliceTable | None:
        with self._taking:
            reading = None if self._over.is_set() else next(self._read, None)
        return None if reading is None else reading.result()

    def _ahead(
        self, read: Callable[[Slice], pa.Table], pieces: Iterable[Slice], number: int
    ) -> Iterator[Future[SliceTable]]:
        """Slices in order; while one is worked on, so many of those after it are read."""
        waiting: collections.deque[Future[SliceTable]] = collections.deque()
        for piece in pieces:
            waiting.append(self._readers.submit(read_slice, read, piece))
            if len(waiting) > number:
                yield waiting.popleft()
        yield from waiting


def _in_order(tasks: list[Future[Any]]) -> Iterator[Any]:
    try:
        while tasks:
            yield tasks.pop(0).result()
    except (ValueError, TuningforkError) as error:
        raise TuningforkError(str(error)) from error
    finally:
        for task in tasks:
            task.cancel()


def _one_thread() -> None:
    """For arithmetic in the thread that calls, and in those that it starts."""
    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")  # libraries that use OpenMP have a limit for each thread
