"""Asking an index: the nearest points by compressed lists, then the similarity of the best of them from the published codes themselves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import faiss
import numpy as np

from catalogs import storage
from catalogs.errors import CorruptFile
from kernels.similarity import direction, similarity
from pipeline.rundir import arrays
from pipeline.similar.build import axes_of
from pipeline.similar.layout import EXPLAINED, USABLE

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from pipeline.rundir.run_directory import RunDirectory
    from pipeline.similar.layout import Layout, Shard

__all__ = ["PROBES", "Hit", "Index"]

PROBES = 64
"""Cells that are looked into: recall at 50 is above 0.95 then (docs/similar.md)."""
DEPTH, LEAST_DEPTH = 10, 500
"""Candidates for each answer, and at least, whose similarity is computed from their codes."""


@dataclass(frozen=True)
class Hit:
    """An object that was found."""

    shard: int
    row: int
    similarity: float
    """Cosine with what was wanted, as seen from the mean code of the release; 1 is the same direction."""

    @property
    def place(self) -> tuple[int, int]:
        """Shard and row."""
        return self.shard, self.row


class Index:
    """An index that is finished, mapped into memory: of a large one only what a question touches is read.

    Parameters
    ----------
    layout : Layout
    run : RunDirectory
    """

    def __init__(self, layout: Layout, run: RunDirectory) -> None:
        self._layout, self._run = layout, run
        self._shards: dict[int, _Opened] = {}

    @cached_property
    def _mean(self) -> NDArray[np.float64]:
        return np.asarray(arrays.load(self._run.components)["mean"], np.float64)

    def code(self, shard: int, row: int) -> NDArray[np.float16] | None:
        """The published embedding (d,) of an object; None where it has none."""
        opened = self._open(self._layout.shards[shard])
        return opened.codes[row] if opened.marks[row] & USABLE else None

    def search(
        self,
        examples: NDArray[np.floating],
        count: int,
        without: Collection[tuple[int, int]] = (),
        *,
        explained: bool = False,
    ) -> list[Hit]:
        """The objects most like some examples.

        Parameters
        ----------
        examples : (n, d) codes
            Their mean direction is what is wanted.
        count : int
        without : collection of (shard, row)
            Objects that are not answers: the examples themselves.
        explained : bool
            Whether objects that flags explain may be answers (`catalogs.explained`).

        Returns
        -------
        list of Hit
            By falling similarity, then by place. Similarities are exact; that nobody is missing is likely.
        """
        wanted = direction(examples, self._mean)
        point = axes_of(self._run).point(wanted)
        depth = max(DEPTH * count, LEAST_DEPTH) + len(without)
        found = [self._nearest(shard, point, depth, explained=explained) for shard in self._layout.shards]
        gaps, shards, rows = (np.concatenate(each) for each in zip(*found, strict=True))
        best = np.lexsort((rows, shards, gaps))[:depth]
        hits = []
        for shard in np.unique(shards[best]).tolist():
            own = np.sort(rows[best][shards[best] == shard])  # in the file's order
            codes = self._open(self._layout.shards[shard]).codes[own]
            hits += [
                Hit(shard, row, alike)
                for row, alike in zip(
                    own.tolist(), similarity(codes, wanted, self._mean).tolist(), strict=True
                )
            ]
        left = set(without)
        hits = [hit for hit in hits if hit.place not in left]
        return sorted(hits, key=lambda hit: (-hit.similarity, hit.place))[:count]

    def _nearest(
        self, shard: Shard, point: NDArray[np.float32], depth: int, *, explained: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Squared distances of a shard's nearest points, its number, and their rows."""
        opened = self._open(shard)
        chosen = opened.usable if explained else opened.unexplained
        # the bits are kept by us: the selector only points at them
        selector = faiss.IDSelectorBitmap(chosen)
        options = faiss.SearchParametersIVF(sel=selector, nprobe=min(PROBES, opened.lists.nlist))
        gaps, rows = opened.lists.search(point, min(depth, shard.rows), params=options)
        there = rows[0] >= 0
        return gaps[0][there], np.full(there.sum(), shard.number), rows[0][there]

    def _open(self, shard: Shard) -> _Opened:
        if shard.number not in self._shards:
            self._shards[shard.number] = _Opened.of(self._layout, shard)
        return self._shards[shard.number]


@dataclass(frozen=True, eq=False)
class _Opened:
    """The files of a shard."""

    lists: faiss.IndexIVF
    codes: NDArray[np.float16]
    """(rows, d), on the disk."""
    marks: NDArray[np.uint8]
    """(rows,), on the disk."""

    @classmethod
    def of(cls, layout: Layout, shard: Shard) -> _Opened:
        path = {kind: storage.local_path(layout.file(shard, kind)) for kind in ("faiss", "codes", "marks")}
        try:
            lists = faiss.read_index(str(path["faiss"]), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
            codes = np.memmap(path["codes"], np.float16, "r", shape=(shard.rows, layout.features))
            marks = np.memmap(path["marks"], np.uint8, "r", shape=(shard.rows,))
        except (OSError, RuntimeError, ValueError) as error:
            told = str(error).splitlines()[-1]
            raise CorruptFile(
                f"{layout.folder}: is a damaged index ({told}). Delete the folder and ask again."
            ) from error
        lists.parallel_mode = 1  # one question uses all cores
        return cls(lists, codes, marks)

    @cached_property
    def usable(self) -> NDArray[np.uint8]:
        """Bit for each object, in bytes."""
        return np.packbits(self.marks & USABLE != 0, bitorder="little")

    @cached_property
    def unexplained(self) -> NDArray[np.uint8]:
        """The same for those that no flag explains."""
        return np.packbits(self.marks & (USABLE | EXPLAINED) == USABLE, bitorder="little")
