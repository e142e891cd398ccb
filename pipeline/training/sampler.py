"""How a training process gets its stamps: a window of slices at a time, in an order that the seed alone decides."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from catalogs.errors import TuningforkError
from catalogs.slices import Slice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from kernels.heads.head import Head
    from pipeline.training.dataset import Dataset
    from pipeline.training.group import Group


class UnreadableSlice(TuningforkError):
    """A slice that training needs cannot be read."""


@dataclass(frozen=True)
class Datasets:
    """All releases of a training, their shards numbered on."""

    each: tuple[Dataset, ...]

    @property
    def heads(self) -> list[Head]:
        """Questions of all releases."""
        return [head for dataset in self.each for head in dataset.heads]

    @property
    def rows(self) -> int:
        """Catalog rows of all releases."""
        return sum(dataset.release.rows for dataset in self.each)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of what is learned from one stamp."""
        return self.each[0].shape

    @property
    def bytes_each(self) -> int:
        """Bytes of the prepared stamps of one object, at most."""
        return 2 * int(np.prod(self.shape)) * max(dataset.stamps_each for dataset in self.each)

    def slices(self) -> list[Slice]:
        """All slices of all releases."""
        return [
            Slice(first + piece.shard, piece.start, piece.stop)
            for first, dataset in zip(self._first_shards(), self.each, strict=True)
            for piece in dataset.slices()
        ]

    def read(self, piece: Slice) -> pa.Table:
        """Stamps and the release's own targets."""
        number = self._dataset_of(piece)
        own = Slice(piece.shard - self._first_shards()[number], piece.start, piece.stop)
        return self.each[number].read(own)

    def targets(self, piece: Slice, rows: pa.Table) -> torch.Tensor:
        """Targets (n, answers of all releases) of a slice that was read: those of other releases are NaN."""
        widths = [dataset.answers for dataset in self.each]
        number = self._dataset_of(piece)
        own = _tensor(rows["targets"], (rows.num_rows, widths[number]))
        whole = torch.full((rows.num_rows, sum(widths)), torch.nan)
        whole[:, sum(widths[:number]) : sum(widths[: number + 1])] = own
        return whole

    def _first_shards(self) -> list[int]:
        counts = [len(dataset.release.shards) for dataset in self.each]
        return [sum(counts[:i]) for i in range(len(counts))]

    def _dataset_of(self, piece: Slice) -> int:
        return int(np.searchsorted(self._first_shards(), piece.shard, side="right")) - 1


class WindowSampler:
    """The stamps of one process of a group; no other process sees them.

    Parameters
    ----------
    datasets : Datasets
    group : Group
        Which process of how many, and how it reads slices.
    memory : int
        Bytes of prepared stamps that a window may hold; the next one is read ahead. What fits in one window is read once.
    seed : int
    teacher : callable, optional
        What it says of stamps is added to their targets.
    """

    def __init__(
        self,
        datasets: Datasets,
        group: Group,
        memory: int,
        seed: int,
        teacher: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self._datasets, self._seed, self._rank, self._teacher = datasets, seed, group.rank, teacher
        self._read_slices = group.read
        pieces = datasets.slices()
        order = np.random.default_rng(seed).permutation(len(pieces))
        shares = [[pieces[i] for i in order[rank :: group.world]] for rank in range(group.world)]
        self._own = shares[group.rank]
        self._stamp_bytes = datasets.bytes_each
        # as many windows in every process, for they learn in step
        largest = max(sum(piece.rows for piece in share) for share in shares)
        self.count = min(-(-largest * self._stamp_bytes // memory), *map(len, shares))
        self._cached: tuple[torch.Tensor, torch.Tensor] | None = None

    def epoch(self, number: int, skip: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """WindowSampler of an epoch from number `skip` on.

        Each is stamps (n, channels, y, x) float16, targets (n, answers), and the order (n,) to take them in.
        """
        rng = np.random.default_rng([self._seed, number, self._rank])
        pieces = [self._own[i] for i in rng.permutation(len(self._own))]
        for window, (stamps, targets) in enumerate(self._in_turn(pieces, skip), start=skip):
            order = np.random.default_rng([self._seed, number, self._rank, window]).permutation(len(stamps))
            yield stamps, targets, torch.from_numpy(order)

    def _in_turn(self, pieces: Sequence[Slice], skip: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        if self.count == 1:  # in one order, whatever the epoch
            self._cached = self._cached or self._read(self._own)
            yield self._cached
            return
        with ThreadPoolExecutor(1) as reader:  # the next window is read while this one is learned
            ahead = reader.submit(self._read, pieces[skip :: self.count])
            for window in range(skip, self.count):
                found = ahead.result()
                if window + 1 < self.count:
                    ahead = reader.submit(self._read, pieces[window + 1 :: self.count])
                yield found

    def _read(self, pieces: Sequence[Slice]) -> tuple[torch.Tensor, torch.Tensor]:
        size = max(piece.rows for piece in pieces) * self._stamp_bytes
        stamps, targets = [], []
        for found in self._read_slices(self._datasets.read, pieces, size):
            piece, rows = found.piece, found.rows
            if rows is None:
                raise UnreadableSlice(f"{piece.name}: {found.fault}")
            stamps.append(_tensor(rows["stamp"], (rows.num_rows, *self._datasets.shape)))
            targets.append(self._datasets.targets(piece, rows))
        seen, answers = torch.cat(stamps), torch.cat(targets)
        if self._teacher is not None:
            answers = torch.cat([answers, self._teacher(seen)], dim=1)
        return seen, answers


def _tensor(column: pa.ChunkedArray, shape: tuple[int, ...]) -> torch.Tensor:
    values: Any = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return torch.tensor(values).reshape(shape)
