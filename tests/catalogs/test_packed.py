"""Slices as rows of Ray's datasets."""

from __future__ import annotations

import pyarrow as pa
import pytest

from catalogs.packed import SLICE, SliceTable, pack, read_slice, unpack
from catalogs.slices import Slice

PIECE = Slice(3, 1024, 1027)


@pytest.mark.parametrize("rows", [0, 3])
def test_slice_comes_out_as_another(rows: int) -> None:
    stamps = pa.FixedSizeListArray.from_arrays(pa.array([0.5] * 4 * rows, pa.float32()), 4)
    table = pa.table({"object_id": pa.array(range(rows), pa.int64()), "stamp": stamps, "name": [None] * rows})
    row = pack(SliceTable(PIECE, table))
    assert row.schema == SLICE
    found = unpack(row)
    assert found.rows is not None
    assert found.rows.equals(table)
    assert (found.piece, found.fault, found.stop_run) == (PIECE, None, False)


def test_fault_is_lost_on_the_way() -> None:
    fault = SliceTable(PIECE, None, "the disk is full", stop_run=True)
    assert unpack(pack(fault)) == fault


def test_file_that_cannot_be_read_ends_a_run() -> None:
    def read(piece: Slice) -> pa.Table:
        raise OSError(f"{piece.name} is gone")

    assert read_slice(read, PIECE) == SliceTable(PIECE, None, f"OSError: {PIECE.name} is gone")
