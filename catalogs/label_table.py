"""The table that names pictures and says what is known of them: a CSV of which text stays text."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from catalogs.column_layout import STAMPS
from catalogs.errors import Fault, Refused, listed
from catalogs.headers import first_line
from catalogs.label_types import typed
from catalogs.tables import MOST_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from catalogs._types import Integers

SEPARATORS = ",;\t"
OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
PIECE = 20_000
"""Rows that are held as Python's texts at once."""
LONGEST = 8192
"""Bytes of a text: FITS gives every row as much room as the longest one takes."""
LONGEST_NAME = 68
"""Characters of a column's name: one card of a FITS header."""
NAMES_SHOWN = 20
REMEDY = "Give a CSV with a header line and a column `file`"


@dataclass(frozen=True)
class LabelTable:
    """A label table as it was read."""

    files: list[str]
    """Cells of the column `file`."""
    columns: pd.DataFrame
    """All other columns, `id` first where the table has none."""
    lines: Integers
    """Line of the file at which each row begins; 0 without a file."""
    notes: list[str] = field(default_factory=list)
    """Notes on how cells were read."""


def read(path: Path) -> LabelTable:
    """Read a table of labels.

    Cells are separated by commas, semicolons or tabs, whichever the header line shows; blanks around a cell don't count; an empty cell
    is null, and nothing else is.

    Raises
    ------
    Refused
        With all that is wrong: line, column, value and remedy.
    """
    separator, names, cells, lines = _text(path)
    names, cells, notes = _named(names, cells)
    faults = _name_faults(path, names)
    if not len(lines):
        faults.append(Fault(str(path), "has no row", REMEDY))
    if faults:
        raise Refused(faults)
    table = dict(zip(names, cells, strict=True))
    named = table.pop("file")
    files = [text or "" for text in named.to_pylist()]
    if "id" not in table:
        stems = [PurePosixPath(name).stem or name for name in files]
        table = {"id": pa.chunked_array([pa.array(stems, pa.string())]), **table}
    faults = _cell_faults(path, named, table, lines)
    if faults:
        raise Refused(listed(faults, "cells"))
    commas = separator != ","
    found = {name: typed(column, words=name == "id", commas=commas) for name, column in table.items()}
    faults = [
        Fault(str(path), f"line {lines[row]} {problem}", remedy, name, repr(table[name][row].as_py()))
        for name, column in found.items()
        for row, problem, remedy in column.faults
    ]
    faults += _double_faults(path, found["id"].cells.tolist(), lines)
    if faults:
        raise Refused(listed(faults, "cells"))
    notes += [f"column {name}: {note}" for name, column in found.items() for note in column.notes(lines)]
    return LabelTable(files, pd.DataFrame({name: c.cells for name, c in found.items()}), lines, notes)


def of_folder(folder: Path, endings: Collection[str]) -> LabelTable:
    """All files in a folder whose names end so, in order, each named by its own; there are no labels.

    Raises
    ------
    Refused
        If there is none, or two have the same name but for the ending.
    """
    files = sorted(file.name for file in folder.iterdir() if file.name.lower().endswith(tuple(endings)))
    if not files:
        remedy = f"Give a folder with images ({', '.join(endings)}), or a CSV that names them"
        raise Refused([Fault(str(folder), "holds no image", remedy)])
    names = [name[: -len(max((e for e in endings if name.lower().endswith(e)), key=len))] for name in files]
    doubles = [
        f"{one} and {other}"
        for one, other, same in zip(files, files[1:], names, strict=False)
        if other.startswith(f"{same}.")
    ]
    if doubles:
        problem, remedy = f"holds {doubles[0]}", "Name them in a CSV with a column id"
        raise Refused([Fault(str(folder), problem + ", which name one object", remedy)])
    return LabelTable(files, pd.DataFrame({"id": names}), np.zeros(len(files), np.int64))


def _text(path: Path) -> tuple[str, list[str], list[pa.ChunkedArray], Integers]:
    """The separator, and see `_cells`; what cannot be read is refused."""
    try:
        separator = _separator(path)
        return separator, *_cells(path, separator)
    except FileNotFoundError as error:
        raise Refused([Fault(str(path), "is missing", REMEDY)]) from error
    except UnicodeDecodeError as error:
        raise Refused([_not_text(path)]) from error
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise Refused([Fault(str(path), f"cannot be read as CSV ({first_line(error)})", REMEDY)]) from error


def _cell_faults(
    path: Path, files: pa.ChunkedArray, table: dict[str, pa.ChunkedArray], lines: Integers
) -> list[Fault]:
    faults = _empty_faults(path, "file", files, lines, "names no file")
    if not faults:  # else their stems are no ids
        faults += _empty_faults(path, "id", table["id"], lines, "has no id")
    for name, column in {"file": files, **table}.items():
        faults += _text_faults(path, name, column, lines)
    return faults


def _cells(path: Path, separator: str) -> tuple[list[str], list[pa.ChunkedArray], Integers]:
    """Names, columns of text with null for empty cells, and the line of each row."""
    names: list[str] = []
    pieces: list[list[pa.Array]] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    faults: list[Fault] = []

    def flush() -> None:
        pieces.append([_stripped(cells) for cells in zip(*rows, strict=True)])
        rows.clear()

    for line, row in _records(path, separator):
        if not names:
            names = row
        elif len(row) != len(names):
            problem = f"line {line} cannot be read as CSV (it has {len(row)} cells, the header {len(names)})"
            faults.append(Fault(str(path), problem, "Complete it; quote cells that hold separators"))
        else:
            rows.append(row)
            lines.append(line)
            if len(rows) == PIECE:
                flush()
    if faults:
        raise Refused(listed(faults, "lines"))
    if rows:
        flush()
    columns = [pa.chunked_array(chunks, pa.string()) for chunks in zip(*pieces, strict=True)]
    return names, columns or [pa.chunked_array([], pa.string())] * len(names), np.array(lines, np.int64)


def _stripped(cells: Sequence[str]) -> pa.Array:
    texts = pc.utf8_trim_whitespace(pa.array(cells, pa.string()))
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _separator(path: Path) -> str:
    header: list[str] = []
    for separator in SEPARATORS:
        names = next((row for _, row in _records(path, separator)), [])
        if "file" in [name.strip() for name in names]:
            return separator
        header = header or names
    if not header:
        raise Refused([Fault(str(path), "is empty", REMEDY)])
    there = ", ".join(header[:NAMES_SHOWN]) + (" …" if len(header) > NAMES_SHOWN else "")
    raise Refused([Fault(str(path), f"has no such column; there are: {there}", REMEDY, "file")])


def _records(path: Path, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not blank, each with the line at which it begins."""
    with OPENERS.get(path.suffix.lower(), open)(path, "rt", encoding="utf-8-sig", newline="") as text:
        reader, line = csv.reader(text, delimiter=separator, strict=True), 1
        try:
            for row in reader:
                if row:
                    yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            problem = f"line {line} cannot be read as CSV ({first_line(error)})"
            remedy = "Mend it; a quote within quotes is written twice"
            raise Refused([Fault(str(path), problem, remedy)]) from error


def _not_text(path: Path) -> Fault:
    with OPENERS.get(path.suffix.lower(), open)(path, "rb") as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                start = line[max(0, error.start - 20) : error.end].decode("latin-1")
                return Fault(str(path), f"line {number} is not UTF-8", "Save it as UTF-8", value=repr(start))
    return Fault(str(path), "is not UTF-8", "Save it as UTF-8")


def _named(
    names: Sequence[str], cells: Sequence[pa.ChunkedArray]
) -> tuple[list[str], list[pa.ChunkedArray], list[str]]:
    """Names without blanks around them; a column without name (pandas' index) gets one, if there is anything in it."""
    known, columns, notes = [], [], []
    taken = {name.strip().lower() for name in names}
    for number, (written, column) in enumerate(zip(names, cells, strict=True), start=1):
        name = written.strip()
        if not name and column.null_count == len(column):
            continue
        if not name:
            name = f"column_{number}"
            while name in taken:
                name += "_"
            notes.append(f"column {number} has no name: it is called {name}")
        known.append(name)
        columns.append(column)
    return known, columns, notes


def _name_faults(path: Path, names: Sequence[str]) -> list[Fault]:
    """FITS column names are ASCII and, like SQL's, the same in capitals; IMAGE holds the stamps."""
    remedy = "Rename the column"
    faults = []
    seen = {STAMPS.lower(): f"{STAMPS}, the stamps' own column"}
    if "id" not in names:
        seen["id"] = "id, which names the objects"  # by the files' stems
    for name in names:
        if not name.isascii():
            faults.append(Fault(str(path), "is not plain ASCII", remedy, name))
        elif not name.isprintable():
            faults.append(Fault(str(path), "has characters that no FITS header holds", remedy, name))
        if len(name) > LONGEST_NAME:
            problem = f"has {len(name)} characters, and a FITS header holds {LONGEST_NAME}"
            faults.append(Fault(str(path), problem, remedy, name))
        if name.lower() in seen:
            problem = f"is in FITS and SQL the same as {seen[name.lower()]}"
            faults.append(Fault(str(path), problem, remedy, name))
        seen.setdefault(name.lower(), name)
    labels = len({*names, "id"} - {"file"})
    if labels >= MOST_COLUMNS:
        problem = f"has {labels} columns, and a FITS table holds {MOST_COLUMNS - 1} beside the stamps"
        faults.append(Fault(str(path), problem, "Leave some out"))
    return faults


def _empty_faults(
    path: Path, name: str, column: pa.ChunkedArray, lines: Integers, problem: str
) -> list[Fault]:
    rows = np.flatnonzero(column.is_null().to_numpy())
    return [Fault(str(path), f"line {lines[row]} {problem}", "Fill it in", name) for row in rows]


def _text_faults(path: Path, name: str, column: pa.ChunkedArray, lines: Integers) -> list[Fault]:
    faults = []
    long = pc.greater(pc.binary_length(column), LONGEST).fill_null(False).to_numpy()
    for row in np.flatnonzero(long):
        problem = f"line {lines[row]} has a text of more than {LONGEST:,} bytes"
        faults.append(Fault(str(path), problem, "Shorten it, or leave the column out", name))
    cut = pc.match_substring(column, "\0").fill_null(False).to_numpy()
    for row in np.flatnonzero(cut):
        problem = f"line {lines[row]} has a character of code 0, with which FITS ends a text"
        faults.append(Fault(str(path), problem, "Take it out", name, repr(column[row].as_py())))
    return faults


def _double_faults(path: Path, ids: Sequence[int | str], lines: Integers) -> list[Fault]:
    counts = Counter(ids)
    twice = [value for value, count in counts.items() if count > 1]
    if not twice:
        return []
    rows = [int(lines[row]) for row, value in enumerate(ids) if value == twice[0]]
    problem = f"stands more than once, in lines {rows[0]} and {rows[1]} ({len(twice)} such ids)"
    remedy = "An id names one object: give each row its own"
    return [Fault(str(path), problem, remedy, "id", repr(twice[0]))]
