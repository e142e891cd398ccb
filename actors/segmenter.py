"""The segmenter: whose the pixels of stamps are, found once for the measurer and the encoder."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from actors.stamps import has_noise, has_owners, owners_of, stamps_of
from kernels.bags import hash_ids
from kernels.segmentation.fill import fill
from kernels.segmentation.given import given
from kernels.segmentation.no_data import no_data
from kernels.segmentation.noise_map import NoiseMap
from kernels.segmentation.segments import Segments, segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Segmented", "Segmenter"]

_SHARE, _PIXELS = 64, 1 << 22  # stamps that a thread looks at at a time; fewer of so many pixels
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
    noise: NoiseMap | None = None
    """Of (n, b, y, x), where the table has the noise of each pixel."""


class Segmenter:
    """Finds central objects and neighbours in every usable stamp of a table.

    Parameters
    ----------
    bands, size : int
        Bands and side (pixels) of the stamps.
    holes : int
        Bits of the column ``flags`` that say that zeros in a stamp stand for pixels that are no data.
    photons : bool
        Whether a column ``stamp_noise`` holds the objects' own photon noise.
    threads : int
        They change no value.
    """

    def __init__(
        self, *, bands: int, size: int, holes: int = 0, photons: bool = False, threads: int = 1
    ) -> None:
        self._bands, self._size, self._threads = bands, size, threads
        self._holes, self._photons = holes, photons

    def __call__(self, objects: pa.Table) -> Segmented:
        """Segments of a table with ``stamp`` and ``usable``, and ``flags`` and ``stamp_noise`` and ``stamp_owners`` where there are any.

        The noise is one standard deviation of each pixel, zero where a pixel is no data, as lists like the stamps.
        """
        rows = np.flatnonzero(np.asarray(objects.column("usable").fill_null(False), dtype=bool))
        every = stamps_of(objects.column("stamp"), self._bands, self._size)
        stamps = torch.from_numpy(every[rows])
        holes = np.zeros(len(rows), bool)
        if self._holes and "flags" in objects.column_names:
            holes = objects.column("flags").to_numpy()[rows] & self._holes != 0
        noise = None
        if has_noise(objects):
            noise = torch.from_numpy(stamps_of(objects.column("stamp_noise"), self._bands, self._size)[rows])
            bad = ~(stamps.isfinite() & noise.isfinite() & (noise > 0))
        else:
            bad = no_data(stamps, torch.from_numpy(holes))
        owners = None
        if has_owners(objects):
            owners = torch.from_numpy(owners_of(objects.column("stamp_owners"), self._size)[rows])
        share = min(max(_PIXELS // max(stamps[0].numel(), 1), 1), _SHARE) if len(stamps) else _SHARE
        shares = stamps.split(share)
        split = [
            [None] * len(shares) if planes is None else planes.split(share) for planes in (bad, noise, owners)
        ]
        with ThreadPoolExecutor(self._threads) as pool:
            segments = Segments.joined(list(pool.map(_segment, shares, *split)))
        known = None if noise is None else NoiseMap.of(noise, segments, bad, photons=self._photons)
        return Segmented(rows, stamps, bad, segments, known)

    def filled(self, objects: pa.Table, seen: Segmented) -> pa.Table:
        """The table with neighbours filled in its stamps, see `kernels.segmentation.fill`; what is drawn follows from ``object_id``. The stamps that were seen are filled, too."""
        ids = objects.column("object_id").to_numpy()[seen.rows]
        sky, stamps = None if seen.noise is None else seen.noise.sky, seen.stamps.numpy()
        fill(stamps, seen.segments, seen.bad, hash_ids(ids, _SEED), sky, out=stamps)
        column = objects.column("stamp")
        if len(stamps) < len(column):
            every = stamps_of(column, self._bands, self._size).copy()
            every[seen.rows] = stamps
            stamps = every
        lists = pa.FixedSizeListArray.from_arrays(pa.array(stamps.reshape(-1)), column.type.list_size)
        return objects.set_column(objects.column_names.index("stamp"), "stamp", lists)


def _segment(
    stamps: torch.Tensor, bad: torch.Tensor, noise: torch.Tensor | None, owners: torch.Tensor | None
) -> Segments:
    """By the survey's map where there is one."""
    return segment(stamps, bad, noise) if owners is None else given(stamps, bad, owners, noise)
