"""What is done for each shard of an augmentation: read a shard's requests, let a generator work on them, write the shard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalogs import storage
from catalogs.synthetic_shards import write
from pipeline.engine.slice_tasks import OnSlices, written

if TYPE_CHECKING:
    from catalogs.packed import SliceTable
    from catalogs.slices import Slice
    from pipeline.engine.metrics import RunMetrics


def shard_url(folder: str, number: int) -> str:
    """Where a shard of a synthetic release lies."""
    return storage.join(folder, "catalogs", f"synthetic-{number:04d}.fits")


def requested(requests: pa.Table, piece: Slice) -> pa.Table:
    """The requests of one shard."""
    return requests.slice(piece.start, piece.rows)


class Generate(OnSlices):
    """The generator, on slices."""

    def __init__(self, options: dict[str, Any], metrics: RunMetrics) -> None:
        from actors.generator import StampGenerator  # noqa: PLC0415 - a worker that only writes need not load torch

        super().__init__(StampGenerator(**options), "generate", metrics)


@dataclass(frozen=True)
class WriteShard:
    """Writes a shard's drawn rows into its file, and says so."""

    folder: str
    shape: tuple[int, int, int]
    """Band, y, x of a stamp."""
    constants: dict[str, float | int | str]
    """Columns that are the same in every row, behind `seed`."""
    cards: dict[str, tuple[float | int | str, str]]
    """For every header."""
    about: dict[str, dict[str, str]]
    """Unit and description of columns."""
    metrics: RunMetrics

    def __call__(self, found: SliceTable) -> pa.Table:
        """See `pipeline.engine.slice_tasks.written`."""
        return written(found, self._write, self.metrics)

    def _write(self, piece: Slice, rows: pa.Table) -> dict[str, int]:
        place = rows.column_names.index("seed") + 1
        for name, value in reversed(self.constants.items()):
            rows = rows.add_column(place, name, pa.array([value] * rows.num_rows))
        described = [field.with_metadata(self.about.get(field.name, {})) for field in rows.schema]
        write(shard_url(self.folder, piece.shard), rows.cast(pa.schema(described)), self.shape, self.cards)
        return {}
