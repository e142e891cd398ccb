"""Record batches as rows of fixed width, big-endian: the body of a FITS table, and of VOTable's BINARY2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs.canned import BadQuery

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from catalogs._types import Array
    from catalogs.answer import Answer
    from catalogs.export_columns import Column

OFFSET = 1 << 63
"""FITS stores unsigned integers less this one."""
MOST_BYTES = 1 << 26
"""Of rows that are made at once: with one very long text in a column all of its rows are as wide."""
CHANGED = (
    "the query gave other rows when it ran a second time, and this format needs two passes: "
    "make it repeatable (ORDER BY before LIMIT, REPEATABLE after a sample), or write Parquet or CSV"
)


def row_type(columns: Sequence[Column], encoding: str = "ascii", flag_bytes: int = 0) -> np.dtype:
    """A row as a structured type of fields `0`, `1`, …, without gaps; before them `flags`, of so many bytes."""
    flags = [("flags", "u1", (flag_bytes,))] if flag_bytes else []
    fields = [
        (str(n), _stored(c, encoding), () if c.length is None else (c.length,)) for n, c in enumerate(columns)
    ]
    return np.dtype([*flags, *fields])


def _stored(column: Column, encoding: str) -> str:
    if column.code == "text":
        # In UTF-16 a text takes at most twice the bytes that it takes in UTF-8.
        return f"S{column.width * (1 if column.is_ascii or encoding == 'ascii' else 2)}"
    return {"bool": "u1", "u8": ">i8"}.get(column.code, f">{column.code}")


def rows_of(
    answer: Answer, rows: int, columns: Sequence[Column], row: np.dtype, encoding: str = "ascii"
) -> Iterator[Array]:
    """All rows of an answer, structured arrays of some thousands each.

    Parameters
    ----------
    answer : Answer
    rows : int
        Their number as it was counted before.
    columns : sequence of Column
    row : dtype
        As `row_type` gives it.
    encoding : str
        Of texts that are not ASCII.

    Raises
    ------
    BadQuery
        If the rows are not those that the columns were made for.
    """
    seen = 0
    most = max(1, MOST_BYTES // row.itemsize)
    for batch in answer.batches([column.expression for column in columns]):
        for start in range(0, batch.num_rows, most):
            yield _filled(batch.slice(start, most), columns, row, encoding)
        seen += batch.num_rows
    if seen != rows:
        raise BadQuery(CHANGED)


def _filled(batch: pa.RecordBatch, columns: Sequence[Column], row: np.dtype, encoding: str) -> Array:
    filled = np.zeros(batch.num_rows, row)
    for number, (column, values) in enumerate(zip(columns, batch.columns, strict=True)):
        try:
            filled[str(number)] = _values(column, values, filled.dtype[str(number)], encoding)
        except (ValueError, pa.ArrowException) as error:
            raise BadQuery(CHANGED) from error
    if "flags" in (row.names or ()):
        missing = [values.is_null().to_numpy(zero_copy_only=False) for values in batch.columns]
        filled["flags"] = np.packbits(np.stack(missing, axis=1), axis=1)
    return filled


def _values(column: Column, values: pa.Array, stored: np.dtype, encoding: str) -> Array:
    if column.length is None:
        return _flat(column, values, stored, encoding)
    known = values.is_valid().to_numpy(zero_copy_only=False)
    flat = _flat(column, values.flatten(), stored.base, encoding)
    found = np.empty((len(values), column.length), stored.base)
    found[:] = (
        _flat(column, pa.nulls(1, values.type.value_type), stored.base, encoding) if not known.all() else 0
    )
    found[known] = flat.reshape(-1, column.length)
    return found


def _flat(column: Column, values: pa.Array, stored: np.dtype, encoding: str) -> Array:
    if column.code == "text":
        texts = [
            text.encode("ascii" if column.is_ascii else encoding) for text in values.fill_null("").to_pylist()
        ]
        found = np.array(texts, dtype=bytes) if texts else np.zeros(0, stored)
        if found.itemsize > stored.itemsize:
            raise ValueError(CHANGED)
        return found
    if column.code == "bool":
        letters = np.where(values.fill_null(False).to_numpy(zero_copy_only=False), ord("T"), ord("F"))
        return np.where(values.is_valid().to_numpy(zero_copy_only=False), letters, 0)
    if column.code in {"f4", "f8"}:
        return np.asarray(values.fill_null(np.nan).to_numpy(zero_copy_only=False))
    return _integers(column, values)


def _integers(column: Column, values: pa.Array) -> Array:
    if values.null_count and column.null is None:
        raise ValueError(CHANGED)
    found = np.asarray(values.fill_null(column.null or 0).to_numpy(zero_copy_only=False))
    if column.null is not None and np.count_nonzero(found == column.null) != values.null_count:
        raise ValueError(CHANGED)
    return (found ^ np.uint64(OFFSET)).view(np.int64) if column.code == "u8" else found
