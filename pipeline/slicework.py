"""What Ray's workers do with a slice: read it, let an actor work on it, and write its part.

Actors are imported where they are made: a worker that only writes parts need not load torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray

from actors.embeddings import embeddings_of
from actors.making import EncodeAndMeasure
from actors.serving.contract import ServingError
from catalogs import parts
from catalogs.flags import count
from catalogs.slices import Slice
from catalogs.source import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from actors.embedder import Effort
    from pipeline.metrics import RunMetrics

# One row is one slice: it is handed over whole, and without a copy.
ONE_SLICE: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow", "zero_copy_batch": True}


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

    def __call__(self, row: pa.Table) -> pa.Table:
        if row["fault"][0].is_valid:
            return row
        piece, before = slice_of(row), self._effort()
        try:
            with self._metrics.step(self._step):
                return pack(piece, self._work(unpack(row)))
        except ValueError as error:
            return pack(piece, None, str(error), stop_run=isinstance(error, ServingError))
        finally:
            now = self._effort()
            if before is not None and now is not None:
                self._metrics.computed(before, now)


class Encode(OnSlices):
    """The encoder and the measurer as Ray Data sees them: both look at stamps while they are in memory."""

    def __init__(self, encoder: dict[str, Any], measurer: dict[str, Any] | None, metrics: RunMetrics) -> None:
        work = EncodeAndMeasure(encoder, measurer)
        super().__init__(work, "encode", metrics, lambda: work.effort)


class DrawAndEncode(OnSlices):
    """The painter and the encoder as Ray Data sees them: what is drawn is encoded where it is drawn, and then forgotten."""

    def __init__(self, painter: dict[str, Any], encoder: dict[str, Any], metrics: RunMetrics) -> None:
        from actors.painter import Painter  # noqa: PLC0415

        encode = EncodeAndMeasure(encoder, None)
        paint = Painter(**painter)  # after the encoder: drawing takes longer, so its number of threads holds
        super().__init__(lambda wishes: encode(paint(wishes)), "augment", metrics, lambda: encode.effort)


class Vote(OnSlices):
    """The voter as Ray Data sees it."""

    def __init__(self, options: Any, metrics: RunMetrics) -> None:
        from actors.voter import Voter  # noqa: PLC0415

        super().__init__(Voter(**ray.get(options)), "vote", metrics)


def slice_of(row: pa.Table) -> Slice:
    """Which slice a row of the dataset is."""
    return Slice(row["shard"][0].as_py(), row["start"][0].as_py(), row["stop"][0].as_py())


def write_part(row: pa.Table, *, folder: str, fingerprint: str, metrics: RunMetrics) -> pa.Table:
    """Write one slice's part and say so."""

    def write(piece: Slice, rows: pa.Table) -> dict[str, int]:
        receipt = _receipt(piece, rows, fingerprint)
        parts.write(folder, piece, rows, receipt)
        return receipt.flags

    return written(row, write, metrics)


def written(
    row: pa.Table, write: Callable[[Slice, pa.Table], Mapping[str, int]], metrics: RunMetrics
) -> pa.Table:
    """Write one slice and say so, as a row of `WRITTEN`; a disk that is full or read-only stops the run, and so do servers that are lost.

    `write` answers how many objects carry each flag.
    """
    piece, fault, stop = slice_of(row), row["fault"][0].as_py(), row["stop_run"][0].as_py()
    objects, flags = 0, {}
    if fault is None:
        try:
            rows = unpack(row)
            with metrics.step("write"):
                flags = dict(write(piece, rows))
            objects = rows.num_rows
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


def _receipt(piece: Slice, rows: pa.Table, fingerprint: str) -> parts.Receipt:
    receipt = parts.Receipt(piece.shard, piece.start, piece.stop, rows.num_rows, 0, fingerprint)
    if "embedding" not in rows.column_names:
        usable = rows.num_rows - rows["group"].null_count
        return parts.Receipt(**{**vars(receipt), "usable": usable})
    values, usable_mask = embeddings_of(rows["embedding"])
    found = {
        "usable": int(usable_mask.sum()),
        "flags": count(rows["flags"].to_numpy()),
        "largest": float(abs(values).max()) if values.size else 0.0,
    }
    return parts.Receipt(**{**vars(receipt), **found})
