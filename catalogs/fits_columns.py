"""Columns of FITS tables as Arrow, and what their headers say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs import nulls
from catalogs.ascii_columns import WRITTEN, numbers

if TYPE_CHECKING:
    from astropy.io import fits

    from catalogs._types import Array

__all__ = ["metadata", "to_arrow"]


def to_arrow(rows: fits.FITS_rec, column: fits.Column, *, physical_null: bool) -> pa.Array:
    """One column in native byte order: strings stripped, TNULL values and unset logicals null, vectors as lists."""
    raw = rows.view(np.ndarray)[column.name]
    if raw.dtype.kind == "S" and str(column.format)[:1] in WRITTEN:
        return numbers(raw, column)
    if raw.dtype.kind == "S":
        texts = pa.array([_decode(text) for text in raw.reshape(-1)], pa.string())
        return (
            texts if raw.ndim == 1 else pa.FixedSizeListArray.from_arrays(texts, int(np.prod(raw.shape[1:])))
        )
    values: Array = np.ascontiguousarray(rows.field(column.name))
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    # a zero byte is a logical column's null
    missing = 0 if values.dtype == bool else nulls.stored_null(column, physical=physical_null)
    mask = None if missing is None else (raw == missing).reshape(-1)
    flat = pa.array(values.reshape(-1), mask=mask)
    return (
        flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, int(np.prod(values.shape[1:])))
    )


def _decode(raw: bytes) -> str:
    raw = raw.split(b"\0", 1)[0].rstrip(b" ")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def metadata(columns: fits.ColDefs, name: str, header: fits.Header) -> dict[str, str]:
    """Unit, UCD, TDIM and description of a column, those that there are."""
    column, number = columns[name], columns.names.index(name) + 1
    found = {
        "unit": str(column.unit or ""),
        "ucd": str(header.get(f"TUCD{number}", "")),
        "dim": str(column.dim or ""),
        "description": str(header.get(f"TCOMM{number}", "") or header.comments[f"TTYPE{number}"]),
    }
    return {key: text for key, text in found.items() if text}
