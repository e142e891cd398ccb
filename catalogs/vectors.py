"""Planes of pixels in vector columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from catalogs._types import Array
    from catalogs.survey import Images

__all__ = ["is_vector", "planes_of", "stored_shape"]


def is_vector(rows: pa.Table, name: str) -> bool:
    """Whether a column holds vectors of one length, whose shape its field tells."""
    return name in rows.column_names and bool(pa.types.is_fixed_size_list(rows.schema.field(name).type))


def planes_of(rows: pa.Table, name: str, layout: Images) -> tuple[Array, Array]:
    """Planes (n, band, y, x) of a vector column, and which of their values are missing; those are zero among integers, NaN among floats."""
    column = rows[name].combine_chunks()
    shape = rows.num_rows, *stored_shape(rows.schema.field(name), len(layout.bands))
    values, missing = column.values, np.zeros(shape, bool)
    if pa.types.is_integer(values.type) and values.null_count:
        missing = values.is_null().to_numpy(zero_copy_only=False).reshape(shape)
        values = values.fill_null(0)
    return values.to_numpy(zero_copy_only=False).reshape(shape), missing


def stored_shape(field: pa.Field, bands: int) -> tuple[int, int, int]:
    """Shape (band, y, x) of the stamps in a vector column, from its TDIM, or a square if there is none."""
    if not pa.types.is_fixed_size_list(field.type) or pa.types.is_string(field.type.value_type):
        raise ValueError(f"is {field.type}, not a vector of pixels")
    dims = (field.metadata or {}).get(b"dim", b"").decode()
    length = field.type.list_size
    if dims:
        axes = tuple(int(d) for d in dims.strip("()").split(","))[::-1]
        axes = axes if len(axes) == 3 else (1, *axes)
    else:
        side = round((length / bands) ** 0.5)
        axes = (bands, side, side)
    if len(axes) != 3 or axes[0] != bands or int(np.prod(axes)) != length:
        raise ValueError(f"holds {dims or length} pixels, not stamps of {bands} band(s)")
    return axes[0], axes[1], axes[2]
