"""The last barrier: parts become the published catalog, and rows in must equal rows out."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalogs import hats_catalog, parts, storage, views
from catalogs.errors import CatalogMismatch
from catalogs.flags import Flag
from catalogs.hats_catalog import INDEX, INDEX_FIELD, Partition
from pipeline.stages.barrier import barrier, read_receipts
from pipeline.stages.catalog_rows import joined
from pipeline.stages.predict import prediction_folders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.engine.engine import Engine
    from pipeline.plan.plan import Plan

PARTS_EACH = 64
"""Parts that one task looks through for positions."""


def publish(plan: Plan, engine: Engine) -> None:
    """Write the catalog, the embeddings and the DuckDB views; refuse to if a row is lost or doubled."""
    run = plan.run
    if storage.exists(run.published):
        return
    with barrier(plan, "publish"):
        for output in run.outputs("publish"):
            storage.remove(output)
        expected = _expected_rows(plan, engine)
        placed = plan.release.survey.ra is not None
        written = _publish_placed(plan, engine) if placed else _publish_plain(plan, engine)
        if written != expected:
            lines = [
                f"  {shard}: {expected[shard]} rows in, {written[shard]} rows out"
                for shard in sorted(expected.keys() | written.keys())
                if expected[shard] != written[shard]
            ]
            raise CatalogMismatch("\n".join(["rows in and rows out differ; nothing was published:", *lines]))
        views.write_database(run.url)
        summary = {"objects": sum(written.values()), "placed": placed}
        storage.write(run.published, json.dumps(summary, sort_keys=True).encode())


def _expected_rows(plan: Plan, engine: Engine) -> Counter[str]:
    """Objects of each shard; every row of every shard must be answered for by exactly one receipt."""
    expected: Counter[str] = Counter()
    answered: Counter[int] = Counter()
    for receipt in read_receipts(plan, engine):
        expected[plan.release.shards[receipt.shard].label] += receipt.objects
        answered[receipt.shard] += receipt.stop - receipt.start
    for shard in plan.release.shards:
        if answered[shard.number] != shard.table.rows:
            rows = f"{answered[shard.number]} of {shard.table.rows} rows"
            raise CatalogMismatch(f"{shard.label}: {rows} are answered for; nothing was published.")
    return +expected


def _publish_placed(plan: Plan, engine: Engine) -> Counter[str]:
    run, settings, folders = plan.run, plan.config.publish, prediction_folders(plan)
    names = [piece.name for piece in plan.slices()]
    chunks = [(run.objects, names[i : i + PARTS_EACH]) for i in range(0, len(names), PARTS_EACH)]
    counts: Counter[int] = Counter()
    parts_of_pixel: dict[int, set[str]] = {}
    astray: list[str] = []
    for found in engine.map(_positions, chunks):
        for name, pixels, numbers, lost in found:
            counts.update(dict(zip(pixels.tolist(), numbers.tolist(), strict=True)))
            for pixel in pixels.tolist():
                parts_of_pixel.setdefault(pixel, set()).add(name)
            if lost:
                astray.append(name)
    partitions = hats_catalog.partitions(counts, settings.rows_per_partition) if counts else {}
    tasks = [
        (run.url, sorted(set().union(*(parts_of_pixel[pixel] for pixel in pixels))), partition)
        for partition, pixels in partitions.items()
    ]
    written: Counter[str] = sum(engine.map(_write_partition, tasks, folders, settings.embeddings), Counter())
    rows = sum(written.values())
    for catalog, suffix in ((run.catalog, ""), (run.embeddings, "_embeddings")):
        if partitions and (not suffix or settings.embeddings):
            hats_catalog.finish(catalog, plan.config.survey.name + suffix, list(partitions), rows)
    if astray:
        unplaced = joined(run.url, sorted(astray), folders, with_embeddings=False)
        unplaced = unplaced.filter(pc.not_equal(_astray(unplaced), 0))
        hats_catalog.write_sorted(run.unplaced, unplaced, ["object_id"])
        written.update(unplaced["shard"].to_pylist())
    return written


def _publish_plain(plan: Plan, engine: Engine) -> Counter[str]:
    """Without positions: Parquet files in the order of the shards."""
    run, settings, folders = plan.run, plan.config.publish, prediction_folders(plan)
    step = max(1, settings.rows_per_partition // plan.config.run.slice_rows)
    names = [piece.name for piece in plan.slices()]
    tasks = [(run.url, names[i : i + step], i // step) for i in range(0, len(names), step)]
    return sum(engine.map(_write_plain, tasks, folders, settings.embeddings), Counter())


def _positions(folder: str, names: Sequence[str]) -> list[tuple[str, Any, Any, int]]:
    found = []
    for name in names:
        part = parts.read(folder, name, ["ra", "dec", "flags"])
        lost = _astray(part).to_numpy().astype(bool)
        index = hats_catalog.spatial_index(part["ra"].to_numpy()[~lost], part["dec"].to_numpy()[~lost])
        pixels, counts = np.unique(index >> 2 * (29 - hats_catalog.ORDER), return_counts=True)
        found.append((name, pixels, counts, int(lost.sum())))
    return found


def _write_partition(
    url: str, names: Sequence[str], partition: Partition, folders: Sequence[str], embeddings: bool
) -> Counter[str]:

    def held(rows: pa.Table) -> pa.Table:
        rows = rows.filter(pc.equal(_astray(rows), 0))
        index = hats_catalog.spatial_index(rows["ra"].to_numpy(), rows["dec"].to_numpy())
        return rows.add_column(0, INDEX_FIELD, pa.array(index)).filter(pa.array(partition.holds(index)))

    rows = joined(url, names, folders, with_embeddings=embeddings, keep=held)
    if embeddings:
        columns = [INDEX, "object_id", "ra", "dec", "embedding"]
        hats_catalog.write_partition(storage.join(url, "embeddings"), partition, rows.select(columns))
        rows = rows.drop_columns("embedding")
    hats_catalog.write_partition(storage.join(url, "catalog"), partition, rows)
    return Counter(rows["shard"].to_pylist())


def _write_plain(
    url: str, names: Sequence[str], number: int, folders: Sequence[str], embeddings: bool
) -> Counter[str]:
    rows = joined(url, names, folders, with_embeddings=embeddings)
    file = f"part-{number:06d}.parquet"
    keys = ["shard", "row"]
    if embeddings:
        columns = rows.select(["object_id", *keys, "embedding"])
        hats_catalog.write_sorted(storage.join(url, "embeddings", file), columns, keys)
        rows = rows.drop_columns("embedding")
    hats_catalog.write_sorted(storage.join(url, "catalog", file), rows, keys)
    return Counter(rows["shard"].to_pylist())


def _astray(rows: pa.Table) -> pa.ChunkedArray:
    return pc.bit_wise_and(rows["flags"], pa.scalar(int(Flag.BAD_POSITION), pa.int32()))
