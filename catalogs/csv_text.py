"""The text of CSV and ECSV files: what their first lines say, and blocks of whole lines."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
from astropy.table.meta import get_header_from_yaml

from catalogs.headers import first_line
from catalogs.shard_table import NotATable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Dialect", "blocks_of", "dialect_of"]

BOM = b"\xef\xbb\xbf"
WIDE = (b"\xff\xfe", b"\xfe\xff")
"""What UTF-16 begins with, as spreadsheets write it."""
ECSV = b"# %ECSV"
SEPARATORS = ",;\t|"
BLOCK = 1 << 18
"""Bytes of whole lines that are parsed at once: a slice of few rows reads one such block."""
LONGEST_LINE = 64 << 20
LONGEST_HEADER = 4 << 20
TEXT = "Write it as UTF-8 with a header line, one line a row"
TYPES = {
    **{
        f"{sign}int{bits}": getattr(pa, f"{sign}int{bits}")()
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
    "float32": pa.float32(),
    "float64": pa.float64(),
    "float16": pa.float32(),
    "float128": pa.float64(),
    "bool": pa.bool_(),
    "string": pa.string(),
}
"""Arrow's types by ECSV's names."""


@dataclass(frozen=True)
class Dialect:
    """How a file's lines are to be read."""

    names: tuple[str, ...]
    separator: str
    start: int
    """Byte at which the line behind the header line begins."""
    types: dict[str, pa.DataType] = field(default_factory=dict)
    """Of the columns, where the file says (ECSV)."""
    notes: dict[str, dict[str, str]] = field(default_factory=dict)
    """`unit`, `ucd` and `description` of columns, where the file says (ECSV)."""
    unusable: dict[str, str] = field(default_factory=dict)
    """Columns whose cells are no numbers or texts, and why."""
    synthetic: bool = False


def dialect_of(stream: IO[bytes], marker: str) -> Dialect:
    """Read the first lines of a file: comments, which may be those of ECSV, and the header line.

    Parameters
    ----------
    stream : binary stream
        At its beginning.
    marker : str
        Key of the metadata of synthetic tables.

    Raises
    ------
    NotATable
        If there is no header line, or it is no text.
    """
    start, comments = 0, list[bytes]()
    while True:
        line = stream.readline(LONGEST_HEADER)
        start += len(line)
        if line.startswith(WIDE):
            msg = "is UTF-16 text"
            raise NotATable(msg, TEXT)
        line = line.removeprefix(BOM)
        while line.count(b'"') % 2 and (more := stream.readline(LONGEST_HEADER)):
            line, start = line + more, start + len(more)
        if not line or start > LONGEST_HEADER:
            msg = "has no header line"
            raise NotATable(msg, TEXT)
        if line.startswith(b"#"):
            comments.append(line)
        elif line.strip():
            break
    header = _text(line, "its header line").rstrip("\r\n")
    if "\0" in header:
        msg = "is not a text file"
        raise NotATable(msg)
    if comments and comments[0].startswith(ECSV):
        return _ecsv(comments, header, start, marker)
    separator = max(SEPARATORS, key=header.count)
    return Dialect(_names(header, separator), separator, start)


def _ecsv(comments: list[bytes], header: str, start: int, marker: str) -> Dialect:
    try:
        about = get_header_from_yaml([line.decode()[2:].rstrip("\r\n") for line in comments[1:]])
        separator, columns = str(about.get("delimiter", " ")), about["datatype"]
        kinds = {str(column["name"]): column for column in columns}
    except Exception as error:  # astropy raises what it happens to over YAML that makes no sense
        raise NotATable(f"the header of its ECSV is damaged ({first_line(error)})") from error
    names = _names(header, separator)
    if list(names) != list(kinds):
        msg = "the header of its ECSV describes other columns than its header line names"
        raise NotATable(msg)
    unusable = {name: problem for name, column in kinds.items() if (problem := _problem(column)) is not None}
    types = {name: TYPES.get(column["datatype"], pa.string()) for name, column in kinds.items()}
    notes = {name: _notes(column) for name, column in kinds.items()}
    synthetic = (about.get("meta") or {}).get(marker) is True
    return Dialect(names, separator, start, types, notes, unusable, synthetic)


def _problem(column: dict[str, Any]) -> str | None:
    if column.get("subtype"):
        return f"{column['subtype']}, written as JSON"
    return None if column["datatype"] in TYPES else str(column["datatype"])


def _notes(column: dict[str, Any]) -> dict[str, str]:
    ucd = (column.get("meta") or {}).get("ucd", "")
    return {
        "unit": str(column.get("unit", "")),
        "ucd": str(ucd),
        "description": str(column.get("description", "")),
    }


def _names(header: str, separator: str) -> tuple[str, ...]:
    try:
        names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
    except (csv.Error, StopIteration, TypeError) as error:
        raise NotATable(f"its header line cannot be read ({first_line(error)})", TEXT) from error
    for number, name in enumerate(names):
        if not name:
            raise NotATable(f"column {number + 1} has no name in its header line", "Give it one")
        if name in names[:number]:
            raise NotATable(f"two of its columns are called {name!r}", "Rename one of them in the file")
    return tuple(names)


def _text(line: bytes, what: str) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise NotATable(f"{what} is not UTF-8", TEXT) from error


def blocks_of(stream: IO[bytes], block: int = BLOCK) -> Iterator[bytes]:
    """The rest of a stream in pieces of whole lines; a line break between quotes ends none.

    Raises
    ------
    NotATable
        If a line is far too long: a quote is not closed.
    """
    waiting = b""
    while piece := stream.read(block):
        waiting += piece
        end = _last_line(waiting)
        if end:
            yield waiting[:end]
            waiting = waiting[end:]
        elif len(waiting) > LONGEST_LINE:
            msg = f"has a line of more than {LONGEST_LINE >> 20} MiB: a quote is not closed"
            raise NotATable(msg, TEXT)
    if waiting:
        yield waiting


def _last_line(text: bytes) -> int:
    """Byte behind the last line break that is not between quotes; 0 where there is none."""
    end = text.rfind(b"\n") + 1
    open_quotes = text.count(b'"', 0, end) % 2
    while open_quotes and end:
        before = text.rfind(b"\n", 0, end - 1) + 1
        open_quotes = (open_quotes + text.count(b'"', before, end)) % 2
        end = before
    return end
