"""Embeddings as Arrow and as NumPy: fixed-size lists of float16 on the one side, a matrix on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray


def embeddings_of(column: pa.ChunkedArray | pa.Array) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """The embeddings that are there.

    Returns
    -------
    values : (m, features) float16
        One row for each object that has an embedding, in order.
    usable : (n,) bool
        Which objects those are.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    usable = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), bool)
    values = array.flatten().to_numpy(zero_copy_only=False)  # flatten leaves null lists out
    return values.reshape(-1, array.type.list_size), usable


def rows_of(usable: NDArray[np.bool_]) -> pa.Array:
    """Where each object's result stands among those of the usable ones, (n,): taken by it, results land on their rows, and others get null."""
    index = np.where(usable, np.cumsum(usable) - 1, -1)
    return pa.array(index, pa.int64(), mask=~usable)


def to_arrow(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """An array, masked or not, as Arrow."""
    if isinstance(values, np.ma.MaskedArray):
        return pa.array(values.data, kind, mask=np.ma.getmaskarray(values))
    return pa.array(values, kind)
