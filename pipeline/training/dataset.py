"""Training data: releases given by the usual config, read slice by slice, with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from actors.extents import of_one_size
from actors.stamps import stamps_of
from catalogs.slices import Slice, slices_of
from kernels.bags import hash_ids
from kernels.folds import fold_of as folds_of_ids

if TYPE_CHECKING:
    from catalogs.release import Release
    from kernels.heads.head import Head


SAMPLE = 2048
"""Objects, at least, that scales of brightness and the like rest on, where there are as many."""


@dataclass(frozen=True)
class Dataset:
    """A release to learn from; subclasses define how its stamps are prepared."""

    release: Release
    slice_rows: int
    fold: int | None
    """Objects of this fold are held out."""
    folds: int

    @property
    def stamps_each(self) -> int:
        """Stamps that one object gives, at most."""
        return 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of what is learned from one stamp."""
        raise NotImplementedError

    @property
    def answers(self) -> int:
        """Target values of one object."""
        return 0

    @property
    def heads(self) -> list[Head]:
        """What is learned of labels."""
        return []

    @property
    def metadata(self) -> dict[str, Any]:
        """What else the weights depend on, as plain values; they are recorded in `train.json`."""
        raise NotImplementedError

    def learned(self, rows: pa.Table, stamps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Stamps (n, *shape) float16 prepared from stamps (n, b, y, x), and targets (n, answers) float32."""
        raise NotImplementedError

    def slices(self) -> list[Slice]:
        """All slices of the release."""
        return list(slices_of(self.release.shards, self.slice_rows))

    def usable(self, piece: Slice) -> tuple[pa.Table, torch.Tensor]:
        """Usable objects of a slice that are not held out, and their stamps (n, b, y, x) float32."""
        rows = self.release.read(piece)
        usable = rows["usable"].to_numpy() & self.wanted(rows)
        bands, size = len(self.release.survey.images.bands), self.release.survey.images.size
        rows = of_one_size(rows.filter(pa.array(usable)), bands, size, self.looked_at)
        return rows, torch.tensor(stamps_of(rows["stamp"], bands, size))

    def wanted(self, rows: pa.Table) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which objects are learned from, (n,)."""
        if self.fold is None:
            return np.ones(len(rows), bool)
        return np.asarray(fold_of(rows["object_id"], self.folds) != self.fold)

    def looked_at(self, rows: pa.Table, side: int) -> pa.Table:  # noqa: ARG002 - for subclasses
        """What is done with stamps of a side in their own pixels, before all are brought to the same number of them."""
        return rows

    def sample(self) -> tuple[pa.Table, torch.Tensor]:
        """Usable objects and their stamps, from slices in a hashed order, until there are `SAMPLE`."""
        pieces = self.slices()
        order = np.argsort(hash_ids(np.array([piece.name for piece in pieces]), 0))
        rows, stamps = [], []
        for number in order:
            found, images = self.usable(pieces[number])
            rows.append(found)
            stamps.append(images)
            if sum(map(len, stamps)) >= SAMPLE:
                break
        return pa.concat_tables(rows), torch.cat(stamps)

    def read(self, piece: Slice) -> pa.Table:
        """Training data of a slice: `stamp` (float16, of `shape`) and `targets` (float32)."""
        stamps, targets = self.learned(*self.usable(piece))
        return pa.table(
            {
                "stamp": _lists(stamps.numpy(), int(np.prod(self.shape))),
                "targets": _lists(targets.numpy(), self.answers),
            }
        )


def fold_of(ids: pa.ChunkedArray, folds: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Fold of every object, (n,) int64 below `folds`: a hash of its id, so that it never changes."""
    return folds_of_ids(ids.to_numpy(), folds)


def _lists(values: np.ndarray[Any, Any], length: int) -> pa.Array:
    if not length:
        return pa.array([[]] * len(values), pa.list_(pa.float32()))
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), length)
