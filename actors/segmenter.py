"""The segmenter: whose the pixels of stamps are, found once for the measurer and the encoder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from actors.stamps import stamps_of
from kernels.bags import hash_ids
from kernels.segmentation.fill import fill
from kernels.segmentation.no_data import no_data
from kernels.segmentation.segments import Segments, segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Segmented", "Segmenter"]

_SHARE = 64  # stamps that a thread looks at at a time
_SEED = 0x736B79  # "sky" in ASCII: a stream of its own


@dataclass(frozen=True)
class Segmented:
    """Usable stamps of a table, and whose their pixels are."""

    rows: NDArray[np.int64]
    """(n,) rows of the table."""
    stamps: torch.Tensor
    """(n, b, y, x) float32."""
    bad: torch.Tensor
    """(n, b, y, x) bool: pixels that are no data."""
    segments: Segments


class Segmenter:
    """Finds central objects and neighbours in every usable stamp of a table.

    Parameters
    ----------
    bands, size : int
        Bands and side (pixels) of the stamps.
    holes : int
        Bits of the column ``flags`` that say that zeros in a stamp stand for pixels that are no data.
    threads : int
        They change no value.
    """

    def __init__(self, *, bands: int, size: int, holes: int = 0, threads: int = 1) -> None:
        self._bands, self._size, self._holes, self._threads = bands, size, holes, threads

    def __call__(self, objects: pa.Table) -> Segmented:
        """Segments of a table with ``stamp`` and ``usable``, and ``flags`` where there are any."""
        rows = np.flatnonzero(np.asarray(objects.column("usable").fill_null(False), dtype=bool))
        every = stamps_of(objects.column("stamp"), self._bands, self._size)
        stamps = torch.from_numpy(every[rows])
        holes = np.zeros(len(rows), bool)
        if self._holes and "flags" in objects.column_names:
            holes = objects.column("flags").to_numpy()[rows] & self._holes != 0
        bad = no_data(stamps, torch.from_numpy(holes))
        with ThreadPoolExecutor(self._threads) as pool:
            parts = list(pool.map(segment, stamps.split(_SHARE), bad.split(_SHARE)))
        return Segmented(rows, stamps, bad, Segments.joined(parts))

    def filled_stamps(self, objects: pa.Table, seen: Segmented) -> NDArray[np.float32]:
        """Stamps (n, b, y, x) of the usable rows with neighbours filled, see `kernels.segmentation.fill`; what is drawn follows from ``object_id``."""
        ids = objects.column("object_id").to_numpy()[seen.rows]
        return fill(seen.stamps.numpy(), seen.segments, seen.bad, hash_ids(ids, _SEED))

    def filled(self, objects: pa.Table, seen: Segmented) -> pa.Table:
        """The table with neighbours filled in its stamps."""
        column, stamps = objects.column("stamp"), self.filled_stamps(objects, seen)
        if len(stamps) < len(column):
            every = stamps_of(column, self._bands, self._size).copy()
            every[seen.rows] = stamps
            stamps = every
        lists = pa.FixedSizeListArray.from_arrays(pa.array(stamps.reshape(-1)), column.type.list_size)
        return objects.set_column(objects.column_names.index("stamp"), "stamp", lists)
