"""Stamps as Arrow and as NumPy: fixed-size lists of float32 on the one side, images on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["has_noise", "has_owners", "owners_of", "planes_in", "stamps_of"]


def stamps_of(column: pa.ChunkedArray, bands: int, size: int) -> NDArray[np.float32]:
    """View of the stamps, (n, b, y, x); a copy only if they came in several chunks.

    Raises
    ------
    ValueError
        If the column holds something else.
    """
    length = bands * size * size
    if column.type != pa.list_(pa.float32(), length):
        raise ValueError(
            f"column stamp is {column.type}, not lists of {length} float32: bands = {bands}, size = {size}"
        )
    if not column.num_chunks:
        return np.zeros((0, bands, size, size), dtype=np.float32)
    array = column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)
    # .values has a slot for null lists too, and knows nothing of the array's own offset; no copy unless it has nulls
    flat = array.values.slice(array.offset * length, len(array) * length).to_numpy(zero_copy_only=False)
    return np.asarray(flat.reshape(-1, bands, size, size))


def owners_of(column: pa.ChunkedArray, size: int) -> NDArray[np.uint8]:
    """Whose the pixels of stamps are, (n, y, x), see `kernels.segmentation.given`."""
    lists = column.combine_chunks()
    values = lists.values.slice(lists.offset * size * size, len(lists) * size * size)
    return np.asarray(values.to_numpy(zero_copy_only=False).reshape(-1, size, size))


def planes_in(objects: pa.Table) -> list[str]:
    """Columns of a table that have a value for each pixel of a stamp."""
    return [name for name in ("stamp", "stamp_noise", "stamp_owners") if name in objects.column_names]


def has_owners(objects: pa.Table) -> bool:
    """Whether a table has a segmentation map of each stamp, in a column ``stamp_owners``."""
    return "stamp_owners" in objects.column_names


def has_noise(objects: pa.Table) -> bool:
    """Whether a table has the noise of each pixel, lists like those of stamps, in a column ``stamp_noise``."""
    return "stamp_noise" in objects.column_names
