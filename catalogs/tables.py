"""FITS binary tables as Arrow: the header once, then only the rows and columns that are asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
from astropy.io import fits

from catalogs import bounds, headers, storage
from catalogs.errors import CorruptFile
from catalogs.quiet import quiet
from catalogs.synthetic import CARD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs._types import Array

UNUSABLE = {"P": "of variable length", "Q": "of variable length", "C": "complex", "M": "complex"}
"""TFORM letters of columns that Arrow has no rows for, and what to call them."""

MOST_COLUMNS = 999
"""FITS standard 4.0, section 7.3.1."""


class NotATable(ValueError):
    """The file is no FITS file, or holds no binary table where one is expected."""

    def __init__(
        self, problem: str, remedy: str = "Fetch the file again, or leave it out of [survey] catalogs"
    ) -> None:
        super().__init__(problem)
        self.remedy = remedy


@dataclass(frozen=True)
class TableHeader:
    """What one shard's header says: where its rows lie and what they hold."""

    url: str
    header: str
    offset: int
    """Byte (of the uncompressed file) at which row 0 begins."""
    row_bytes: int
    rows: int

    @property
    def columns(self) -> fits.ColDefs:
        """The columns as astropy describes them."""
        with quiet():
            return self._hdu(b"", 0).columns

    @property
    def unusable(self) -> dict[str, str]:
        """Columns that cannot be read row by row into Arrow, and why."""
        letters = {c.name: re.sub(r"^\d*", "", str(c.format))[:1] for c in self.columns}
        return {name: UNUSABLE[letter] for name, letter in letters.items() if letter in UNUSABLE}

    @property
    def empty(self) -> pa.Table:
        """A table of no rows with every column's type and, as field metadata, its unit, UCD and description.

        Columns that `unusable` names have no place in it.
        """
        unusable = self.unusable
        names = [name for name in self.columns.names if name not in unusable]
        # Types are read off one row of zero bytes: a column of no rows has lost its width.
        return self._arrow(b"\0" * self.row_bytes, 1, names).slice(0, 0)

    def read(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Rows `start` to `stop` of some columns; nothing but the bytes of those rows is read.

        Raises
        ------
        CorruptFile
            If the file ends before row `stop`, or is damaged.
        """
        count = stop - start
        try:
            with storage.reading(self.url) as stream:
                stream.seek(self.offset + start * self.row_bytes)
                data = stream.read(count * self.row_bytes)
                if stop == self.rows and self.url.endswith(".gz"):
                    stream.read()  # gzip compares its checksum at the end of the file, and not before
        except OSError as error:
            raise CorruptFile(f"{self.url}: cannot be read ({error}). Fetch the file again.") from error
        if len(data) < count * self.row_bytes:
            raise CorruptFile(f"{self.url}: ends before row {stop} of {self.rows}. Fetch the file again.")
        return self._arrow(data, count, columns)

    def _arrow(self, data: bytes, count: int, columns: Sequence[str]) -> pa.Table:
        with quiet():
            hdu = self._hdu(data, count)
            arrays = [_to_arrow(hdu.data, hdu.columns[name]) for name in columns]
        fields = [
            pa.field(name, array.type, metadata=_metadata(hdu.columns, name, hdu.header))
            for name, array in zip(columns, arrays, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=pa.schema(fields))

    def _hdu(self, data: bytes, count: int) -> fits.BinTableHDU:
        # A small table of its own is made from the header and the bytes of the rows, so that astropy's
        # scaling, TNULL, TDIM and logical columns all hold without it ever seeing the other rows.
        header = fits.Header.fromstring(self.header)
        header["NAXIS2"] = count
        header["PCOUNT"] = 0
        header.pop("THEAP", None)
        text = header.tostring(sep="", endcard=True, padding=True).encode("ascii", "replace")
        return fits.BinTableHDU.fromstring(text + data + b"\0" * (-len(data) % headers.BLOCK), uint=True)


def open_table(url: str, hdu: int | str | None = None) -> TableHeader:
    """Read the header of a shard's table.

    Parameters
    ----------
    url : str
        Path or fsspec URL; `.gz` is gunzipped.
    hdu : int or str, optional
        HDU number or EXTNAME; by default the first binary table.

    Raises
    ------
    NotATable
        If the file is no FITS file, has no such table, is truncated, or holds columns that have no fixed width.
    """
    try:
        with storage.reading(url) as stream:
            return _find_table(url, stream, hdu)
    except bounds.TooLarge as error:
        raise NotATable(str(error), error.remedy) from error
    except (*headers.MALFORMED, pa.ArrowException) as error:
        if isinstance(error, NotATable | FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise NotATable(headers.first_line(error)) from error


def _find_table(url: str, stream: IO[bytes], wanted: int | str | None) -> TableHeader:
    synthetic = False
    for number, header, offset in headers.walk(stream):
        # Tools that rewrite a table may keep the card in one of its headers only.
        synthetic = synthetic or header.get(CARD, False) is True
        is_table = header.get("XTENSION", "").strip() == "BINTABLE" and not header.get("ZIMAGE", False)
        if is_table and wanted in (None, number, header.get("EXTNAME", "").strip()):
            if synthetic:
                header[CARD] = True
            bounds.check_row(number, int(header["NAXIS1"]), int(header["NAXIS2"]))
            return _checked(url, header, offset)
    what = "binary table" if wanted is None else f"HDU {wanted!r} with a binary table"
    raise NotATable(f"has no {what}", "Check [survey] catalogs and hdu")


def _checked(url: str, header: fits.Header, offset: int) -> TableHeader:
    if header.get("ZTABLE", False):
        msg = "holds a tile-compressed table (ZTABLE), which cannot be read row by row"
        raise NotATable(msg)
    with quiet():
        _name_columns(header)
        text = header.tostring()
    table = TableHeader(url, text, offset, int(header["NAXIS1"]), int(header["NAXIS2"]))
    if not headers.is_complete(url, offset + table.rows * table.row_bytes):
        raise NotATable(f"is truncated: its header promises {table.rows} rows")
    try:
        width = table.columns.dtype.itemsize
        if width != table.row_bytes:
            msg = f"its columns take {width} bytes a row, not NAXIS1 = {table.row_bytes}"
            raise NotATable(msg)
        _ = table.empty
    except NotATable:
        raise
    except Exception as error:  # astropy raises what it happens to over a header that makes no sense
        raise NotATable(f"the header of its table is damaged ({headers.first_line(error)})") from error
    return table


def _name_columns(header: fits.Header) -> None:
    """Every column needs a name of its own: the standard allows none (they become col1 …), astropy does not."""
    seen: set[str] = set()
    fields = int(header["TFIELDS"])
    if not 0 <= fields <= MOST_COLUMNS:
        raise NotATable(f"the header of its table is damaged (TFIELDS = {fields})")
    for number in range(1, fields + 1):
        name = str(header.setdefault(f"TTYPE{number}", f"col{number}")).strip()
        if name in seen:
            raise NotATable(f"two of its columns are called {name!r}", "Rename one of them in the file")
        seen.add(name)


def _to_arrow(rows: fits.FITS_rec, column: fits.Column) -> pa.Array:
    """One column in native byte order: strings stripped, TNULL values and unset logicals null, vectors as lists."""
    raw = rows.view(np.ndarray)[column.name]
    if raw.dtype.kind == "S":
        texts = pa.array([_decode(text) for text in raw.reshape(-1)], pa.string())
        return (
            texts if raw.ndim == 1 else pa.FixedSizeListArray.from_arrays(texts, int(np.prod(raw.shape[1:])))
        )
    values: Array = np.ascontiguousarray(rows.field(column.name))
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.ndim == 1:
        missing = 0 if values.dtype == bool else column.null  # a zero byte is a logical column's null
        return pa.array(values, mask=None if missing is None else raw == missing)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), int(np.prod(values.shape[1:])))


def _decode(raw: bytes) -> str:
    raw = raw.split(b"\0", 1)[0].rstrip(b" ")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _metadata(columns: fits.ColDefs, name: str, header: fits.Header) -> dict[str, str]:
    column, number = columns[name], columns.names.index(name) + 1
    found = {
        "unit": str(column.unit or ""),
        "ucd": str(header.get(f"TUCD{number}", "")),
        "dim": str(column.dim or ""),
        "description": str(header.get(f"TCOMM{number}", "") or header.comments[f"TTYPE{number}"]),
    }
    return {key: text for key, text in found.items() if text}
