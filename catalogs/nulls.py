"""TNULL of unsigned columns: the number that is stored, as the standard says, or the number that is meant, as astropy writes.

FITS has no unsigned integers of 16 bits and more: they are stored with an offset, TZERO. A missing value is the *stored* number TNULL
(FITS standard 4.0, section 7.3.2), but astropy writes the *physical* one there, and reads it as such (astropy issues 14693 and 18817).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.io import fits

BITS = {"B": 8, "I": 16, "J": 32, "K": 64}
"""Of the integers that a TFORM letter stores; B is unsigned, the others are signed."""
ASTROPYS = {63, 16959, 999_999}
"""What astropy fills in for missing integers by default: 999999, as far as 8 and 16 bits hold it."""


def stored_null(column: fits.Column, *, physical: bool) -> int | None:
    """The stored number that stands for a missing value; None where there is none, or the column holds no integers.

    Parameters
    ----------
    column : fits.Column
    physical : bool
        Whether TNULL is the number itself, not the one that is stored.
    """
    letter = _letter(column)
    if column.null is None or letter not in BITS:
        return None
    null = int(column.null)
    if not physical:
        return null
    # 999999 does not fit into 16 bits: astropy writes what is left of it into the rows, and did not always into the header.
    low = _stored(column).start
    return (null - int(column.bzero or 0) - low) % (1 << BITS[letter]) + low


def is_integer(column: fits.Column) -> bool:
    """Whether a column holds integers, with an offset or without, and has a TNULL."""
    zero = column.bzero or 0
    whole = column.bscale in (None, 1) and float(zero).is_integer()
    return column.null is not None and _letter(column) in BITS and whole


def may_be_stored(column: fits.Column) -> bool:
    """Whether TNULL is a number that the column can store."""
    return int(column.null) in _stored(column)


def may_be_physical(column: fits.Column) -> bool:
    """Whether TNULL is a number that the column can hold."""
    return int(column.null) - int(column.bzero or 0) in _stored(column)


def physical_by_header(columns: fits.ColDefs) -> frozenset[str]:
    """Columns whose TNULL is the physical number according to the header: it can't be stored, or is astropy's usual one."""
    return frozenset(
        column.name
        for column in columns
        if is_integer(column)
        and (int(column.null) in ASTROPYS or (may_be_physical(column) and not may_be_stored(column)))
    )


def _stored(column: fits.Column) -> range:
    """Numbers that a column of integers can store."""
    letter = _letter(column)
    return range(256) if letter == "B" else range(-(1 << (BITS[letter] - 1)), 1 << (BITS[letter] - 1))


def _letter(column: fits.Column) -> str:
    return str(column.format).lstrip("0123456789")[:1]
