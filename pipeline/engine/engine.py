"""What the stages ask of whoever does the work: streams of slices, and tasks of barriers.

Two do it, with the same bytes: Ray (`pipeline.engine.ray_engine`), on this machine or on a cluster, and this process itself
(`pipeline.engine.local_engine`), where the work is small. No stage knows which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa

    from catalogs.packed import SliceTable
    from catalogs.slices import Slice
    from pipeline.engine.slice_tasks import OnSlices
    from pipeline.engine.streams import Stream

__all__ = ["Actors", "Engine", "Reader", "Writer"]


@dataclass(frozen=True)
class Reader:
    """How slices are read."""

    read: Callable[[Slice], pa.Table]
    row_bytes: int
    """About what an object takes in memory."""
    cpus: float
    """That Ray sets aside for each reader."""


@dataclass(frozen=True)
class Actors:
    """Who works on slices: a pool of actors, each of which is made once."""

    kind: type[OnSlices]
    arguments: tuple[Any, ...]
    """Of its constructor, which gets the run's metrics after them."""
    most: int
    """Actors in the pool; there are never more than slices."""
    cpus: float
    """That Ray sets aside for each of them."""
    gpus: float = 0.0
    grows: bool = False
    """Begins with one actor, and takes as many as there is room for."""


@dataclass(frozen=True)
class Writer:
    """How slices are written."""

    write: Callable[[SliceTable], pa.Table]
    """From a slice to a row of `pipeline.engine.slice_tasks.WRITTEN`."""
    cpus: float = 0.25


class Engine(Protocol):
    """Does the work of a run's stages."""

    def stream(self, stream: Stream, reader: Reader, actors: Actors, writer: Writer) -> None:
        """Read, work on and write every slice that is left, each by itself, without waiting for a stage as a whole; show progress.

        Raises
        ------
        pipeline.engine.streams.SlicesFailed
            If a slice has a fault: at once where that stops the run, else at the end.
        """
        ...

    def map(
        self,
        function: Callable[..., Any],
        each: Iterable[tuple[Any, ...]],
        *shared: Any,
        names: Sequence[str] | None = None,
    ) -> Iterator[Any]:
        """What a function of a module says of each tuple of arguments, followed by those that all calls share, in order.

        The calls begin at once, at the same time. `names` are theirs, for Ray's dashboard; by default the function's.

        Raises
        ------
        TuningforkError
            While answers are taken, where a call raised one, or a `ValueError`.
        """
        ...
