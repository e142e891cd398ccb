"""What is not known is null: NaN, which FITS floats have in its place, is neither larger nor smaller than anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from catalogs.canned import identifier

if TYPE_CHECKING:
    from collections.abc import Sequence

FLOATS = {"FLOAT", "DOUBLE"}
"""What DuckDB calls the types that can hold NaN."""


def nan_as_null(values: pa.Array) -> pa.Array:
    """The values with null for every NaN, also in the elements of lists of one length; infinity stays."""
    kind = values.type
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values)
    if pa.types.is_fixed_size_list(kind) and pa.types.is_floating(kind.value_type):
        elements = nan_as_null(values.values)
        slots = slice(values.offset * kind.list_size, (values.offset + len(values)) * kind.list_size)
        mask = values.is_null() if values.null_count else None
        return pa.FixedSizeListArray.from_arrays(elements[slots], type=kind, mask=mask)
    return values


def column_sql(name: str, kind: str) -> str:
    """A column for a SELECT, null where it is NaN.

    Parameters
    ----------
    name : str
        Of the column.
    kind : str
        Its type, as DuckDB calls it.
    """
    column = identifier(name)
    # Neither isnan nor nullif: a Parquet file's statistics leave NaN out, and DuckDB takes them to say that there is none.
    is_known = f"isfinite({column}) OR isinf({column})"
    return f"CASE WHEN {is_known} THEN {column} END" if kind in FLOATS else column


def select_sql(described: Sequence[tuple[str, str]]) -> str:
    """What stands after SELECT to have all columns, by name and type, with null for every NaN."""
    columns = [(identifier(name), column_sql(name, kind)) for name, kind in described]
    return ", ".join(plain if plain == sql else f"{sql} AS {plain}" for plain, sql in columns)
