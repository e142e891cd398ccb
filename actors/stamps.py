"""Stamps as Arrow and as NumPy: fixed-size lists of float32 on the one side, images on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "has_noise",
    "has_owners",
    "modalities_of",
    "owners_of",
    "planes_in",
    "stamps_of",
    "with_modalities",
    "without_modalities",
]


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


def modalities_of(column: pa.ChunkedArray, width: int) -> NDArray[np.float32]:
    """What objects have beside stamps, (n, width), see `kernels.modalities`.

    Raises
    ------
    ValueError
        If the column holds something else.
    """
    if column.type != pa.list_(pa.float32(), width):
        raise ValueError(f"column modalities is {column.type}, not lists of {width} float32")
    lists = column.combine_chunks()
    values = lists.values.slice(lists.offset * width, len(lists) * width)
    return np.asarray(values.to_numpy(zero_copy_only=False).reshape(-1, width))


def with_modalities(stamps: NDArray[np.float32], others: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """What a network is given: stamps (n, b, y, x) alone as they are, else (n, b * y * x + width): their pixels, and then the other modalities (n, width)."""
    if others is None:
        return stamps
    return np.concatenate([stamps.reshape(len(stamps), -1), others], axis=1)


def without_modalities(
    given: NDArray[np.float32], bands: int, size: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """The stamps and the other modalities that `with_modalities` joined."""
    if not width:
        return given, None
    return given[:, :-width].reshape(-1, bands, size, size), given[:, -width:]


def planes_in(objects: pa.Table) -> list[str]:
    """Columns of a table that have a value for each pixel of a stamp."""
    return [name for name in ("stamp", "stamp_noise", "stamp_owners") if name in objects.column_names]


def has_owners(objects: pa.Table) -> bool:
    """Whether a table has a segmentation map of each stamp, in a column ``stamp_owners``."""
    return "stamp_owners" in objects.column_names


def has_noise(objects: pa.Table) -> bool:
    """Whether a table has the noise of each pixel, lists like those of stamps, in a column ``stamp_noise``."""
    return "stamp_noise" in objects.column_names
