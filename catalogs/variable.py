"""Columns of variable length in FITS tables: each row says where its values lie in the heap behind the rows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs.errors import CorruptFile

if TYPE_CHECKING:
    from typing import IO

    from astropy.io import fits

    from catalogs._types import Array

__all__ = ["Heap", "element_of", "values_of"]

FORMAT = re.compile(r"\d?[PQ]([LBIJKED])")
KINDS = {"L": "i1", "B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
LARGEST = 1 << 30
"""Bytes of the heap that a slice may need at once."""


def element_of(column: fits.Column) -> str | None:
    """NumPy's type of a column's values; None where it is of fixed length, or of texts or complex numbers."""
    found = FORMAT.match(str(column.format))
    return None if found is None else KINDS[found[1]]


class Heap:
    """The heap of a table, of which some bytes are read.

    Parameters
    ----------
    url : str
    stream : binary stream
    offset : int
        Byte at which the heap begins.
    """

    def __init__(self, url: str, stream: IO[bytes], offset: int) -> None:
        self._url, self._stream, self._offset = url, stream, offset

    def read(self, start: int, stop: int) -> bytes:
        """Bytes of the heap.

        Raises
        ------
        CorruptFile
            If the file ends before, or they are far too many.
        """
        if not 0 <= start <= stop or stop - start > LARGEST:
            raise CorruptFile(
                f"{self._url}: rows point to bytes {start} to {stop} of its heap. Fetch the file again."
            )
        self._stream.seek(self._offset + start)
        data = self._stream.read(stop - start)
        if len(data) < stop - start:
            raise CorruptFile(f"{self._url}: ends inside its heap. Fetch the file again.")
        return data


def values_of(descriptors: Array, column: fits.Column, heap: Heap | None) -> pa.Array:
    """Lists of a column's values.

    Parameters
    ----------
    descriptors : (n, 2) integers
        How many values each row has, and where in the heap they begin, bytes.
    column : fits.Column
    heap : Heap, optional
        None: all lists are empty.
    """
    kind = np.dtype(element_of(column))
    counts, starts = descriptors.reshape(-1, 2).astype(np.int64).T
    if heap is None:
        counts = np.zeros_like(counts)
    if (counts < 0).any():
        raise ValueError(f"column {column.name!r} has {counts.min()} values in a row")
    some = counts > 0
    first = int(starts[some].min()) if some.any() else 0
    last = int((starts + counts * kind.itemsize)[some].max()) if some.any() else 0
    data = heap.read(first, last) if heap is not None and last > first else b""
    rows = [
        np.frombuffer(data, kind, count, start - first)
        for count, start in zip(counts[some].tolist(), starts[some].tolist(), strict=True)
    ]
    flat = np.concatenate(rows) if rows else np.zeros(0, kind)
    flat = flat.astype(kind.newbyteorder("="))
    if str(column.format).lstrip("1")[1] == "L":
        flat = flat == ord("T")
    offsets = np.concatenate([[0], np.cumsum(counts)])
    return pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(_scaled(flat, column)))


def _scaled(values: Array, column: fits.Column) -> Array:
    """Physical numbers: `stored x TSCAL + TZERO`, NaN where TNULL is; unsigned integers stay integers."""
    scale, zero = column.bscale or 1, column.bzero or 0
    null = None if column.null is None or values.dtype.kind not in "iu" else values == column.null
    if scale == 1 and zero == 1 << (8 * values.dtype.itemsize - 1) and values.dtype.kind == "i":
        return values.view(f"u{values.dtype.itemsize}") ^ int(zero)
    if scale == 1 and zero == 0 and null is None:
        return values
    found = values * np.float64(scale) + zero
    return found if null is None else np.where(null, np.nan, found)
