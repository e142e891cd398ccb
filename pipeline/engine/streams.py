"""Streams: slice in, part out, resumable slice by slice.

Slices flow from readers to actors to writers without ever waiting for a stage as a whole; who carries them is an
`pipeline.engine.engine.Engine`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalogs.errors import TuningforkError
from catalogs.slices import Slice
from pipeline.engine.metrics import RunMetrics
from pipeline.engine.progress import StageProgress
from pipeline.engine.under_way import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class SlicesFailed(TuningforkError):
    """Some slices have no part: the run is resumable, and says which slices and why."""

    def __init__(self, stage: str, faults: dict[str, str]) -> None:
        self.faults = faults
        lines = [f"  {name}: {fault}" for name, fault in sorted(faults.items())[:20]]
        more = [f"  and {len(faults) - 20} more"] if len(faults) > 20 else []
        super().__init__("\n".join([f"{stage}: {len(faults)} slices failed:", *lines, *more]))


@dataclass(frozen=True)
class Stream:
    """One streaming stage of one run: what is left to do, and the names in its progress and metrics."""

    run: str
    """The run's id."""
    stage: str
    missing: list[Slice]
    done: int
    """Slices that are done already."""
    rows: int
    """Of all slices, those that are done already among them."""
    interval: float
    """See `StageProgress`."""
    shard: Callable[[int], str]
    """What people call a shard, by its number."""

    @property
    def metrics(self) -> RunMetrics:
        """Of the run."""
        return RunMetrics(self.run)


def follow(
    stream: Stream, written: Iterable[dict[str, Any]], under_way: Callable[[], int] = lambda: 0
) -> None:
    """Let slices be worked on to their end, and show how far that is.

    Parameters
    ----------
    stream : Stream
    written : iterable of dict
        Rows of `pipeline.engine.slice_tasks.WRITTEN`, one a slice.
    under_way : callable, optional
        How many objects actors are through with, of slices that are not written yet.

    Raises
    ------
    SlicesFailed
        If a slice has a fault: at once where that stops the run, else at the end.
    """
    stage, metrics, faults = stream.stage, stream.metrics, dict[str, str]()
    done, waiting = stream.done, len(stream.missing)
    left = sum(piece.rows for piece in stream.missing)
    metrics.slices(stage, done=done, waiting=waiting, failed=0)
    with (
        StageProgress(stage, stream.rows, stream.rows - left, stream.interval, stream.run) as progress,
        shown(progress, under_way),
    ):
        for row in written:
            piece, fault = Slice(row["shard"], row["start"], row["stop"]), row["fault"]
            waiting -= 1
            if fault is None:
                done += 1
                progress.advance(piece.rows)
                metrics.wrote(stage, row["objects"], dict(row["flags"]))
            else:
                faults[piece.name] = fault
                progress.fault(stream.shard(piece.shard), piece.start, piece.stop, fault)
                metrics.failed(stage)
            metrics.slices(stage, done=done, waiting=waiting, failed=len(faults))
            if row["stop_run"]:
                raise SlicesFailed(stage, faults)
    if faults:
        raise SlicesFailed(stage, faults)
