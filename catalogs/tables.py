"""FITS tables as Arrow: the header once, then only the requested rows and columns."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from io import BytesIO
from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
from astropy.io import fits

from catalogs import bounds, headers, nulls, shard_table, storage
from catalogs.ascii_columns import is_ascii
from catalogs.errors import CorruptFile
from catalogs.fits_columns import metadata, to_arrow
from catalogs.header_cache import TableLayout, table_layout
from catalogs.headers import SYNTHETIC
from catalogs.shard_table import NotATable
from catalogs.silence import silenced
from catalogs.variable import Heap, element_of, values_of

if TYPE_CHECKING:
    from collections.abc import Sequence


UNUSABLE = {"P": "of variable length", "Q": "of variable length", "C": "complex", "M": "complex"}
"""TFORM letters of columns that Arrow has no rows for, and what to call them."""

TABLES = {"BINTABLE", "TABLE"}
"""XTENSION of binary and ASCII tables."""

LDAC = "LDAC_IMHEAD"
"""EXTNAME of the first table in SExtractor's FITS_LDAC files: it holds the header of an image, and the next one the objects."""

MOST_COLUMNS = 999
"""FITS standard 4.0, section 7.3.1."""

ALIKE = 64
"""Headers whose columns are kept in mind: those of a release's shards are alike, or of a few kinds."""


@dataclass(frozen=True, slots=True)
class TableHeader:
    """What one shard's header says: where its rows lie and what they hold."""

    url: str
    header: str
    """The cards that say what columns there are; the same string for all shards that are alike."""
    offset: int
    """Byte (of the uncompressed file) at which row 0 begins."""
    row_bytes: int
    rows: int
    digest: str
    """Of the whole header."""
    synthetic: bool
    """Whether it says that a diffusion model drew the shard."""
    compression: str | None = None
    """What the file is compressed with."""
    physical_nulls: frozenset[str] = frozenset()
    """Columns whose TNULL is the number itself, not the one that is stored; see `catalogs.nulls`."""
    heap: int = 0
    """Byte at which the values of columns of variable length begin."""
    heap_row_bytes: int = 0
    """Bytes that a row has there, on average."""
    identity: str = ""
    """Which version of the file it is (`catalogs.identity`); empty where it was not requested."""

    @property
    def columns(self) -> fits.ColDefs:
        """The columns as astropy describes them."""
        return _columns(self.header)

    @property
    def names(self) -> list[str]:
        """All columns, also those that cannot be used."""
        return list(self.columns.names)

    def bytes_of(self, columns: Sequence[str]) -> int:
        """Bytes that reading one row takes: all columns of fixed length are read."""
        varies = any(name in self.unusable for name in columns) if self.heap_row_bytes else False
        return self.row_bytes + (self.heap_row_bytes if varies else 0)

    @property
    def unusable(self) -> dict[str, str]:
        """Columns that cannot be read row by row into Arrow, and why."""
        return dict(_unusable(self.header))

    @property
    def empty(self) -> pa.Table:
        """A table of no rows with every column's type and, as field metadata, its unit, UCD and description.

        Columns that `unusable` names have no place in it, but for those of numbers of variable length, which stamps may be in.
        """
        return _empty(self.header, self.row_bytes)

    def read(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Rows `start` to `stop` of some columns; nothing but the bytes of those rows is read.

        Raises
        ------
        CorruptFile
            If the file ends before row `stop`, or is damaged.
        FileChanged
            If it is not the file any more whose header this is.
        """
        count = stop - start
        shard_table.check(self)
        try:
            with storage.reading(self.url, self.compression) as stream:
                stream.seek(self.offset + start * self.row_bytes)
                data = stream.read(count * self.row_bytes)
                if len(data) < count * self.row_bytes:
                    raise CorruptFile(
                        f"{self.url}: ends before row {stop} of {self.rows}. Fetch the file again."
                    )
                heap = Heap(self.url, stream, self.heap)
                found = _arrow(self.header, data, count, columns, self.physical_nulls, heap)
                if stop == self.rows and self.compression:
                    stream.read()  # checksums are compared at the end of the file, and not before
        except (OSError, ValueError) as error:  # ValueError: of an ASCII table's cell
            raise CorruptFile(f"{self.url}: cannot be read ({error}). Fetch the file again.") from error
        shard_table.check(self)  # what was replaced meanwhile was read in part
        return found


@functools.lru_cache(maxsize=ALIKE)
def _columns(header: str) -> fits.ColDefs:
    with silenced():
        return _hdu(header, b"", 0).columns


@functools.lru_cache(maxsize=ALIKE)
def _unusable(header: str) -> dict[str, str]:
    letters = {c.name: re.sub(r"^\d*", "", str(c.format))[:1] for c in _columns(header)}
    return {name: UNUSABLE[letter] for name, letter in letters.items() if letter in UNUSABLE}


@functools.lru_cache(maxsize=ALIKE)
def _physical_nulls(header: str) -> frozenset[str]:
    return frozenset() if is_ascii(header) else nulls.physical_by_header(_columns(header))


@functools.lru_cache(maxsize=ALIKE)
def _empty(header: str, row_bytes: int) -> pa.Table:
    columns, unusable = _columns(header), _unusable(header)
    names = [name for name in columns.names if name not in unusable or element_of(columns[name]) is not None]
    # Types are read off one row of zero bytes: a column of no rows has lost its width.
    return _arrow(header, b"\0" * row_bytes, 1, names).slice(0, 0)


def _arrow(
    header: str,
    data: bytes,
    count: int,
    columns: Sequence[str],
    physical_nulls: frozenset[str] = frozenset(),
    heap: Heap | None = None,
) -> pa.Table:
    # What TSCAL makes too large for a float becomes infinite, without a word from NumPy.
    with silenced(), np.errstate(over="ignore", invalid="ignore"):
        hdu = _hdu(header, data, count)
        arrays = [
            to_arrow(hdu.data, hdu.columns[name], physical_null=name in physical_nulls)
            if element_of(hdu.columns[name]) is None
            else values_of(hdu.data.view(np.ndarray)[name], hdu.columns[name], heap)
            for name in columns
        ]
    fields = [
        pa.field(name, array.type, metadata=metadata(hdu.columns, name, hdu.header))
        for name, array in zip(columns, arrays, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _hdu(header: str, data: bytes, count: int) -> fits.BinTableHDU | fits.TableHDU:
    # A small table of its own is made from the header and the bytes of the rows, so that astropy's
    # scaling, TNULL, TDIM and logical columns all hold without it ever seeing the other rows.
    own = fits.Header.fromstring(header)
    own["NAXIS2"] = count
    own["PCOUNT"] = 0
    own.remove("THEAP", ignore_missing=True)
    text = own.tostring(sep="", endcard=True, padding=True).encode("ascii", "replace")
    kind = fits.TableHDU if is_ascii(header) else fits.BinTableHDU
    return kind.fromstring(text + data + b"\0" * (-len(data) % headers.BLOCK), uint=True)


def open_table(url: str, hdu: int | str | None = None) -> TableHeader:
    """Read the header of a shard's table.

    Parameters
    ----------
    url : str
        Path or fsspec URL; compressed files are decompressed.
    hdu : int or str, optional
        HDU number or EXTNAME; by default the first table, of FITS_LDAC files that of the objects.

    Raises
    ------
    NotATable
        If the file is no FITS file, has no such table, is truncated, or holds columns that have no fixed width.
    """
    try:
        with storage.glancing(url) as (stream, compression):
            return _find_table(url, stream, compression, hdu)
    except bounds.TooLarge as error:
        raise NotATable(str(error), error.remedy) from error
    except (*headers.MALFORMED, pa.ArrowException) as error:
        if isinstance(error, NotATable | FileNotFoundError | PermissionError | IsADirectoryError):
            raise
        raise NotATable(headers.first_line(error)) from error


def _find_table(
    url: str, stream: IO[bytes], compression: str | None, wanted: int | str | None
) -> TableHeader:
    synthetic = False
    for number, found, offset in headers.walk_as(table_layout, stream):
        values = found.values
        # Tools that rewrite a table may keep the card in one of its headers only.
        synthetic = synthetic or values.get(SYNTHETIC, False) is True
        is_table = values.get("XTENSION", "").strip() in TABLES and not values.get("ZIMAGE", False)
        name = values.get("EXTNAME", "").strip()
        if is_table and (wanted in (number, name) or (wanted is None and name != LDAC)):
            bounds.check_row(number, int(values["NAXIS1"]), int(values["NAXIS2"]))
            return _checked(url, found, offset, compression, synthetic=synthetic)
    what = "binary table" if wanted is None else f"HDU {wanted!r} with a binary table"
    raise NotATable(f"has no {what}", "Check [survey] catalogs and hdu")


def _checked(
    url: str, found: TableLayout, offset: int, compression: str | None, *, synthetic: bool
) -> TableHeader:
    row_bytes, rows = int(found.values["NAXIS1"]), int(found.values["NAXIS2"])
    header = _sound(found.text, row_bytes)
    if not headers.is_complete(url, offset + rows * row_bytes, compression):
        raise NotATable(f"is truncated: its header promises {rows} rows")
    digest = f"{SYNTHETIC} {found.digest}" if synthetic and SYNTHETIC not in found.values else found.digest
    heap = offset + int(found.values.get("THEAP", 0) or rows * row_bytes)
    in_heap = int(found.values["PCOUNT"]) // max(1, rows)
    return TableHeader(
        url,
        header,
        offset,
        row_bytes,
        rows,
        digest,
        synthetic,
        compression,
        _physical_nulls(header),
        heap,
        in_heap,
    )


@functools.lru_cache(maxsize=ALIKE)
def _sound(text: bytes, row_bytes: int) -> str:
    """The header of a table whose columns can be read."""
    with silenced():
        header = fits.Header.fromfile(BytesIO(text), padding=True)
        if header.get("ZTABLE", False):
            msg = "holds a tile-compressed table (ZTABLE), which cannot be read row by row"
            raise NotATable(msg)
        _name_columns(header)
        header_text = str(header.tostring())
    try:
        width = _columns(header_text).dtype.itemsize
        if width != row_bytes and not is_ascii(header_text):
            msg = f"its columns take {width} bytes a row, not NAXIS1 = {row_bytes}"
            raise NotATable(msg)
        _empty(header_text, row_bytes)
        _physical_nulls(header_text)
    except NotATable:
        raise
    except Exception as error:  # astropy raises what it happens to over a header that makes no sense
        raise NotATable(f"the header of its table is damaged ({headers.first_line(error)})") from error
    return header_text


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
