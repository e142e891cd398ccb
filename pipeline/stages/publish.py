"""The last barrier: parts become the published catalog, and rows in must equal rows out."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from catalogs import hats_catalog, storage, views
from catalogs.errors import CatalogMismatch
from pipeline.stages.barrier import barrier, read_receipts
from pipeline.stages.catalog_rows import joined
from pipeline.stages.extension import extend
from pipeline.stages.predict import prediction_folders
from pipeline.stages.publish_placed import publish_placed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.engine.engine import Engine
    from pipeline.plan.plan import Plan


def publish(plan: Plan, engine: Engine) -> None:
    """Write the catalog, the embeddings and the DuckDB views; refuse to if a row is lost or doubled."""
    run = plan.run
    if storage.exists(run.published):
        return
    with barrier(plan, "publish"):
        for output in run.outputs("publish"):
            storage.remove(output)
        expected = _expected_rows(plan, engine)
        summary: dict[str, Any] = {"placed": plan.release.survey.ra is not None}
        if summary["placed"]:
            placed = publish_placed(plan, engine)
            written = placed.written
            if plan.config.publish.margin:
                summary["margin"] = placed.margin
        else:
            written = _publish_plain(plan, engine)
        if written != expected:
            lines = [
                f"  {shard}: {expected[shard]} rows in, {written[shard]} rows out"
                for shard in sorted(expected.keys() | written.keys())
                if expected[shard] != written[shard]
            ]
            raise CatalogMismatch("\n".join(["rows in and rows out differ; nothing was published:", *lines]))
        if plan.primary is not None:
            summary["extension"] = extend(plan, engine, placed.partitions)
        views.write_database(run.url)
        summary["objects"] = sum(written.values())
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


def _publish_plain(plan: Plan, engine: Engine) -> Counter[str]:
    """Without positions: Parquet files in the order of the shards."""
    run, settings, folders = plan.run, plan.config.publish, prediction_folders(plan)
    step = max(1, settings.rows_per_partition // plan.config.run.slice_rows)
    names = [piece.name for piece in plan.slices()]
    tasks = [(run.url, names[i : i + step], i // step) for i in range(0, len(names), step)]
    return sum(engine.map(_write_plain, tasks, folders, settings.embeddings), Counter())


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
