"""What the two streaming stages share: which slices have no part yet, and the writing of parts."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from actors.embeddings import embeddings_of
from catalogs import parts
from catalogs.flags import count
from pipeline.engine.engine import Writer
from pipeline.engine.slice_tasks import written
from pipeline.engine.streams import Stream

if TYPE_CHECKING:
    import pyarrow as pa

    from catalogs.packed import SliceTable
    from catalogs.slices import Slice
    from pipeline.engine.metrics import RunMetrics
    from pipeline.plan.plan import Plan


def slices_left(plan: Plan, stage: str, folder: str) -> Stream:
    """What a stage has left to do: the slices that have no part in its folder."""
    done, shards = parts.done(folder), plan.release.shards
    missing = [piece for piece in plan.slices() if piece.name not in done]
    rows, interval = plan.release.rows, plan.config.run.interval
    return Stream(plan.run_id, stage, missing, len(done), rows, interval, lambda number: shards[number].label)


def part_writer(plan: Plan, stream: Stream, folder: str, fingerprint: str | None = None) -> Writer:
    """Writes a part of every slice that was worked on; `fingerprint` is the stage's by default."""
    fingerprint = plan.fingerprints[stream.stage] if fingerprint is None else fingerprint
    return Writer(
        functools.partial(write_part, folder=folder, fingerprint=fingerprint, metrics=stream.metrics)
    )


def write_part(found: SliceTable, *, folder: str, fingerprint: str, metrics: RunMetrics) -> pa.Table:
    """Write one slice's part and say so."""

    def write(piece: Slice, rows: pa.Table) -> dict[str, int]:
        receipt = _receipt(piece, rows, fingerprint)
        parts.write(folder, piece, rows, receipt)
        return receipt.flags

    return written(found, write, metrics)


def _receipt(piece: Slice, rows: pa.Table, fingerprint: str) -> parts.Receipt:
    receipt = parts.Receipt(piece.shard, piece.start, piece.stop, rows.num_rows, 0, fingerprint)
    if "embedding" not in rows.column_names:
        # a vote's and a prediction's second column has a value for every object that has an embedding
        usable = rows.num_rows - rows.column(1).null_count
        return parts.Receipt(**{**vars(receipt), "usable": usable})
    values, usable_mask = embeddings_of(rows["embedding"])
    found = {
        "usable": int(usable_mask.sum()),
        "flags": count(rows["flags"].to_numpy()),
        "largest": float(abs(values).max()) if values.size else 0.0,
    }
    return parts.Receipt(**{**vars(receipt), **found})
