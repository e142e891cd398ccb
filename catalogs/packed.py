"""A slice with its table, or with what is wrong with it; and both as one row of Arrow, for Ray Data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from catalogs.errors import TuningforkError
from catalogs.slices import Slice

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SLICE", "SliceTable", "pack", "read_slice", "unpack"]

SLICE = pa.schema(
    [
        ("shard", pa.int32()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("rows", pa.large_binary()),
        ("fault", pa.string()),
        ("stop_run", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class SliceTable:
    """A slice, and its table or a fault."""

    piece: Slice
    rows: pa.Table | None
    fault: str | None = None
    stop_run: bool = False
    """Whether the fault concerns all slices."""


def read_slice(read: Callable[[Slice], pa.Table], piece: Slice) -> SliceTable:
    """A slice, read. One bad file must not end a run over a billion objects: the slice goes on as a fault."""
    try:
        return SliceTable(piece, read(piece))
    except (TuningforkError, OSError, MemoryError, ValueError) as error:
        return SliceTable(piece, None, f"{type(error).__name__}: {error}")


def pack(found: SliceTable) -> pa.Table:
    """One row of `SLICE`; the table is copied once."""
    if found.rows is None:
        body = pa.array([None], pa.large_binary())
    else:
        buffer = _stream(found.rows)
        offsets = pa.py_buffer(pa.array([0, buffer.size], pa.int64()).buffers()[1])
        body = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, buffer])
    piece = found.piece
    where = [
        pa.array([value], kind)
        for value, kind in zip((piece.shard, piece.start, piece.stop), SLICE.types, strict=False)
    ]
    status = [pa.array([found.fault], pa.string()), pa.array([found.stop_run])]
    return pa.Table.from_arrays([*where, body, *status], schema=SLICE)


def unpack(row: pa.Table) -> SliceTable:
    """What `pack` was given; the table lies in the row."""
    shard, start, stop, body, fault, stop_run = (column.chunk(0)[0] for column in row.columns)
    piece = Slice(shard.as_py(), start.as_py(), stop.as_py())
    rows = pa.ipc.open_stream(body.as_buffer()).read_all() if body.is_valid else None
    return SliceTable(piece, rows, fault.as_py(), stop_run.as_py())


def _stream(rows: pa.Table) -> pa.Buffer:
    """A table as a stream, in memory that is as large from the start."""
    counted = pa.MockOutputStream()
    _write(rows, counted)
    buffer = pa.allocate_buffer(counted.size())
    _write(rows, pa.FixedSizeBufferWriter(buffer))
    return buffer


def _write(rows: pa.Table, sink: pa.NativeFile) -> None:
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
