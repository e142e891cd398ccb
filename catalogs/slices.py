"""Shards and slices: a slice, a run of rows of one shard, is the unit of work, of commit and of retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from catalogs.shard_table import ShardTable


@dataclass(frozen=True, slots=True)
class Shard:
    """One catalog file of a release."""

    number: int
    """Position among the release's shards, sorted by path."""
    label: str
    """Path below the folder that all shards share: what the column `shard` holds."""
    table: ShardTable


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows `start` to `stop` (0-based, exclusive) of one shard."""

    shard: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The name that its parts carry: it depends on the slice alone, never on who works on it or when."""
        return f"part-{self.shard:06d}-{self.start:012d}"

    @property
    def rows(self) -> int:
        """Number of rows, before `where`."""
        return self.stop - self.start


def slices_of(shards: Sequence[Shard], slice_rows: int) -> Iterator[Slice]:
    """All slices of a release, in order."""
    for shard in shards:
        for start in range(0, shard.table.rows, slice_rows):
            yield Slice(shard.number, start, min(start + slice_rows, shard.table.rows))


def count_slices(shards: Sequence[Shard], slice_rows: int) -> int:
    """How many slices a release has."""
    return sum(-(-shard.table.rows // slice_rows) for shard in shards)
