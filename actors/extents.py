"""Stamps of several sides in one table: worked on side by side, and brought to one number of pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from actors.stamps import planes_in, stamps_of
from kernels.resample import resample

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["of_one_size"]

SIDE, EXTENT = "stamp_side", "stamp_extent"
"""Columns of tables whose stamps have extents."""


def of_one_size(
    objects: pa.Table, bands: int, size: int, work: Callable[[pa.Table, int], pa.Table] | None = None
) -> pa.Table:
    """A table whose stamps are of one size: each shows the square that its object's extent covers.

    Parameters
    ----------
    objects : pa.Table
        With ``stamp``: fixed-size lists of bands * size * size float32; or, where there are ``stamp_side`` and ``stamp_extent``, lists of bands * side * side. ``stamp_noise``, where there is one, is like it; ``stamp_owners`` has one value for all bands.
    bands, size : int
        Bands of the stamps, and the side of those that come out.
    work : callable, optional
        What is done before, with stamps in their own pixels: called with the rows that have one side, in order, their stamps as fixed-size lists, and the
        side, for one side after the other; it returns the same rows and stamps as large, with whatever columns it adds.

    Returns
    -------
    pa.Table, its rows in their order, ``stamp`` its last column where sides differ, and without the others; as it is where stamps have no extents and there is nothing to do.
    """
    if SIDE not in objects.column_names:
        return objects if work is None else work(objects, size)
    sides = objects[SIDE].to_numpy()
    stamps = np.zeros((len(objects), bands, size, size), np.float32)
    planes = {name: objects[name].combine_chunks() for name in planes_in(objects)}
    objects = objects.drop_columns(list(planes))
    rest, order = list[pa.Table](), list["NDArray[np.int64]"]()
    for side in np.unique(sides).tolist() or [size]:
        rows = np.flatnonzero(sides == side)
        part = objects.take(rows)
        for name, pixels in planes.items():
            each = side**2 if name == "stamp_owners" else bands * side**2
            part = part.append_column(name, _some(pixels, rows, each))
        part = part if work is None else work(part, side)
        extents = part[EXTENT].to_numpy()
        stamps[rows] = resample(stamps_of(part["stamp"], bands, side), extents, size)
        rest.append(part.drop_columns(list(planes)))
        order.append(rows)
    back = np.argsort(np.concatenate(order))
    lists = pa.FixedSizeListArray.from_arrays(pa.array(stamps.reshape(-1)), bands * size**2)
    return pa.concat_tables(rest).take(back).append_column("stamp", lists)


def _some(stamps: pa.LargeListArray, rows: NDArray[np.int64], length: int) -> pa.FixedSizeListArray:
    """Some of the stamps, which have so many values each."""
    values, offsets = stamps.values.to_numpy(), stamps.offsets.to_numpy()
    found = np.empty((len(rows), length), values.dtype)
    for row, stamp in zip(rows, found, strict=True):
        stamp[:] = values[offsets[row] : offsets[row + 1]]
    return pa.FixedSizeListArray.from_arrays(pa.array(found.reshape(-1)), length)
