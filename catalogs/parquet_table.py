"""Parquet files as shards: the footer once, then row groups and column chunks of the rows and columns asked for."""

from __future__ import annotations

import functools
import hashlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs import arrow_columns, parquet_rows, shard_table, storage
from catalogs.column_notes import notes_of
from catalogs.errors import CorruptFile
from catalogs.headers import SYNTHETIC, first_line
from catalogs.shard_table import NotATable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalogs.partitions import Partition

MAGIC = b"PAR1"
ENCRYPTED = b"PARE"
FOOTER = 1 << 16
"""Bytes of the end of a file that are read at once; most footers are shorter."""
ALIKE = 64
"""Schemas that are kept in mind: those of a release's shards are alike, or of a few kinds."""

_known: deque[tuple[pq.ParquetSchema, dict[bytes, bytes], Columns]] = deque(maxlen=8)
"""Schemas as Parquet has them, what their files say beside them, and the columns that they are."""


@dataclass(frozen=True)
class Columns:
    """The columns of a schema; one object for all files that have the same."""

    stored: pa.Schema
    """Types in the file."""
    read: pa.Schema
    """Types as they are read, with units, UCDs and descriptions."""
    digest: str
    synthetic: bool
    """Whether the schema says that a diffusion model drew its objects."""

    @functools.cached_property
    def unusable(self) -> dict[str, str]:
        """Columns whose values are no cells of a table, and why."""
        found = {field.name: arrow_columns.unusable(field.type) for field in self.read}
        return {name: problem for name, problem in found.items() if problem is not None}


@dataclass(frozen=True, slots=True)
class ParquetTable:
    """What the footer of one Parquet file says."""

    url: str
    columns: Columns
    rows: int
    digest: str
    """Of the whole footer."""
    synthetic: bool
    nested_bytes: int = 0
    """Bytes, roughly, that one row of all columns takes together whose values are no cells: images, and what they come with."""
    partition: Partition = ()
    """Columns that the names of its folders hold, the same for all of its rows."""
    identity: str = ""

    @property
    def compression(self) -> str | None:
        """Rows are found without what lies before them."""
        return None

    @property
    def header(self) -> str:
        """The same for all shards with the same columns."""
        return self.columns.digest + "/".join(f"{field.name}:{field.type}" for field, _ in self.partition)

    @property
    def names(self) -> list[str]:
        """All columns, in the file's order."""
        return [*self.columns.read.names, *(field.name for field, _ in self.partition)]

    @property
    def unusable(self) -> dict[str, str]:
        """Columns whose values are no cells of a table, and why."""
        return self.columns.unusable

    @property
    def empty(self) -> pa.Table:
        """A table of no rows: types, and as field metadata units, UCDs and descriptions."""
        return pa.schema([*self.columns.read, *(field for field, _ in self.partition)]).empty_table()

    def bytes_of(self, columns: Sequence[str]) -> int:
        """Bytes, roughly, that one row of some columns takes."""
        schema, unusable = self.columns.read, self.columns.unusable
        plain = [name for name in columns if name in schema.names and name not in unusable]
        nested = self.nested_bytes if len(plain) < len(columns) else 0
        return nested + sum(arrow_columns.bytes_of(schema.field(name).type) for name in plain)

    def read(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Rows `start` to `stop` of some columns.

        Raises
        ------
        CorruptFile
            If the file is damaged.
        FileChanged
            If it is not the file any more whose footer this is.
        """
        shard_table.check(self)
        stored = [name for name in columns if name in self.columns.read.names]
        try:
            rows = parquet_rows.read(self.url, self.identity, start, stop, stored)
        except (pa.ArrowException, OSError, EOFError, KeyError) as error:
            raise CorruptFile(
                f"{self.url}: cannot be read ({first_line(error)}). Fetch the file again."
            ) from error
        shard_table.check(self)  # what was replaced meanwhile was read in part
        fields = {field.name: field for field in self.columns.read}
        found = {name: arrow_columns.plain(rows[name], fields[name].type) for name in stored}
        for field, value in self.partition:
            if field.name in columns:
                fields[field.name] = field
                found[field.name] = pa.repeat(pa.scalar(value, field.type), stop - start)
        return pa.Table.from_arrays(
            [found[name] for name in columns], schema=pa.schema([fields[name] for name in columns])
        )


def open_parquet(url: str, partition: Partition = ()) -> ParquetTable:
    """Read the footer of a Parquet file.

    Parameters
    ----------
    url : str
        Path or fsspec URL.
    partition : Partition, optional
        Columns that the names of its folders hold; what the file has itself counts.

    Raises
    ------
    NotATable
        If it is no Parquet file, is truncated or encrypted, or its schema is damaged.
    FileNotFoundError, IsADirectoryError, PermissionError
    """
    footer = _footer(url)
    try:
        reader = (
            pq.core.ParquetReader()
        )  # ParquetFile takes twice as long, for paths that nobody asks for here
        reader.open(pa.BufferReader(MAGIC + footer))
        metadata = reader.metadata
        columns = _columns_of(metadata)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise NotATable(f"the footer of its Parquet is damaged ({first_line(error)})") from error
    names = columns.read.names
    return ParquetTable(
        url,
        columns,
        metadata.num_rows,
        hashlib.sha256(footer).hexdigest(),
        columns.synthetic,
        _nested_bytes(metadata, columns),
        tuple((field, value) for field, value in partition if field.name not in names),
    )


def _nested_bytes(metadata: pq.FileMetaData, columns: Columns) -> int:
    if not columns.unusable or not metadata.num_row_groups:
        return 0
    group = metadata.row_group(0)
    chunks = [group.column(leaf) for leaf in range(metadata.num_columns)]
    nested = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns.unusable]
    return sum(chunk.total_uncompressed_size for chunk in nested) // max(1, group.num_rows)


def _footer(url: str) -> bytes:
    """The footer with its length and the magic bytes behind it."""
    end = storage.tail(url, FOOTER)
    if end[-4:] == ENCRYPTED:
        msg = "is an encrypted Parquet file"
        raise NotATable(msg, "Write it anew without encryption")
    if end[-4:] != MAGIC or len(end) < 8:
        whole = storage.tail(url, FOOTER) if len(end) < FOOTER else storage.head(url, len(MAGIC))
        problem = "is truncated: it has no footer" if whole[:4] == MAGIC else "is not a Parquet file"
        raise NotATable(problem)
    length = int.from_bytes(end[-8:-4], "little") + 8
    if length > len(end):
        end = storage.tail(url, length)
    if length > len(end):
        msg = "is truncated: it ends before its footer does"
        raise NotATable(msg)
    return end[-length:]


def _columns_of(metadata: pq.FileMetaData) -> Columns:
    """The columns of a file: the same object for all that are alike, whose schemas are translated once."""
    about = _about(metadata.metadata)
    for schema, others, columns in tuple(_known):  # other threads add to it
        if others == about and schema.equals(metadata.schema):
            return columns
    columns = _columns(
        metadata.schema.to_arrow_schema().with_metadata(about or None).serialize().to_pybytes()
    )
    _known.appendleft((metadata.schema, about, columns))
    return columns


def _about(metadata: Mapping[bytes, bytes] | None) -> dict[bytes, bytes]:
    """What a file says beside its schema; what pandas adds counts its rows."""
    return {key: value for key, value in (metadata or {}).items() if key != b"pandas"}


@functools.lru_cache(maxsize=ALIKE)
def _columns(serialized: bytes) -> Columns:
    schema = pa.ipc.read_schema(pa.py_buffer(serialized))
    seen: set[str] = set()
    for name in schema.names:
        if name in seen:
            raise NotATable(f"two of its columns are called {name!r}", "Rename one of them in the file")
        seen.add(name)
    notes = notes_of(schema)
    read = pa.schema([arrow_columns.described(field, notes.columns.get(field.name)) for field in schema])
    drawn = (schema.metadata or {}).get(SYNTHETIC.encode(), b"").lower() == b"true" or notes.synthetic
    return Columns(schema, read, hashlib.sha256(serialized).hexdigest(), drawn)
