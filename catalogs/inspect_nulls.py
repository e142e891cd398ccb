"""Which reading of TNULL a release's unsigned columns need, by what stands in their rows; see `catalogs.nulls`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from catalogs import nulls, storage
from catalogs.ascii_columns import is_ascii
from catalogs.errors import CorruptFile
from catalogs.inspect_rows import may_be_looked_at, steps
from catalogs.tables import TableHeader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs.shard_table import ShardTable


def with_nulls(tables: list[ShardTable], needed: Sequence[str]) -> tuple[list[ShardTable], list[str]]:
    """The shards with the reading of TNULL that fits their rows, and notes on columns of which two are possible.

    Where the rows show one of the two numbers only, that one is the missing value. Where they show both or none, or are too many to be
    looked at, the header decides: see `catalogs.nulls.physical_by_header`.
    """
    stored_as_fits = [table for table in tables if isinstance(table, TableHeader)]
    open_to_both = [name for name in needed if any(_is_open(table, name) for table in stored_as_fits)]
    if not open_to_both:
        return tables, []
    stored, physical = dict.fromkeys(open_to_both, 0), dict.fromkeys(open_to_both, 0)
    if looked := may_be_looked_at(tables, open_to_both):
        for found in storage.parallel(lambda table: _counts(table, open_to_both), stored_as_fits):
            for name, (one, other) in found.items():
                stored[name] += one
                physical[name] += other
    by_header = {name: any(name in table.physical_nulls for table in stored_as_fits) for name in open_to_both}
    taken = {
        name: by_header[name] if (stored[name] > 0) == (physical[name] > 0) else physical[name] > 0
        for name in open_to_both
    }
    notes = []
    for name, as_physical in taken.items():
        here, there = (physical, stored) if as_physical else (stored, physical)
        way = "itself, as astropy writes it" if as_physical else "that is stored, as the standard says"
        seen = f" ({here[name]} such values; {there[name]} of the other reading)" if looked else ""
        notes.append(f"Missing values of {name!r}: its TNULL is taken for the number {way}{seen}.")
    settled = [
        replace(table, physical_nulls=_settled(table, taken)) if isinstance(table, TableHeader) else table
        for table in tables
    ]
    return settled, notes


def _is_open(table: TableHeader, name: str) -> bool:
    if is_ascii(table.header) or name not in table.columns.names:
        return False
    column = table.columns[name]
    both = nulls.is_integer(column) and nulls.may_be_stored(column) and nulls.may_be_physical(column)
    return both and nulls.stored_null(column, physical=False) != nulls.stored_null(column, physical=True)


def _settled(table: TableHeader, taken: dict[str, bool]) -> frozenset[str]:
    decided = {name for name in taken if _is_open(table, name)}
    return (table.physical_nulls - decided) | {name for name in decided if taken[name]}


def _counts(table: TableHeader, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Missing values of each column by the stored and by the physical number; a shard that cannot be read is found elsewhere."""
    here = [name for name in names if _is_open(table, name)]
    readings = [replace(table, physical_nulls=reading) for reading in (frozenset[str](), frozenset(here))]
    counts = dict.fromkeys(here, (0, 0))
    try:
        for start, stop in steps(table, here) if here else ():
            found = [reading.read(start, stop, here) for reading in readings]
            for name in here:
                stored, physical = (_missing(rows[name]) for rows in found)
                counts[name] = counts[name][0] + stored, counts[name][1] + physical
    except CorruptFile:
        pass
    return counts


def _missing(column: pa.ChunkedArray) -> int:
    values = column.combine_chunks()
    return int((values.flatten() if pa.types.is_fixed_size_list(values.type) else values).null_count)
