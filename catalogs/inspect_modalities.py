"""Look at the catalog columns of modalities before any work starts: whether they are numbers, how long vectors are, and on which wavelengths."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalogs.errors import CorruptFile, Fault, Refused
from catalogs.modalities import is_list, vectors
from catalogs.silence import silenced

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs._types import Floats
    from catalogs.modalities import ModalitySource, VectorColumns
    from catalogs.shard_table import ShardTable

__all__ = ["column_faults", "look_at_modalities", "unit_of"]

LOOKED_AT = 1024
"""Rows, at most, by which lengths and wavelengths are found out that types and config do not say."""
OTHER = "Choose another column"


def column_faults(source: ModalitySource | None, url: str, schema: pa.Schema) -> list[Fault]:
    """Columns that are there, but cannot be what `[modalities]` says they are."""
    if source is None:
        return []
    faults = [
        Fault(url, f"is {kind}, not a number, as [[modalities.scalars]] {each.name!r} needs", OTHER, name)
        for each in source.scalars
        for name in each.needed
        if not _is_number(kind := schema.field(name).type)
    ]
    for vector in source.vectors:
        wrong = [
            Fault(url, f"is {kind}, not a vector of numbers, as {_called(vector)} needs", OTHER, name)
            for name in vector.needed
            if not (is_list(kind := schema.field(name).type) and _is_number(kind.value_type))
        ]
        faults += wrong or _length_faults(vector, url, schema)
    return faults


def look_at_modalities(
    source: ModalitySource | None, tables: Sequence[ShardTable]
) -> tuple[ModalitySource | None, list[str]]:
    """The source with lengths and wavelengths as the catalog has them, and notes on what it does not say.

    Where lists are of any length, that of most of the first rows counts; of wavelengths in a column, the first that are some.

    Raises
    ------
    Refused
        With everything that is wrong.
    """
    if source is None:
        return None, []
    table = next(table for table in tables if table.rows)
    found, notes, faults = [], list[str](), list[Fault]()
    for vector in source.vectors:
        try:
            resolved, noted = _resolved(vector, table)
        except Refused as refused:
            faults += refused.faults
            continue
        except CorruptFile as error:
            problem = str(error).removeprefix(f"{table.url}: ").split(". ")[0]
            raise Refused([Fault(table.url, problem, "Fetch the file again")]) from error
        found.append(resolved)
        notes += noted
    if faults:
        raise Refused(faults)
    return replace(source, vectors=tuple(found)), notes


def unit_of(schema: pa.Schema, name: str) -> str:
    """Unit of a column; empty where the catalog does not say."""
    return (schema.field(name).metadata or {}).get(b"unit", b"").decode().strip()


def _called(vector: VectorColumns) -> str:
    return f"[[modalities.vectors]] {vector.name!r}"


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _length_faults(vector: VectorColumns, url: str, schema: pa.Schema) -> list[Fault]:
    """Columns of a vector whose types are of different lengths."""
    kinds = {name: schema.field(name).type for name in vector.needed}
    lengths = {name: kind.list_size for name, kind in kinds.items() if pa.types.is_fixed_size_list(kind)}
    length = lengths.get(vector.column)
    return [
        Fault(url, f"has {other:,} values, but {vector.column!r} has {length:,}", OTHER, name)
        for name, other in lengths.items()
        if length is not None and other != length
    ]


def _resolved(vector: VectorColumns, table: ShardTable) -> tuple[VectorColumns, list[str]]:
    """A vector with its length and wavelengths."""
    schema, waves = table.empty.schema, vector.wavelengths
    rows = None
    if not all(pa.types.is_fixed_size_list(schema.field(name).type) for name in vector.needed) or isinstance(
        waves, str
    ):
        rows = table.read(0, min(table.rows, LOOKED_AT), list(dict.fromkeys(vector.needed)))
    listed = len(waves) if not isinstance(waves, str) and len(waves) != 2 else 0
    length = _length(rows, schema.field(vector.column)) or listed or vector.length
    if not length:
        problem = f"none of the first {LOOKED_AT:,} rows has a value, so the length is not known"
        raise Refused([Fault(table.url, problem, "Give all wavelengths in the config", vector.column)])
    found = replace(vector, length=length)
    if vector.ivar is not None and (others := _length(rows, schema.field(vector.ivar))) not in (0, length):
        problem = f"has {others:,} values, but {vector.column!r} has {length:,}"
        raise Refused([Fault(table.url, problem, OTHER, vector.ivar)])
    if not isinstance(waves, str):
        return replace(found, grid=_grid(found, waves, table.url)), []
    assert rows is not None
    unit = unit_of(schema, waves)
    found = replace(found, nanometres=_nanometres(unit, table.url, waves))
    grid = _first_grid(vectors(rows[waves], length) * found.nanometres, table.url, found)
    notes = [] if unit else [f"Column {waves!r} has no unit: its wavelengths are taken to be in nm."]
    return replace(found, grid=tuple(grid.tolist())), notes


def _length(rows: pa.Table | None, field: pa.Field) -> int:
    """The length of a column's lists; where they are of any, the most frequent one above 0 in some rows, of equally frequent ones the first; 0 where all are empty."""
    if rows is None or pa.types.is_fixed_size_list(field.type):
        return int(field.type.list_size)
    lengths = Counter(length for length in pc.list_value_length(rows[field.name]).to_pylist() if length)
    return max(lengths, key=lambda length: lengths[length], default=0)


def _grid(vector: VectorColumns, waves: tuple[float, ...], url: str) -> tuple[float, ...]:
    """All wavelengths, of those that the config gives."""
    if len(waves) == vector.length:
        return waves
    if len(waves) != 2:
        problem = f"has {vector.length:,} values, but {_called(vector)} has {len(waves):,} wavelengths"
        raise Refused([Fault(url, problem, "Give one a value, or the first and the last one", vector.column)])
    if vector.length == 1:
        problem = f"has 1 value, but {_called(vector)} has 2 wavelengths"
        raise Refused([Fault(url, problem, "Give one wavelength", vector.column)])
    spaced = np.linspace if vector.spacing == "linear" else np.geomspace
    return tuple(spaced(waves[0], waves[1], vector.length).tolist())


def _nanometres(unit: str, url: str, column: str) -> float:
    """In a unit of length; 1 where it is not said."""
    if not unit:
        return 1.0
    try:
        with silenced():
            return float(u.Unit(unit).to(u.nm))
    except (ValueError, TypeError, u.UnitConversionError) as error:
        remedy = "Choose a column of wavelengths, or give them in the config, in nm"
        raise Refused([Fault(url, "wavelengths are lengths", remedy, column, f"unit {unit!r}")]) from error


def _first_grid(grids: Floats, url: str, vector: VectorColumns) -> Floats:
    """The first row of wavelengths (n, length) that has all of them."""
    column = str(vector.wavelengths)
    whole = np.flatnonzero(np.isfinite(grids).all(axis=1))
    if not len(whole):
        problem = f"none of the first {LOOKED_AT:,} rows has {vector.length:,} wavelengths, as many as {vector.column!r} has values"
        raise Refused([Fault(url, problem, "Choose another column, or give them in the config", column)])
    grid = grids[whole[0]]
    falls = np.flatnonzero(~(np.diff(grid) > 0))
    if len(falls) or not grid[0] > 0:
        at = falls[0] if len(falls) else 0
        told = ", ".join(f"{wave:g}" for wave in grid[at : at + 2])
        problem = f"wavelengths must ascend, and be above 0, but row {whole[0]} has {told} nm"
        remedy = "Choose another column, or give them in the config"
        raise Refused([Fault(url, problem, remedy, column)])
    return np.asarray(grid)
