"""Columns of fixed width, as FITS tables and VOTable's BINARY2 have them: which type each gets, how wide it is, what stands for null."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from catalogs.canned import BadQuery, identifier, literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs.answer import Answer

INTEGERS = {
    "UTINYINT": "u1",
    **dict.fromkeys(("TINYINT", "SMALLINT"), "i2"),
    **dict.fromkeys(("USMALLINT", "INTEGER"), "i4"),
    **dict.fromkeys(("UINTEGER", "BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT"), "i8"),
}
"""DuckDB's integers, and the smallest one that holds them: the formats have an unsigned one of 8 bits, the others are signed."""
FLOATS = {"FLOAT": "f4", "DOUBLE": "f8"}
SQL = {"u1": "UTINYINT", "i2": "SMALLINT", "i4": "INTEGER", "i8": "BIGINT", "u8": "UBIGINT"}
SQL |= {"f4": "FLOAT", "f8": "DOUBLE", "bool": "BOOLEAN"}
TIMES = {
    "TIMESTAMP_NS": "strftime({}, '%Y-%m-%dT%H:%M:%S.%n')",
    **dict.fromkeys(
        ("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP WITH TIME ZONE"),
        "strftime(make_timestamp(epoch_us({})), '%Y-%m-%dT%H:%M:%S.%f')",
    ),
}
"""SQL that writes a time as ISO 8601 does; in UTC, where it has a zone."""
LIMITS = {"u1": (0, 2**8 - 1), "i2": (-(2**15), 2**15 - 1), "i4": (-(2**31), 2**31 - 1)}
LIMITS |= {"i8": (-(2**63), 2**63 - 1), "u8": (0, 2**64 - 1)}


class Text(NamedTuple):
    """What a format's strings may hold."""

    format: str
    """Name of the format, for messages."""
    fits: str
    """Regular expression that all of them match."""
    holds: str
    """The same in words."""


@dataclass(frozen=True)
class Column:
    """One column of an answer as rows of fixed width have it."""

    name: str
    expression: str
    """SQL that gives its values in a type that Arrow and NumPy share."""
    code: str
    """NumPy's code of a value: u1, i2, i4, i8, u8, f4, f8, bool or text."""
    length: int | None = None
    """Values in each row, of a column of lists."""
    width: int = 0
    """Bytes (UTF-8) of the longest text."""
    is_ascii: bool = True
    null: int | None = None
    """The integer that stands for null; None where there is none, or the type has a null of its own."""


@dataclass(frozen=True)
class Shape:
    """What a column's type says before any row is seen."""

    name: str
    kind: str
    """DuckDB's type of a value."""
    code: str
    value: str
    """SQL of a value, of a column that is none of lists."""
    is_list: bool

    @property
    def source(self) -> str:
        """The column in SQL; of lists, where it is one of arrays."""
        name = identifier(self.name)
        return f"CAST({name} AS {self.kind}[])" if self.is_list else name

    def expression(self, code: str) -> str:
        """SQL of the column, in the type of the code."""
        if self.is_list:
            return f"CAST({identifier(self.name)} AS {SQL[code]}[])"
        return f"CAST({self.value} AS {SQL[code]})" if code in SQL else self.value


class Range(NamedTuple):
    """What the rows of a column hold; None where that has no meaning for its type."""

    low: int | None
    high: int | None
    has_null: bool | None
    shortest: int | None
    longest: int | None
    """Bytes of the longest text, or values of the longest list."""
    unfit: str | None
    """Some text that the format's strings may not hold."""
    is_ascii: bool | None


def columns_of(answer: Answer, text: Text) -> tuple[int, list[Column]]:
    """Number of rows of an answer, and its columns; for which the query is computed once.

    Raises
    ------
    BadQuery
        If a column does not fit the format.
    """
    shapes = [_shape(name, kind, text.format) for name, kind in answer.kinds.items()]
    wanted = [expression for shape in shapes for expression in _range_sql(shape, text)]
    rows, *found = answer.aggregate(["count(*)", *wanted])
    size = len(Range._fields)
    ranges = [Range(*found[start : start + size]) for start in range(0, len(found), size)]
    return int(rows), [_column(shape, seen, text) for shape, seen in zip(shapes, ranges, strict=True)]


def _shape(name: str, kind: str, form: str) -> Shape:
    if not name.isprintable():
        raise BadQuery(f"column {name!r}: its name cannot be printed: give it another one with AS")
    found = re.fullmatch(r"(.+)\[\d*\]", kind)
    element = found[1] if found else kind
    code, value = _value(element, identifier(name))
    if not code or (found and code == "text"):
        remedy = "leave it out, or select what is in it, or CAST it AS VARCHAR"
        raise BadQuery(f"column {name!r} is of type {kind}, which {form} cannot hold here: {remedy}")
    return Shape(name, element, code, value, is_list=found is not None)


def _value(kind: str, value: str) -> tuple[str, str]:
    """Code and SQL of a value of one of DuckDB's types; no code where there is none."""
    if kind in INTEGERS or re.fullmatch(r"DECIMAL\(\d+,0\)", kind):
        return INTEGERS.get(kind, "i8"), value
    if kind in FLOATS or kind.startswith("DECIMAL"):
        return FLOATS.get(kind, "f8"), value
    if kind == "BOOLEAN":
        return "bool", value
    if kind in TIMES:
        return "text", TIMES[kind].format(value)
    if kind in {"VARCHAR", "UUID", "DATE", "TIME"} or kind.startswith("ENUM"):
        return "text", f"CAST({value} AS VARCHAR)"
    return "", value


def _range_sql(shape: Shape, text: Text) -> Sequence[str]:
    """SQL of each value of a `Range`."""
    column, value = shape.source, shape.value
    unknown = "NULL"
    if shape.code == "text":
        fits = f"regexp_full_match({value}, {literal(text.fits)}, 's')"
        unfit = f"min({value}) FILTER (NOT {fits})"
        is_ascii = f"bool_and(strlen({value}) = length({value}))"
        return unknown, unknown, unknown, unknown, f"max(strlen({value}))", unfit, is_ascii
    is_integer = shape.code in LIMITS
    ends = [unknown] * 3
    if not shape.is_list:
        if is_integer:
            ends = [f"min({value})", f"max({value})", f"count({value}) < count(*)"]
        return [*ends, *[unknown] * 4]
    has_null = f"bool_or({column} IS NULL OR len({column}) > list_count({column}))"
    if is_integer:
        ends = [f"min(list_min({column}))", f"max(list_max({column}))", has_null]
    return *ends, f"min(len({column}))", f"max(len({column}))", unknown, unknown


def _column(shape: Shape, seen: Range, text: Text) -> Column:
    if seen.unfit is not None:
        problem = f"holds {_shown(seen.unfit)}, but {text.format} has texts of {text.holds} only"
        raise BadQuery(f"column {shape.name!r} {problem}: replace the others, or write VOTable or Parquet")
    if shape.is_list and (seen.shortest != seen.longest or seen.longest == 0):
        problem = f"has lists of {seen.shortest} to {seen.longest} values, but {text.format} is written with lists of one length"
        raise BadQuery(f"column {shape.name!r} {problem}: use list_resize, or write Parquet")
    code = _wide_enough(shape, seen, text.format)
    return Column(
        shape.name,
        shape.expression(code),
        code,
        length=max(seen.longest or 0, 1) if shape.is_list else None,
        width=max(seen.longest or 0, 1) if code == "text" else 0,
        is_ascii=seen.is_ascii is not False,
        null=_null(shape.name, code, seen, text.format) if seen.has_null else None,
    )


def _wide_enough(shape: Shape, seen: Range, form: str) -> str:
    if shape.code not in LIMITS or seen.low is None or seen.high is None:
        return shape.code
    low, high = LIMITS[shape.code]
    if low <= seen.low and seen.high <= high:
        return shape.code
    if form == "FITS" and seen.low >= 0 and seen.high < 2**64 and not seen.has_null:
        return "u8"
    wrong = seen.high if seen.high > high else seen.low
    why = ", beside a null" if form == "FITS" and seen.low >= 0 and seen.high < 2**64 else ""
    raise BadQuery(
        f"column {shape.name!r} holds {wrong}, for which {form} has no integer{why}: CAST it AS VARCHAR"
    )


def _null(name: str, code: str, seen: Range, form: str) -> int:
    """An integer that does not occur: the lowest of the type, else the highest."""
    low, high = LIMITS[code]
    if seen.low is None or seen.low > low:
        return low
    if seen.high is None or seen.high < high:
        return high
    raise BadQuery(
        f"column {name!r} holds {low} and {high}, so that {form} has no integer left for its nulls: "
        "CAST it to a wider type, or to VARCHAR"
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
