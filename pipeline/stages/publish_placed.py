"""Objects with positions become a HATS collection: the catalog, its margin cache, and the embeddings as its extension."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalogs import hats_catalog, hats_margin, hats_metadata, hats_readme, parts, storage
from catalogs.flags import Flag
from catalogs.hats_catalog import INDEX, INDEX_FIELD, Partition
from catalogs.hats_margin import Border, Cover
from pipeline.rundir.run_directory import RunDirectory
from pipeline.stages.catalog_rows import joined
from pipeline.stages.predict import prediction_folders

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.engine.engine import Engine
    from pipeline.plan.plan import Plan

__all__ = ["Placed", "publish_placed"]

PARTS_EACH = 64
"""Parts that one task looks through for positions."""


@dataclass(frozen=True)
class Placed:
    """What was written."""

    written: Counter[str]
    """Objects of each shard."""
    partitions: dict[Partition, set[int]]
    """Of the catalog, and the pixels of order `hats_catalog.ORDER` with objects in each."""
    margin: int
    """Rows of the margin cache."""


def publish_placed(plan: Plan, engine: Engine) -> Placed:
    """Write the collection, and what has no place in it."""
    run, settings, folders = plan.run, plan.config.publish, prediction_folders(plan)
    counts, parts_of_pixel, astray = _look(plan, engine)
    partitions = hats_catalog.partitions(counts, settings.rows_per_partition) if counts else {}
    cover = Cover.of(partitions, settings.margin) if partitions and settings.margin else None
    tasks = [
        (run.url, sorted(set().union(*(parts_of_pixel[pixel] for pixel in pixels))), partition)
        for partition, pixels in partitions.items()
    ]
    written: Counter[str] = Counter()
    borders: list[Border] = []
    for shards, set_aside in engine.map(_write_partition, tasks, folders, settings.embeddings, cover):
        written.update(shards)
        borders += set_aside
    rows = sum(written.values())
    margin = 0 if cover is None else _write_margin(plan, engine, list(partitions), borders)
    if partitions:
        _finish(plan, list(partitions), rows, counts)
    if astray:
        unplaced = joined(run.url, sorted(astray), folders, with_embeddings=False)
        unplaced = unplaced.filter(pc.not_equal(_astray(unplaced), 0))
        hats_catalog.write_sorted(run.unplaced, unplaced, ["object_id"])
        written.update(unplaced["shard"].to_pylist())
    return Placed(written, partitions, margin)


def _look(plan: Plan, engine: Engine) -> tuple[Counter[int], dict[int, set[str]], list[str]]:
    """Objects in each pixel of order `hats_catalog.ORDER`, the parts that they are in, and the parts with objects that have no position."""
    names = [piece.name for piece in plan.slices()]
    chunks = [(plan.run.objects, names[i : i + PARTS_EACH]) for i in range(0, len(names), PARTS_EACH)]
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
    return counts, parts_of_pixel, astray


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
    url: str,
    names: Sequence[str],
    partition: Partition,
    folders: Sequence[str],
    embeddings: bool,
    cover: Cover | None,
) -> tuple[Counter[str], list[Border]]:
    """Write a partition, and set aside what belongs to margins of others: objects of each shard, and those rows."""
    run = RunDirectory(url)

    def held(rows: pa.Table) -> tuple[pa.Table, pa.Array]:
        placed = pc.equal(_astray(rows), 0).to_numpy()
        index = np.full(len(placed), -1)
        columns = [rows[name].to_numpy()[placed] for name in ("ra", "dec")]
        index[placed] = hats_catalog.spatial_index(*columns)
        return rows.add_column(0, INDEX_FIELD, pa.array(index)), pa.array(partition.holds(index))

    rows = joined(url, names, folders, with_embeddings=embeddings, keep=held)
    if embeddings:
        columns = [INDEX, "object_id", "ra", "dec", "embedding"]
        hats_catalog.write_partition(run.embeddings, partition, rows.select(columns))
        rows = rows.drop_columns("embedding")
    hats_catalog.write_partition(run.catalog, partition, rows)
    file = storage.join(run.borders, f"{partition.order}-{partition.pixel}.parquet")
    borders = [] if cover is None else hats_margin.set_aside(file, cover, rows)
    return Counter(rows["shard"].to_pylist()), borders


def _write_margin(plan: Plan, engine: Engine, partitions: list[Partition], borders: Iterable[Border]) -> int:
    """Bring the rows that were set aside to their margins, and say how many they are."""
    run, settings = plan.run, plan.config.publish
    of_target: dict[Partition, list[Border]] = {}
    for border in borders:
        of_target.setdefault(border.target, []).append(border)
    targets = sorted(of_target, key=lambda each: each.first)
    rows = sum(engine.map(_write_margin_of, [(run.margin, target, of_target[target]) for target in targets]))
    storage.remove(run.borders)
    with storage.reading(hats_catalog.partition_file(run.catalog, partitions[0]), None) as stream:
        schema = pq.read_schema(stream)
    hats_metadata.finish_margin(
        run.margin,
        f"{plan.config.survey.name}_{settings.margin:g}arcs",
        targets,
        rows,
        primary="catalog",
        arcsec=settings.margin,
        schema=schema,
    )
    return rows


def _write_margin_of(folder: str, target: Partition, pieces: Sequence[Border]) -> int:
    return hats_catalog.write_partition(folder, target, hats_margin.collect(pieces))


def _finish(plan: Plan, partitions: list[Partition], rows: int, counts: Counter[int]) -> None:
    """What makes a collection of the partitions."""
    run, settings, name = plan.run, plan.config.publish, plan.config.survey.name
    about = f"Galaxy morphology of {name}"
    hats_metadata.finish(run.catalog, name, partitions, rows, counts, about)
    extensions = {}
    if settings.embeddings:
        hats_metadata.finish(run.embeddings, f"{name}_embeddings", partitions, rows, counts)
        own = hats_metadata.Extends(name, "object_id")
        hats_metadata.write_extension(run.url, "embeddings", own, ["embedding"])
        extensions = {"embeddings": "embeddings.properties"}
    margins = ["margin"] if settings.margin else []
    hats_metadata.write_collection(run.url, name, "catalog", margins, extensions)
    hats_readme.write(run.url, about, margin=settings.margin, extensions=list(extensions))


def _astray(rows: pa.Table) -> pa.ChunkedArray:
    return pc.bit_wise_and(rows["flags"], pa.scalar(int(Flag.BAD_POSITION), pa.int32()))
