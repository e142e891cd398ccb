"""What was found, as an extension of another HATS catalog (`[publish] extends`): our columns where that one has its rows.

An object is looked for by its id among the other catalog's objects near it: in the pixels of order 10 around its own, 3.4 arcmin
each. Every partition of the other one takes what it finds; what none of them finds is listed, and stays in our catalog.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import cdshealpix
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalogs import hats_catalog, hats_metadata, hats_primary, storage
from catalogs.errors import BadRequest
from catalogs.hats_catalog import INDEX, Partition
from pipeline.rundir.run_directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from catalogs._types import Bools, Integers
    from catalogs.hats_primary import Primary
    from pipeline.engine.engine import Engine
    from pipeline.plan.plan import Plan

NAMES = {"morphology": "catalog", "embeddings": "embeddings"}
"""Extensions, and the catalogs of the run whose rows they have."""
LISTED = ["object_id", "ra", "dec", "shard", "row"]
"""Columns of the list of objects that the other catalog lacks."""


def extend(plan: Plan, engine: Engine, partitions: Mapping[Partition, set[int]]) -> dict[str, int]:
    """Write the extension of the catalog that is complete; counts its rows, and the objects that the other catalog lacks.

    Raises
    ------
    BadRequest
        If the other catalog has one of our ids twice, or none of them.
    """
    run, primary = plan.run, plan.primary
    assert primary is not None
    ours = list(partitions)
    tasks = [
        (run.url, primary.partitions[number], [ours[i] for i in near])
        for number, near in _near(primary, list(partitions.values())).items()
    ]
    names = [name for name in NAMES if name == "morphology" or plan.config.publish.embeddings]
    once: dict[Partition, Bools] = {}
    rows, counts, found = 0, Counter[int](), list[Partition]()
    for target, pixels, numbers, taken in engine.map(_write_partition, tasks, primary, names):
        for partition, mask in taken.items():
            before = once.setdefault(partition, np.zeros(mask.size, bool))
            if (before & mask).any():
                _refuse_twice(plan, partition, before & mask)
            before |= mask
        if pixels.size:
            found.append(target)
            rows += int(numbers.sum())
            counts.update(dict(zip(pixels.tolist(), numbers.tolist(), strict=True)))
    if not rows:
        raise BadRequest(
            f"{primary.url}: none of this release's ids is in its column {primary.id!r} near their positions; nothing was published. "
            "Correct [publish] extends and extends_id, or take them out, and run again: only publishing is done anew."
        )
    _finish(plan, names, found, rows, counts)
    lists = [(run.url, partition, number, once.get(partition)) for number, partition in enumerate(ours)]
    absent = sum(engine.map(_write_absent, lists)) + _unplaced(run)
    return {"rows": rows, "absent": absent}


def _near(primary: Primary, pixels: Sequence[set[int]]) -> dict[int, list[int]]:
    """Numbers of the primary's partitions that may have our objects, each with the numbers of our partitions that these are in."""
    near: dict[int, list[int]] = {}
    for number, held in enumerate(pixels):
        own = np.fromiter(held, np.uint64, len(held))
        around = np.unique(cdshealpix.neighbours(own, hats_catalog.ORDER, num_threads=1).astype(np.int64))
        for partition in hats_primary.near_partitions(primary, around[around >= 0]):
            near.setdefault(partition, []).append(number)
    return dict(sorted(near.items()))


def _write_partition(
    url: str, target: Partition, near: Sequence[Partition], primary: Primary, names: Sequence[str]
) -> tuple[Partition, Integers, Integers, dict[Partition, Bools]]:
    """Write our rows of the objects in one of the primary's partitions.

    Returns
    -------
    target : Partition
    pixels, numbers : array
        Pixels of order `hats_catalog.ORDER` with such objects, and how many; (n,) int64.
    taken : dict
        Which rows of our partitions they are.
    """
    run, places, taken = RunDirectory(url), None, dict[Partition, Any]()
    tables: dict[str, list[pa.Table]] = {name: [] for name in names}
    for partition in near:
        ids = _read(run.catalog, partition, ["object_id"])["object_id"]
        if places is None:
            places = hats_primary.read_places(primary, target, ids.type)
        places_of = pc.index_in(ids, value_set=places["id"].combine_chunks())
        mask = pc.is_valid(places_of)
        taken[partition] = mask.to_numpy().astype(bool)
        if not taken[partition].any():
            del taken[partition]
            continue
        there = places.take(places_of.filter(mask))
        _refuse_doubles(primary, places, ids.filter(mask))
        for name in names:
            rows = _read(storage.join(url, NAMES[name]), partition).filter(mask)
            tables[name].append(_moved(rows, there))
    if not taken:
        nothing = np.zeros(0, np.int64)
        return target, nothing, nothing, {}
    for name, found in tables.items():
        folder = storage.join(run.extension, name)
        hats_catalog.write_partition(folder, target, pa.concat_tables(found))
    index = np.concatenate([found[INDEX].to_numpy() for found in tables["morphology"]])
    pixels, numbers = np.unique(index >> 2 * (29 - hats_catalog.ORDER), return_counts=True)
    return target, pixels, numbers, taken


def _read(folder: str, partition: Partition, columns: list[str] | None = None) -> pa.Table:
    with storage.reading(hats_catalog.partition_file(folder, partition), None) as stream:
        return pq.read_table(stream, columns=columns)


def _moved(rows: pa.Table, places: pa.Table) -> pa.Table:
    """Our rows with the primary's positions in place of ours, and ids of its type."""
    for name in (INDEX, "object_id", "ra", "dec"):
        number, column = rows.column_names.index(name), places[name]
        rows = rows.set_column(number, rows.schema.field(name).with_type(column.type), column)
    return rows


def _refuse_doubles(primary: Primary, places: pa.Table, ids: pa.ChunkedArray) -> None:
    """Ids of ours that the primary has twice in one partition."""
    theirs = places["id"].filter(pc.is_in(places["id"], value_set=ids.combine_chunks()))
    if len(theirs.unique()) < len(theirs):
        counts = theirs.value_counts()
        twice = [each["values"].as_py() for each in counts if each["counts"].as_py() > 1]
        raise _twice(primary, twice)


def _refuse_twice(plan: Plan, partition: Partition, mask: Bools) -> None:
    """Ids of ours that the primary has in two partitions."""
    assert plan.primary is not None
    ids = _read(plan.run.catalog, partition, ["object_id"])["object_id"]
    raise _twice(plan.primary, ids.filter(pa.array(mask)).to_pylist())


def _twice(primary: Primary, ids: list[Any]) -> BadRequest:
    return BadRequest(
        f"{primary.url}: column {primary.id!r} has ids of this release more than once, {ids[0]} for one; nothing was published. "
        "Give [publish] extends_id the column of unique ids, or take extends out, and run again: only publishing is done anew."
    )


def _finish(
    plan: Plan, names: Iterable[str], found: list[Partition], rows: int, counts: Counter[int]
) -> None:
    """What makes extensions of the partitions."""
    folder, primary = plan.run.extension, plan.primary
    assert primary is not None
    found.sort(key=lambda each: each.first)
    for name in names:
        own = storage.join(folder, name)
        hats_metadata.finish(own, name, found, rows, counts)
        columns = [
            c for c in hats_metadata.schema_of(own).names if c not in {INDEX, "object_id", "ra", "dec"}
        ]
        extends = hats_metadata.Extends(primary.url, primary.id)
        hats_metadata.write_extension(folder, name, extends, columns)


def _write_absent(url: str, partition: Partition, number: int, found: Bools | None) -> int:
    """List the objects of one of our partitions that the primary lacks, and say how many they are."""
    run = RunDirectory(url)
    if found is not None and found.all():
        return 0
    rows = _read(run.catalog, partition, LISTED)
    if found is not None:
        rows = rows.filter(pa.array(~found))
    file = storage.join(run.extension, "absent", f"part-{number:06d}.parquet")
    hats_catalog.write_sorted(file, rows, ["object_id"])
    return rows.num_rows


def _unplaced(run: RunDirectory) -> int:
    """List the objects without a position, and say how many they are."""
    if not storage.exists(run.unplaced):
        return 0
    with storage.reading(run.unplaced, None) as stream:
        rows = pq.read_table(stream, columns=LISTED)
    hats_catalog.write_sorted(storage.join(run.extension, "absent", "unplaced.parquet"), rows, ["object_id"])
    return rows.num_rows
