"""Columns of Arrow schemas as all catalogs have them: few types, with unit, UCD and description as metadata of the fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["bytes_of", "described", "plain", "plain_type", "unusable"]

KEYS = ("unit", "ucd", "description", "dim")
TEXT_BYTES = 24
LIST_BYTES = 1 << 14
"""What a list of unknown length is taken to need."""


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type as which a column is read: texts of all kinds become strings, decimals and half floats wider ones, lists of lists one list."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or kind == pa.string_view() or pa.types.is_temporal(kind):
        return pa.string()
    if pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_fixed_size_list(kind):
        length, inner = kind.list_size, kind.value_type
        while pa.types.is_fixed_size_list(inner):
            length, inner = length * inner.list_size, inner.value_type
        return pa.list_(plain_type(inner), length)
    return kind


def unusable(kind: pa.DataType) -> str | None:
    """What a column is called whose values are no cells of a table; None where they are."""
    kind = plain_type(kind)
    inner = kind.value_type if pa.types.is_fixed_size_list(kind) else kind
    if pa.types.is_null(kind):
        return "without a type, as none of its values is known"
    if pa.types.is_struct(inner) or pa.types.is_map(inner):
        return "nested (a struct)"
    if pa.types.is_list(inner) or pa.types.is_large_list(inner) or pa.types.is_fixed_size_list(inner):
        return "of variable length"
    if not (pa.types.is_primitive(inner) or pa.types.is_string(inner)):
        return str(inner)
    return None


def described(field: pa.Field, more: Mapping[str, str] | None = None) -> pa.Field:
    """The field as it is read, with what is known of it: from its own metadata, else from `more`."""
    own = {key.decode("utf-8", "replace"): value for key, value in (field.metadata or {}).items()}
    known = {key: own[key].decode("utf-8", "replace") for key in KEYS if key in own}
    known = {**(more or {}), **known}
    if pa.types.is_fixed_size_list(field.type) and "dim" not in known:
        axes, kind = list[int](), field.type
        while pa.types.is_fixed_size_list(kind):
            axes, kind = [kind.list_size, *axes], kind.value_type
        known |= {"dim": f"({','.join(map(str, axes))})"} if len(axes) > 1 else {}
    metadata = {key: known[key] for key in KEYS if known.get(key)}
    return pa.field(field.name, plain_type(field.type), metadata=metadata or None)


def plain(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """A column in one piece, as the type that `plain_type` makes of its own; what is null in vectors of floats is NaN."""
    values = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_fixed_size_list(values.type):
        return _vectors(values, kind)
    return values if values.type == kind else _cast(values, kind)


def _cast(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    return values if values.type == kind else pc.cast(values, kind)


def _vectors(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Vectors, of vectors or of numbers, whose rows stand one behind the other whatever is null among them."""
    rows = len(values)
    while pa.types.is_fixed_size_list(values.type):
        if values.null_count:  # flatten leaves out what is null
            number = np.cumsum(values.is_valid().to_numpy(zero_copy_only=False)) - 1
            place = np.repeat(number * values.type.list_size, values.type.list_size).reshape(
                rows, -1
            ) + np.arange(values.type.list_size)
            missing = np.repeat(values.is_null().to_numpy(zero_copy_only=False), values.type.list_size)
            values = values.flatten().take(pa.array(place.reshape(-1), mask=missing))
        else:
            values = values.flatten()
        rows = len(values)
    values = _cast(values, kind.value_type)
    if pa.types.is_floating(values.type) and values.null_count:
        values = pc.fill_null(values, np.nan)
    return pa.FixedSizeListArray.from_arrays(values, kind.list_size)


def bytes_of(kind: pa.DataType) -> int:
    """Bytes that a value takes in memory, roughly."""
    if pa.types.is_fixed_size_list(kind):
        return kind.list_size * bytes_of(kind.value_type)
    if pa.types.is_string(kind):
        return TEXT_BYTES
    return max(1, kind.bit_width // 8) if pa.types.is_primitive(kind) else LIST_BYTES
