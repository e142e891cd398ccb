"""Parts: one slice's output of one stage, a Parquet file whose footer carries its receipt."""

from __future__ import annotations

import contextlib
import functools
import io
import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs import storage
from catalogs.errors import CorruptFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

    from catalogs.slices import Slice

RECEIPT = b"tuningfork.receipt"
TAIL = 1 << 15
"""Bytes at a part's end that are read at once: its footer fits in."""
SUFFIX = ".parquet"
SOFTWARE = ("tuningfork", "torch", "timm", "numpy", "pyarrow", "astropy")


@functools.cache
def _versions() -> tuple[tuple[str, str], ...]:
    return tuple((name, version(name)) for name in SOFTWARE)  # which takes milliseconds


@dataclass(frozen=True)
class Receipt:
    """Metadata of a part: which rows it covers and how it was made."""

    shard: int
    start: int
    stop: int
    objects: int
    """Rows of the part: those of the slice that `where` selects."""
    usable: int
    """Objects that have results."""
    fingerprint: str
    flags: dict[str, int] = field(default_factory=dict)
    largest: float = 0.0
    """Largest absolute value in the embeddings, which fixes the scale of exact sums."""
    software: dict[str, str] = field(default_factory=lambda: dict(_versions()))


def write(folder: str, piece: Slice, rows: pa.Table, receipt: Receipt) -> None:
    """Write a slice's part, whole or not at all; writing it again gives the same bytes."""
    metadata = {**(rows.schema.metadata or {}), RECEIPT: json.dumps(asdict(receipt), sort_keys=True).encode()}
    # numbers of vectors hardly repeat: a dictionary of them makes a part larger, and takes most of the time of reading it
    repeating = [field.name for field in rows.schema if not pa.types.is_fixed_size_list(field.type)]
    buffer = io.BytesIO()
    pq.write_table(
        rows.replace_schema_metadata(metadata), buffer, compression="zstd", use_dictionary=repeating
    )
    storage.write(url(folder, piece.name), buffer.getvalue())


def url(folder: str, name: str) -> str:
    """Where the part of that name lies."""
    return storage.join(folder, name + SUFFIX)


def done(folder: str) -> set[str]:
    """Names of the slices whose part exists."""
    return {name.removesuffix(SUFFIX) for name in storage.names(folder) if name.endswith(SUFFIX)}


def receipt(folder: str, name: str) -> Receipt:
    """Read a part's receipt from its footer.

    Raises
    ------
    CorruptFile
        If the file is no part.
    """
    try:
        values = json.loads(_text_of(_footer(url(folder, name)), RECEIPT))
        software = _shared(tuple(values.pop("software").items()))
        return Receipt(**values, software=software)
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, OSError) as error:
        where = url(folder, name)
        raise CorruptFile(f"{where}: is no part of a run ({error}). Delete it and run again.") from error


def _footer(part: str) -> bytes:
    end = storage.tail(part, TAIL)
    length = int.from_bytes(end[-8:-4], "little")
    if end[-4:] == b"PAR1" and length + 8 > len(end) == TAIL:
        end = storage.tail(part, length + 8)
    if end[-4:] != b"PAR1" or length + 8 > len(end):
        msg = "it does not end as Parquet does"
        raise ValueError(msg)
    return end[-8 - length : -8]


def note(folder: str, name: str, key: bytes) -> bytes | None:
    """What a part's footer says under a key other than the receipt's; None where it says nothing.

    Raises
    ------
    CorruptFile
        If the file is no part.
    """
    where = url(folder, name)
    try:
        footer = _footer(where)
        return _text_of(footer, key) if _marked(key) in footer else None
    except (ValueError, IndexError, OSError) as error:
        raise CorruptFile(f"{where}: is no part of a run ({error}). Delete it and run again.") from error


def _marked(key: bytes) -> bytes:
    """A key as Parquet's footer writes it (Thrift's compact protocol): a string, and another one behind it."""
    return b"\x18" + bytes([len(key)]) + key + b"\x18"


def _text_of(footer: bytes, key: bytes) -> bytes:
    """The text of a key in a footer.

    A run has a million parts; to parse all that their footers say of columns would take ten times as long.
    """
    _, found, after = footer.partition(_marked(key))
    if not found:
        msg = "it has no receipt"
        raise ValueError(msg)
    length, shift, place = 0, 0, 0
    while after[place] & 0x80:
        length |= (after[place] & 0x7F) << shift
        shift, place = shift + 7, place + 1
    length |= after[place] << shift
    return after[place + 1 : place + 1 + length]


@functools.lru_cache(maxsize=64)
def _shared(software: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return dict(software)  # receipts of one run name the same: a million of them fit into memory


def read(folder: str, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read some columns of a part.

    Raises
    ------
    CorruptFile
        If the file is no part, or lacks one of them.
    """
    with _opened(folder, name) as stream:
        found = pq.read_table(stream, columns=columns)
        missing = set(columns or ()) - set(found.column_names)
        if missing:
            raise ValueError(f"it has no column {min(missing)}")
        return found


def read_known(folder: str, name: str, columns: Sequence[str]) -> pa.Table:
    """Read those of the columns that the part has.

    Raises
    ------
    CorruptFile
        If the file is no part.
    """
    with _opened(folder, name) as stream:
        names = pq.read_schema(stream).names
        stream.seek(0)
        return pq.read_table(stream, columns=[column for column in columns if column in names])


@contextlib.contextmanager
def _opened(folder: str, name: str) -> Iterator[IO[bytes]]:
    where = url(folder, name)
    with storage.reading(where, None) as stream:
        try:
            yield stream
        except (pa.ArrowException, ValueError, OSError) as error:
            raise CorruptFile(f"{where}: is no part of a run ({error}). Delete it and run again.") from error
