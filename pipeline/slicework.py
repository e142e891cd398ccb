"""What Ray's workers do with a slice: let an actor work on it, and write its part.

Actors are imported where they are made: a worker that only writes parts need not load torch.
"""

from __future__ import annotations

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
    from collections.abc import Callable

# One row is one slice: it is handed over whole, and without a copy.
ONE_SLICE: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow", "zero_copy_batch": True}


class OnSlices:
    """Applies one of our actors to whole slices; a slice that came as a fault is handed on as one."""

    def __init__(self, work: Callable[[pa.Table], pa.Table]) -> None:
        self._work = work

    def __call__(self, row: pa.Table) -> pa.Table:
        if row["fault"][0].is_valid:
            return row
        piece = slice_of(row)
        try:
            return pack(piece, self._work(unpack(row)))
        except ValueError as error:
            return pack(piece, None, str(error), stop_run=isinstance(error, ServingError))


class Encode(OnSlices):
    """The encoder and the measurer as Ray Data sees them: both look at stamps while they are in memory."""

    def __init__(self, encoder: dict[str, Any], measurer: dict[str, Any] | None) -> None:
        super().__init__(EncodeAndMeasure(encoder, measurer))


class DrawAndEncode(OnSlices):
    """The painter and the encoder as Ray Data sees them: what is drawn is encoded where it is drawn, and then forgotten."""

    def __init__(self, painter: dict[str, Any], encoder: dict[str, Any]) -> None:
        from actors.painter import Painter  # noqa: PLC0415

        encode = EncodeAndMeasure(encoder, None)
        paint = Painter(**painter)  # after the encoder: drawing takes longer, so its number of threads holds
        super().__init__(lambda wishes: encode(paint(wishes)))


class Vote(OnSlices):
    """The voter as Ray Data sees it."""

    def __init__(self, options: Any) -> None:
        from actors.voter import Voter  # noqa: PLC0415

        super().__init__(Voter(**ray.get(options)))


def slice_of(row: pa.Table) -> Slice:
    """Which slice a row of the dataset is."""
    return Slice(row["shard"][0].as_py(), row["start"][0].as_py(), row["stop"][0].as_py())


def write_part(row: pa.Table, *, folder: str, fingerprint: str) -> pa.Table:
    """Write one slice's part and say so."""

    def write(piece: Slice, rows: pa.Table) -> None:
        parts.write(folder, piece, rows, _receipt(piece, rows, fingerprint))

    return written(row, write)


def written(row: pa.Table, write: Callable[[Slice, pa.Table], None]) -> pa.Table:
    """Write one slice and say so, as a row of `WRITTEN`; a disk that is full or read-only stops the run, and so do servers that are lost."""
    piece, fault, stop = slice_of(row), row["fault"][0].as_py(), row["stop_run"][0].as_py()
    if fault is None:
        try:
            write(piece, unpack(row))
        except OSError as error:
            fault, stop = str(error), True
    values = {
        "shard": piece.shard,
        "start": piece.start,
        "stop": piece.stop,
        "fault": fault,
        "stop_run": stop,
    }
    return pa.Table.from_pylist([values], schema=WRITTEN)


WRITTEN = pa.schema(
    [
        ("shard", pa.int32()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
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
