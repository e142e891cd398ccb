"""Streams: slice in, part out, resumable slice by slice.

Slices flow from readers to actors to writers without ever waiting for a stage as a whole. Where actors are slower than readers,
readers wait: see `Stream.slices`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray.data

from catalogs.errors import TuningforkError
from catalogs.slices import Slice
from catalogs.source import SliceSource
from pipeline.engine.cluster import OWN_STORE
from pipeline.engine.metrics import RunMetrics
from pipeline.engine.progress import StageProgress
from pipeline.engine.slice_tasks import Read

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

READ_AT_ONCE = 4
"""The part of a small store that slices may fill which are being read: one so many-th."""


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

    def slices(self, read: Callable[[Slice], pa.Table], row_bytes: int, cpus: float) -> ray.data.Dataset:
        """Every slice that is left, as one row each, read by tasks of so many CPUs; `row_bytes` is about what an object takes.

        Ray Data reads on while the slices that are on their way fill no more than half of the object stores. It judges by slices
        that it has seen, and would begin with as many as there are CPUs for: too many large ones for the small store of one machine.
        """
        bytes_each = row_bytes * max(piece.rows for piece in self.missing)
        source = SliceSource(Read(read, self.metrics), self.missing, bytes_each)
        store = ray.data.DataContext.get_current().get_config(OWN_STORE)
        fit = None if store is None else max(1, store // (READ_AT_ONCE * bytes_each))
        return ray.data.read_datasource(
            source,
            num_cpus=cpus,
            override_num_blocks=len(self.missing),
            concurrency=None if fit is None else min(fit, len(self.missing)),
        )


def follow(stream: Stream, written: ray.data.Dataset) -> None:
    """Let slices be worked on to their end, and show how far that is.

    Parameters
    ----------
    stream : Stream
    written : ray.data.Dataset
        Rows of `pipeline.engine.slice_tasks.WRITTEN`, one a slice.

    Raises
    ------
    SlicesFailed
        If a slice has a fault: at once where that stops the run, else at the end.
    """
    stage, metrics, faults = stream.stage, stream.metrics, dict[str, str]()
    done, waiting = stream.done, len(stream.missing)
    left = sum(piece.rows for piece in stream.missing)
    # The dashboard lists datasets by their names.
    written.set_name(f"{stream.run} {stage}")
    metrics.slices(stage, done=done, waiting=waiting, failed=0)
    with StageProgress(stage, stream.rows, stream.rows - left, stream.interval, stream.run) as progress:
        for row in written.iter_rows():
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
