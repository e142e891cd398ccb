"""Embeddings as Arrow and as NumPy: fixed-size lists of float16 on the one side, a matrix on the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
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
