"""A slice as one row of Arrow: where it is, and its table as bytes; or what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from catalogs.errors import TuningforkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from catalogs.slices import Slice

__all__ = ["SLICE", "pack", "packed", "unpack"]

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


def packed(read: Callable[[Slice], pa.Table], piece: Slice) -> pa.Table:
    """A slice, read and packed. One bad file must not end a run over a billion objects: the slice goes on as a fault."""
    try:
        return pack(piece, read(piece))
    except (TuningforkError, OSError, MemoryError, ValueError) as error:
        return pack(piece, None, f"{type(error).__name__}: {error}")


def pack(
    piece: Slice, rows: pa.Table | None, fault: str | None = None, *, stop_run: bool = False
) -> pa.Table:
    """A slice's table as one row of `SLICE`, without copying it more than once; or its fault, which may concern all slices."""
    if rows is None:
        body = pa.array([None], pa.large_binary())
    else:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        buffer = sink.getvalue()
        offsets = pa.py_buffer(pa.array([0, buffer.size], pa.int64()).buffers()[1])
        body = pa.Array.from_buffers(pa.large_binary(), 1, [None, offsets, buffer])
    where = [
        pa.array([value], kind)
        for value, kind in zip((piece.shard, piece.start, piece.stop), SLICE.types, strict=False)
    ]
    status = [pa.array([fault], pa.string()), pa.array([stop_run])]
    return pa.Table.from_arrays([*where, body, *status], schema=SLICE)


def unpack(row: pa.Table) -> pa.Table:
    """The slice's table, without a copy."""
    return pa.ipc.open_stream(row["rows"].combine_chunks()[0].as_buffer()).read_all()
