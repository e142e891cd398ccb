"""What a column of text holds: truth values, integers, floats or text, whichever keeps every cell."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from catalogs._types import Bools, Integers

BOOLEANS = pa.array(["True", "False"])
INTEGER = r"^[+-]?(0|[1-9][0-9]*)$"
PADDED = r"^[+-]?0[0-9]+$"
"""A leading zero is part of a name: plate 0123."""
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NAN = r"(?i)^[+-]?nan$"
INFINITE = r"(?i)^[+-]?inf(inity)?$"
DECIMAL_COMMA = r"^[+-]?[0-9]+,[0-9]+$"
DIGITS = 20
"""Characters that an integer of 64 bits may have, sign included."""
FEW = 3
"""Words among numbers that look like somebody's sign for nothing."""


@dataclass(frozen=True)
class Typed:
    """A column with its type."""

    cells: pd.Series
    faults: list[tuple[int, str, str]] = field(default_factory=list)
    """Row, problem and remedy."""
    note: str | None = None
    """Note on how it was read; `{line}` is the line of `row`."""
    row: int = 0

    def notes(self, lines: Integers) -> list[str]:
        """The note, if there is one."""
        return [] if self.note is None else [self.note.replace("{line}", str(lines[self.row]))]


def typed(cells: pa.ChunkedArray, *, words: bool = False, commas: bool = False) -> Typed:
    """Give a column of text its type, which is that of the whole table, so that all shards agree.

    Parameters
    ----------
    cells : ChunkedArray of string
        Null where a cell is empty.
    words : bool
        The column holds ids: they are integers or text.
    commas : bool
        Cells are not separated by commas, so that one between digits is a decimal point, which is refused.

    Returns
    -------
    Typed
        bool where all cells are `True` or `False`; int64, or Int64 with empty cells; float64; else text. `nan` among
        numbers is an empty cell, as in FITS; in a column of text it is a word like any other.
    """
    empty = cells.is_null().to_numpy()
    if empty.all():
        return Typed(pd.Series(np.full(len(cells), np.nan)))
    if not words and not empty.any() and pc.all(pc.is_in(cells, value_set=BOOLEANS)).as_py():
        return Typed(pd.Series(pc.equal(cells, "True").to_numpy()))
    number, padded = _match(cells, NUMBER), _match(cells, PADDED)
    nan = _match(cells, NAN)
    whole = _match(cells, INTEGER)
    if words:
        return _integers(cells, empty) if whole.all() else Typed(cells.to_pandas())
    special = nan | _match(cells, INFINITE)
    if (number | special | empty).all() and number.any() and not padded.any():
        if (whole | nan | empty).all():
            return _integers(cells, empty | nan)
        return _floats(cells, empty | nan, special)
    return _text(cells, number, _match(cells, DECIMAL_COMMA) & commas, empty)


def _match(cells: pa.ChunkedArray, pattern: str) -> Bools:
    return pc.match_substring_regex(cells, pattern).fill_null(False).to_numpy()


def _integers(cells: pa.ChunkedArray, empty: Bools) -> Typed:
    # Python itself refuses to read thousands of digits, so their number is looked at first.
    known = [None if none else cell for cell, none in zip(cells.to_pylist(), empty, strict=True)]
    large = [
        row for row, cell in enumerate(known) if cell and (len(cell) > DIGITS or abs(int(cell)) >= 2**63)
    ]
    if large:
        note = "integers that 64 bits can't hold, kept as text (line {line})"
        return Typed(cells.to_pandas(), note=note, row=large[0])
    numbers = [None if cell is None else int(cell) for cell in known]
    return Typed(pd.Series(numbers, dtype="Int64" if empty.any() else "int64"))


def _floats(cells: pa.ChunkedArray, empty: Bools, special: Bools) -> Typed:
    known = zip(cells.to_pylist(), empty, strict=True)
    values = np.array([np.nan if none else float(cell) for cell, none in known])
    large = np.flatnonzero(np.isinf(values) & ~special)
    if len(large):
        note = "numbers that a double can't hold, kept as text (line {line})"
        return Typed(cells.to_pandas(), note=note, row=int(large[0]))
    return Typed(pd.Series(values))


def _text(cells: pa.ChunkedArray, number: Bools, comma: Bools, empty: Bools) -> Typed:
    text = cells.to_pandas()
    if comma.any() and (comma | number | empty).all():
        row = int(np.flatnonzero(comma)[0])
        return Typed(text, [(row, "has a decimal comma", "Write numbers with points: 0.5")])
    other = np.flatnonzero(~(number | empty))
    if len(other) > number.sum():
        return Typed(text)
    found = sorted(cells.take(pa.array(other)).unique().to_pylist())
    if 0 < len(found) <= FEW:
        listed = ", ".join(repr(word) for word in found)
        note = f"numbers, but for {listed} (line {{line}}): kept as text. Empty those cells to have numbers"
        return Typed(text, note=note, row=int(other[0]))
    return Typed(text)
