"""CSV and ECSV files as shards: read once when a plan is made, for types and the number of rows; then only the lines asked for."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from functools import reduce
from io import BufferedReader
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from catalogs import arrow_columns, shard_table, storage
from catalogs.csv_text import Dialect, blocks_of, dialect_of
from catalogs.errors import CorruptFile
from catalogs.headers import SYNTHETIC, first_line
from catalogs.shard_table import NotATable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs._types import Integers

LEADING_ZERO = r"^\s*[+-]?0\d"
"""What would be another text once it was a number: 007."""
ROW = re.compile(r"Row #(\d+): ")
NULLS = ["", "nan", "NaN", "NAN", "null", "NULL", "NA", "N/A", "--"]
"""Cells of number columns that say that nothing is known."""


@dataclass(frozen=True, eq=False, slots=True)
class CsvTable:
    """What one CSV or ECSV file holds."""

    url: str
    dialect: Dialect
    columns: pa.Schema
    rows: int
    digest: str
    """Of the whole file."""
    offsets: Integers
    """Byte (of the uncompressed file) at which each block of lines begins, and where the last one ends."""
    firsts: Integers
    """First row of each block, and the number of rows."""
    compression: str | None
    identity: str = ""

    @property
    def synthetic(self) -> bool:
        """Whether it says that a diffusion model drew it, which only ECSV can."""
        return self.dialect.synthetic

    @property
    def header(self) -> str:
        """Names, types and units."""
        return str([(field.name, str(field.type), field.metadata) for field in self.columns])

    @property
    def names(self) -> list[str]:
        """All columns."""
        return list(self.dialect.names)

    @property
    def unusable(self) -> dict[str, str]:
        """Columns whose cells are neither numbers nor texts, and why."""
        return self.dialect.unusable

    @property
    def empty(self) -> pa.Table:
        """A table of no rows."""
        return self.columns.empty_table()

    def bytes_of(self, columns: Sequence[str]) -> int:
        """Bytes, roughly, that one row of some columns takes."""
        return sum(arrow_columns.bytes_of(self.columns.field(name).type) for name in columns)

    def read(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Rows `start` to `stop` of some columns; the blocks of lines that hold them are read.

        Raises
        ------
        CorruptFile, FileChanged
        """
        shard_table.check(self)
        schema = pa.schema([self.columns.field(name) for name in columns])
        if start == stop:
            return schema.empty_table()
        first = int(np.searchsorted(self.firsts, start, side="right")) - 1
        last = int(np.searchsorted(self.firsts, stop, side="left"))
        types = {field.name: field.type for field in schema}
        found = []
        try:
            with storage.reading(self.url, self.compression) as stream:
                stream.seek(int(self.offsets[first]))
                for block in range(first, last):
                    text = stream.read(int(self.offsets[block + 1] - self.offsets[block]))
                    found.append(_parsed(text, self.dialect, types))
        except (OSError, pa.ArrowException) as error:
            raise CorruptFile(
                f"{self.url}: cannot be read ({first_line(error)}). Fetch the file again."
            ) from error
        shard_table.check(self)  # what was replaced meanwhile was read in part
        rows = pa.concat_tables(found).slice(start - int(self.firsts[first]), stop - start)
        if rows.num_rows < stop - start:
            raise CorruptFile(f"{self.url}: ends before row {stop} of {self.rows}. Fetch the file again.")
        return rows.select(list(columns)).combine_chunks().cast(schema)


def open_csv(url: str) -> CsvTable:
    """Read a CSV or ECSV file through: its columns' types, and where its rows are.

    Raises
    ------
    NotATable
        If it is no text in UTF-8, has no header line, or a row has more or fewer cells than the header.
    OSError
    """
    with storage.glancing(url) as (_, compression):
        pass
    digest, offsets, firsts, found = hashlib.sha256(), list[int](), [0], list[dict[str, pa.DataType]]()
    with storage.reading(url, compression) as stream:
        dialect = dialect_of(_with_lines(stream), SYNTHETIC)
    with storage.reading(url, compression) as stream:
        digest.update(stream.read(dialect.start))
        offsets.append(dialect.start)
        for block in blocks_of(stream):
            digest.update(block)
            try:
                rows = _parsed(block, dialect, dialect.types or None)
                found.append(dialect.types or _types(rows, block, dialect))
            except (pa.ArrowException, UnicodeDecodeError) as error:
                raise NotATable(_problem(error, firsts[-1]), "Correct that row") from error
            offsets.append(offsets[-1] + len(block))
            firsts.append(firsts[-1] + rows.num_rows)
    types = reduce(_promoted, found) if found else dict.fromkeys(dialect.names, pa.null())
    table = CsvTable(
        url,
        dialect,
        pa.schema([]),
        firsts[-1],
        digest.hexdigest(),
        np.array(offsets, np.int64),
        np.array(firsts, np.int64),
        compression,
    )
    return replace(table, columns=_schema(dialect, types))


def agreed(tables: Sequence[CsvTable]) -> list[CsvTable]:
    """Files of the same columns with the types that fit all of them: what looks whole in one may not be in another."""
    alike: dict[tuple[str, ...], dict[str, pa.DataType]] = {}
    for table in tables:
        own = {field.name: field.type for field in table.columns}
        alike[table.dialect.names] = _promoted(alike.get(table.dialect.names, own), own)
    schemas: dict[str, pa.Schema] = {}
    for table in tables:
        if table.header not in schemas:
            types = table.dialect.types or alike[table.dialect.names]
            schemas[table.header] = _schema(table.dialect, types)
    return [replace(table, columns=schemas[table.header]) for table in tables]


def settled(table: CsvTable) -> CsvTable:
    """The file with numbers where no cell of a column has a value, and so nothing says what it holds."""
    fields = [f.with_type(pa.float64()) if pa.types.is_null(f.type) else f for f in table.columns]
    return replace(table, columns=pa.schema(fields))


def _with_lines(stream: IO[bytes]) -> IO[bytes]:
    return stream if hasattr(stream, "readline") else cast("IO[bytes]", BufferedReader(cast("Any", stream)))


def _schema(dialect: Dialect, types: dict[str, pa.DataType]) -> pa.Schema:
    fields = [pa.field(name, types[name]) for name in dialect.names]
    return pa.schema([arrow_columns.described(field, dialect.notes.get(field.name)) for field in fields])


def _parsed(text: bytes, dialect: Dialect, types: dict[str, pa.DataType] | None) -> pa.Table:
    """Lines as a table: of some columns with their types, or of all, with types that fit."""
    return csv.read_csv(
        pa.BufferReader(text),
        csv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=dialect.names),
        csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=True),
        csv.ConvertOptions(
            column_types=types, include_columns=list(types) if types else None, null_values=NULLS
        ),
    )


def _types(rows: pa.Table, text: bytes, dialect: Dialect) -> dict[str, pa.DataType]:
    """Types that fit some lines: numbers, truth values, else texts, which dates and numbers with leading zeros are too."""
    types = {}
    for field in rows.schema:
        types[field.name] = field.type if _is_cell(field.type) else pa.string()
    whole = {name: pa.string() for name, kind in types.items() if pa.types.is_integer(kind)}
    if whole:
        texts = _parsed(text, dialect, whole)
        for name in whole:
            if pc.any(pc.match_substring_regex(texts[name], LEADING_ZERO)).as_py():
                types[name] = pa.string()
    return types


def _is_cell(kind: pa.DataType) -> bool:
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    )


def _promoted(one: dict[str, pa.DataType], other: dict[str, pa.DataType]) -> dict[str, pa.DataType]:
    """Types that hold what either holds."""
    return {name: _wider(one[name], other[name]) for name in one}


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in (one, other))
    return pa.float64() if numbers else pa.string()


def _problem(error: Exception, first: int) -> str:
    """What is wrong with a row, counted in the whole file."""
    text = first_line(error).removeprefix("CSV parse error: ")
    found = ROW.search(text)
    if found is None:
        return f"a row behind row {first} cannot be read ({text})"
    return f"row {first + int(found[1])} cannot be read ({text[found.end() :]})"
