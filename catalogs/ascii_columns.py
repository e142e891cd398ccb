"""Columns of FITS ASCII tables (FITS standard 4.0, section 7.2): numbers that are written as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from astropy.io import fits

    from catalogs._types import Array

__all__ = ["WRITTEN", "is_ascii", "numbers"]

WRITTEN = {"I", "F", "E", "D"}
"""First letters of TFORM of numbers in ASCII tables; those of texts in binary ones begin with a count or A."""


def is_ascii(header: str) -> bool:
    """Whether a table's header is that of an ASCII table."""
    return header[:20].split("'")[-2:][0].strip() == "TABLE"


def numbers(raw: Array, column: fits.Column) -> pa.Array:
    """A column of numbers, int64 or float64; what is blank or equals TNULL is null among integers, NaN among floats.

    Parameters
    ----------
    raw : (n,) bytes
    column : fits.Column

    Raises
    ------
    ValueError
        If a cell is no number.
    """
    texts = np.char.strip(raw)
    missing = texts == b""
    if column.null is not None:
        missing |= texts == str(column.null).strip().encode("ascii", "replace")
    texts = np.where(missing, b"0", texts)
    if str(column.format)[:1] == "I" and column.bscale in (None, 1) and not column.bzero:
        return pa.array(texts.astype(np.int64), mask=missing)
    values = np.array([text.upper().replace(b"D", b"E") for text in texts.tolist()], np.bytes_).astype(
        np.float64
    )
    values = values * (1 if column.bscale is None else column.bscale) + (column.bzero or 0)
    return pa.array(np.where(missing, np.nan, values))
