"""VOTables as shards: XML has no place for rows, so a file is parsed whole, and the last ones stay in memory."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from astropy.io.votable import parse

from catalogs import arrow_columns, shard_table, storage
from catalogs.column_notes import of_votable_field
from catalogs.errors import CorruptFile
from catalogs.headers import first_line
from catalogs.shard_table import NotATable
from catalogs.silence import silenced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from astropy.io.votable.tree import TableElement, VOTableFile

    from catalogs._types import Array

LARGEST = 1 << 30
"""Bytes of XML that are parsed; memory for it is several times as much."""
HELD = 256 << 20
"""Bytes of tables that a process keeps at most, beside the last one."""

_held: dict[tuple[str, str, int | str | None], pa.Table] = {}
_lock = threading.Lock()


@dataclass(frozen=True, eq=False, slots=True)
class VOTable:
    """What one VOTable holds."""

    url: str
    hdu: int | str | None
    """Which of its tables: by number from 0, ID or name; the first one by default."""
    columns: pa.Schema
    rows: int
    unusable: dict[str, str]
    digest: str
    """Of the whole file."""
    synthetic: bool = False
    identity: str = ""

    @property
    def compression(self) -> str | None:
        """Rows are found without what lies before them."""
        return None

    @property
    def header(self) -> str:
        """Names, types and units."""
        return str([(field.name, str(field.type), field.metadata) for field in self.columns])

    @property
    def names(self) -> list[str]:
        """All columns."""
        return [*self.columns.names, *self.unusable]

    @property
    def empty(self) -> pa.Table:
        """A table of no rows."""
        return self.columns.empty_table()

    def bytes_of(self, columns: Sequence[str]) -> int:
        """Bytes, roughly, that one row of some columns takes."""
        return sum(arrow_columns.bytes_of(self.columns.field(name).type) for name in columns)

    def read(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Rows `start` to `stop` of some columns.

        Raises
        ------
        CorruptFile, FileChanged
        """
        shard_table.check(self)
        key = self.url, self.identity, self.hdu
        with _lock:  # who waits here waits for the table that is parsed
            table = _held.pop(key, None)
            if table is None:
                try:
                    table = _table(storage_bytes(self.url), self.hdu)[0]
                except (NotATable, OSError) as error:
                    raise CorruptFile(f"{self.url}: {error}. Fetch the file again.") from error
                shard_table.check(self)
            _held[key] = table
            while len(_held) > 1 and sum(other.nbytes for other in _held.values()) > HELD:
                _held.pop(next(iter(_held)))
        if table.num_rows < self.rows:
            raise CorruptFile(f"{self.url}: ends before row {stop} of {self.rows}. Fetch the file again.")
        return table.select(list(columns)).slice(start, stop - start)


def open_votable(url: str, hdu: int | str | None = None) -> VOTable:
    """Parse a VOTable.

    Raises
    ------
    NotATable
        If it is none, has no such table, is damaged, or says that the query whose answer it is failed or was cut short.
    OSError
    """
    data = storage_bytes(url)
    table, unusable = _table(data, hdu)
    return VOTable(url, hdu, table.schema, table.num_rows, unusable, hashlib.sha256(data).hexdigest())


def storage_bytes(url: str) -> bytes:
    """All bytes of a file, decompressed, if they are not too many."""
    with storage.reading(url) as stream:
        data = stream.read(LARGEST + 1)
    if len(data) > LARGEST:
        problem = f"is a VOTable of more than {LARGEST >> 30} GiB, which is parsed whole"
        raise NotATable(problem, "Convert it to Parquet or FITS")
    return data


def _table(data: bytes, hdu: int | str | None) -> tuple[pa.Table, dict[str, str]]:
    """The table, and columns that are no cells, with what they are."""
    try:
        with silenced():
            votable = parse(BytesIO(data), verify="ignore")
            _check_status(votable)
            element = _element(votable, hdu)
            return _to_arrow(element)
    except NotATable:
        raise
    except Exception as error:  # astropy raises what it happens to over XML that makes no sense
        raise NotATable(f"its VOTable is damaged ({first_line(error)})") from error


def _check_status(votable: VOTableFile) -> None:
    for info in (info for resource in votable.resources for info in resource.infos):
        if info.name == "QUERY_STATUS" and str(info.value).upper() in {"ERROR", "OVERFLOW"}:
            said = " ".join(str(info.content or "").split())[:200]
            what = "holds no answer but an error" if info.value.upper() == "ERROR" else "was cut short"
            problem = f"{what}: QUERY_STATUS is {info.value}{f' ({said})' if said else ''}"
            raise NotATable(problem, "Run the query again, with a larger MAXREC if it was cut short")


def _element(votable: VOTableFile, hdu: int | str | None) -> TableElement:
    found = list(votable.iter_tables())
    for number, table in enumerate(found):
        if hdu is None or hdu in (number, table.ID, table.name):
            return table
    raise NotATable(
        "has no table" if hdu is None else f"has no table {hdu!r}", "Check [survey] catalogs and hdu"
    )


def _to_arrow(element: TableElement) -> tuple[pa.Table, dict[str, str]]:
    arrays, fields, unusable, seen = list[pa.Array](), list[pa.Field](), dict[str, str](), set[str]()
    for column in element.fields:
        name = str(column.name)
        if name in seen:
            raise NotATable(f"two of its columns are called {name!r}", "Rename one of them in the file")
        seen.add(name)
        values = _column(element.array[column.ID])
        if isinstance(values, str):
            unusable[name] = values
            continue
        field = pa.field(name, values.type, metadata=_dim(element.array[column.ID]))
        arrays.append(values)
        fields.append(arrow_columns.described(field, of_votable_field(column)))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields)), unusable


def _dim(values: Array) -> dict[str, str] | None:
    return {"dim": f"({','.join(map(str, values.shape[:0:-1]))})"} if values.ndim > 2 else None


def _column(values: Any) -> pa.Array | str:
    """A masked array as Arrow, or what it is called if it is none of cells."""
    data, missing = np.ma.getdata(values), np.ma.getmaskarray(values)
    if data.dtype.kind == "O":
        return _objects(data.tolist(), missing)
    if data.dtype.kind in "SU":
        texts = [
            text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in data.tolist()
        ]
        return pa.array(
            ["" if gone else text for text, gone in zip(texts, missing, strict=True)], pa.string()
        )
    if data.dtype.kind not in "buif":
        return "complex"
    flat = np.ascontiguousarray(data).astype(data.dtype.newbyteorder("=")).reshape(-1)
    mask = missing.reshape(-1)
    if data.dtype.kind == "f":  # what is not known is NaN, as in FITS
        cells = pa.array(np.where(mask, np.nan, flat).astype(flat.dtype))
    else:
        cells = pa.array(flat, mask=mask)
    if data.ndim == 1:
        return cells
    return pa.FixedSizeListArray.from_arrays(cells, int(np.prod(data.shape[1:])))


def _objects(values: list[Any], missing: Array) -> pa.Array | str:
    if all(isinstance(value, str | bytes) or gone for value, gone in zip(values, missing, strict=True)):
        texts = [value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values]
        return pa.array(
            ["" if gone else text for text, gone in zip(texts, missing, strict=True)], pa.string()
        )
    return "of variable length"
