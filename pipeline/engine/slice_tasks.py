"""What is done with a slice: it is read, an actor works on it, and what comes of it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from actors.serving.contract import ServingError
from catalogs.packed import SliceTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.embedder import Effort
    from catalogs.slices import Slice
    from pipeline.engine.metrics import RunMetrics


@dataclass(frozen=True)
class Read:
    """A function that reads slices, timed; stamps that it reads are counted."""

    read: Callable[[Slice], pa.Table]
    metrics: RunMetrics

    def __call__(self, piece: Slice) -> pa.Table:
        """Read a slice."""
        with self.metrics.step("read"):
            rows = self.read(piece)
        if "stamp" in rows.column_names:
            self.metrics.read(rows["stamp"].nbytes)
        return rows


class OnSlices:
    """Applies one of our actors to whole slices; a slice that came as a fault is handed on as one.

    Parameters
    ----------
    work : callable
        From the slice's table to what its part holds.
    step : str
        What that is called in metrics.
    metrics : RunMetrics
    effort : callable, optional
        What the encoder in it has computed so far.
    """

    def __init__(
        self,
        work: Callable[[pa.Table], pa.Table],
        step: str,
        metrics: RunMetrics,
        effort: Callable[[], Effort | None] = lambda: None,
    ) -> None:
        self._work, self._step, self._metrics, self._effort = work, step, metrics, effort
        self.tell: Callable[[str, int], None] = _nobody
        """Who hears how many objects of a slice are through, by its name; 0 when it is done with."""

    def __call__(self, found: SliceTable) -> SliceTable:
        if found.rows is None:
            return found
        piece, before = found.piece, self._effort()
        if hasattr(self._work, "progress"):
            self._work.progress = lambda share: self.tell(piece.name, int(share * piece.rows))
        try:
            with self._metrics.step(self._step):
                return SliceTable(piece, self._work(found.rows))
        except ValueError as error:
            return SliceTable(piece, None, str(error), isinstance(error, ServingError))
        finally:
            self.tell(piece.name, 0)
            now = self._effort()
            if before is not None and now is not None:
                self._metrics.computed(before, now)

    def close(self) -> None:
        """Let go of what lies outside of this process."""
        if close := getattr(self._work, "close", None):
            close()


def _nobody(piece: str, objects: int) -> None:
    """Nobody hears it."""


def written(
    found: SliceTable, write: Callable[[Slice, pa.Table], Mapping[str, int]], metrics: RunMetrics
) -> pa.Table:
    """Write one slice and say so, as a row of `WRITTEN`; a disk that is full or read-only stops the run, and so do servers that are lost.

    `write` answers how many objects carry each flag.
    """
    piece, fault, stop = found.piece, found.fault, found.stop_run
    objects, flags = 0, {}
    if found.rows is not None:
        try:
            with metrics.step("write"):
                flags = dict(write(piece, found.rows))
            objects = found.rows.num_rows
        except OSError as error:
            fault, stop = str(error), True
    values = {
        "shard": piece.shard,
        "start": piece.start,
        "stop": piece.stop,
        "objects": objects,
        "flags": list(flags.items()),
        "fault": fault,
        "stop_run": stop,
    }
    return pa.Table.from_pylist([values], schema=WRITTEN)


WRITTEN = pa.schema(
    [
        ("shard", pa.int32()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("objects", pa.int64()),
        ("flags", pa.map_(pa.string(), pa.int64())),
        ("fault", pa.string()),
        ("stop_run", pa.bool_()),
    ]
)
