"""An answer as a FITS binary table."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from astropy.io import fits

from catalogs.canned import BadQuery
from catalogs.export_columns import Column, Text, columns_of
from catalogs.export_rows import OFFSET, row_type, rows_of
from catalogs.export_units import fits_texts
from catalogs.tables import MOST_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalogs.answer import Answer

BLOCK = 2880
TEXT = Text("FITS", "[ -~]*", "printable ASCII")
LETTERS = {"u1": "B", "i2": "I", "i4": "J", "i8": "K", "u8": "K", "f4": "E", "f8": "D", "bool": "L"}
CARDS = {"unit": "TUNIT", "ucd": "TUCD", "description": "TCOMM"}
"""The first is the standard's; the others are what TOPCAT, STILTS and many surveys write and read."""


def write(stream: IO[bytes], answer: Answer) -> None:
    """Write an answer: nulls are NaN, TNULL, the zero byte of logicals, or empty texts.

    Raises
    ------
    BadQuery
        If FITS can't hold it.
    """
    _refuse_names(list(answer.kinds))
    rows, columns = columns_of(answer, TEXT)
    row = row_type(columns)
    stream.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
    stream.write(_header(columns, rows, answer.metadata).tostring().encode("ascii"))
    for some in rows_of(answer, rows, columns, row):
        stream.write(some.data)
    stream.write(b"\0" * (-rows * row.itemsize % BLOCK))


def _refuse_names(names: Sequence[str]) -> None:
    if len(names) > MOST_COLUMNS:
        raise BadQuery(
            f"the answer has {len(names)} columns, and FITS tables {MOST_COLUMNS} at most: name fewer"
        )
    odd = [name for name in names if not (name.isascii() and name.isprintable())]
    if odd:
        raise BadQuery(f"column {odd[0]!r}: names in FITS are printable ASCII: give it another name with AS")


def _header(columns: Sequence[Column], rows: int, metadata: Mapping[str, Mapping[str, str]]) -> fits.Header:
    fields = [
        fits.Column(c.name, _form(c), null=c.null, bzero=OFFSET if c.code == "u8" else None) for c in columns
    ]
    header = fits.BinTableHDU.from_columns(fields, nrows=0, name="objects").header
    header["NAXIS2"] = rows
    for number, column in enumerate(columns, 1):
        place = f"TFORM{number}"
        for key, text in fits_texts(metadata.get(column.name, {})).items():
            header.set(f"{CARDS[key]}{number}", text, after=place)
            place = f"{CARDS[key]}{number}"
    return header


def _form(column: Column) -> str:
    return f"{column.width}A" if column.code == "text" else f"{column.length or 1}{LETTERS[column.code]}"
