"""The processes that train together: this one alone, or a group that Ray Train starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa
    import torch

    from catalogs.packed import SliceTable
    from catalogs.slices import Slice

    ReadSlices = Callable[[Callable[[Slice], pa.Table], Sequence[Slice], int], Iterator[SliceTable]]
    """From a function that reads a slice, slices, and the bytes of the largest, to what was read, in the same order."""

__all__ = ["Group"]


@dataclass(frozen=True)
class Group:
    """Which process this is, of how many, and what it has to work with."""

    rank: int
    world: int
    device: torch.device
    read: ReadSlices
    report: Callable[[dict[str, float]], None]
    """Called by all processes after each window, with a line of the history."""
