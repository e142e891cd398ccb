"""Making an index: cells from a sample, then every shard by itself, each file whole or absent, so that a build that was killed goes on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np
import pyarrow.parquet as pq

from actors.embeddings import embeddings_of
from catalogs import storage
from catalogs.errors import BadRequest
from catalogs.explained import are_explained
from kernels import bags
from kernels.anomaly import Oddness
from kernels.nearest import nearest
from kernels.similarity import SAMPLE_A_CELL, Axes, cells_for, centres_of
from pipeline.rundir import arrays
from pipeline.similar.layout import EXPLAINED, USABLE
from pipeline.similar.whole_file import WholeFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from pipeline.engine.engine import Engine
    from pipeline.rundir.run_directory import RunDirectory
    from pipeline.similar.layout import Layout, Shard

__all__ = ["axes_of", "build"]

SEED = 0x696E646578  # "index" in ASCII: a stream of its own
ONE_IN = 5
"""Row groups of a partition, beginning with the first, of which one is looked through for the sample: reading embeddings is half of the work."""
FINGERPRINT = "fingerprint"
SUFFIXES = {".faiss", ".codes", ".marks", ".safetensors", ".partial"}
"""Of an index's files: nothing else in its folder is removed."""


def build(layout: Layout, run: RunDirectory, engine: Engine, told: Callable[[str], None]) -> None:
    """Make the index, or what is missing of it; shards are tasks of the engine. Nothing of an index of other embeddings stays.

    Parameters
    ----------
    layout : Layout
    run : RunDirectory
    engine : Engine
    told : callable
        Called with what has been done.
    """
    if not _is_begun(layout):
        _clear(layout)
        told("looking for cells")
        _write_cells(layout, run, engine)
    left = [shard for shard in layout.shards if not _is_made(layout, shard)]
    done = len(layout.shards) - len(left)
    for number, _ in enumerate(engine.map(_make_shard, [(layout, run, shard) for shard in left]), done + 1):
        told(f"{number} of {len(layout.shards)} shards")
    storage.write(layout.finished, layout.text)


def axes_of(run: RunDirectory) -> Axes:
    """The axes along which a run's embeddings are compared."""
    return Axes.of(Oddness.from_arrays(arrays.load(run.components)))


def _clear(layout: Layout) -> None:
    storage.remove(layout.finished)  # first: what is being removed must not look whole
    for file in Path(layout.folder).glob("*"):
        if file.suffix in SUFFIXES:
            file.unlink()


def _is_begun(layout: Layout) -> bool:
    if not storage.exists(layout.cells):
        return False
    return bytes(arrays.load(layout.cells)[FINGERPRINT]).decode() == layout.fingerprint


def _is_made(layout: Layout, shard: Shard) -> bool:
    return all(storage.exists(layout.file(shard, kind)) for kind in ("marks", "codes", "faiss"))


def _write_cells(layout: Layout, run: RunDirectory, engine: Engine) -> None:
    names = [name for shard in layout.shards for name, _ in shard.parts]
    total = sum(storage.parallel(lambda name: _sampled_rows(storage.join(run.embeddings, name)), names))
    cells = cells_for(layout.rows)
    tasks = [(run, name) for name in names]
    found = list(engine.map(_sample, tasks, total, max(SAMPLE_A_CELL * cells, 1000)))
    ids, points = (np.concatenate(each) for each in zip(*found, strict=True))
    points = points[bags.canonical_order(ids, SEED)]
    if not len(points):
        raise BadRequest(f"{run.url}: none of its objects has an embedding")
    centres = centres_of(points, cells)
    ends = np.stack([points.min(axis=0), points.max(axis=0)])
    marked = np.frombuffer(layout.fingerprint.encode(), np.uint8)
    arrays.save(layout.cells, {"centres": centres, "ends": ends, FINGERPRINT: marked})


def _sampled_rows(file: str) -> int:
    with storage.reading(file, None) as stream:
        found = pq.ParquetFile(stream).metadata
    return sum(found.row_group(number).num_rows for number in range(0, found.num_row_groups, ONE_IN))


def _sample(
    run: RunDirectory, name: str, total: int, wanted: int
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Ids and points of some objects of a partition."""
    axes, ids, points = axes_of(run), [], []
    for rows in _row_groups(storage.join(run.embeddings, name), ["object_id", "embedding"], ONE_IN):
        values, usable = embeddings_of(rows["embedding"])
        own = rows["object_id"].to_numpy()[usable]
        chosen = bags.in_pilot(own, total, wanted, SEED)
        ids.append(own[chosen])
        points.append(axes.points(values[chosen]))
    return np.concatenate(ids), np.concatenate(points)


def _make_shard(layout: Layout, run: RunDirectory, shard: Shard) -> None:
    """Write a shard's files; the one that is looked for last."""
    axes, cells = axes_of(run), arrays.load(layout.cells)
    index = _empty(cells["centres"], cells["ends"])
    marks = [_marks(storage.join(run.catalog, name)) for name, _ in shard.parts]
    there: list[NDArray[np.bool_]] = []
    with WholeFile(layout.file(shard, "codes")) as partial, partial.open("wb") as sink:
        for rows in _all_row_groups(run, shard):
            values, usable = embeddings_of(rows["embedding"])
            every = np.zeros((len(usable), layout.features), np.float16)
            every[usable] = values
            every.tofile(sink)
            numbers = np.flatnonzero(usable) + sum(map(len, there))
            _add(index, axes.points(values), numbers, cells["centres"])
            there.append(usable)
    marked = np.concatenate(marks) | np.where(np.concatenate(there), USABLE, 0).astype(np.uint8)
    storage.write(layout.file(shard, "marks"), marked.tobytes())
    with WholeFile(layout.file(shard, "faiss")) as partial:
        faiss.write_index(index, str(partial))


def _empty(centres: NDArray[np.float32], ends: NDArray[np.float32]) -> faiss.IndexIVFScalarQuantizer:
    """An index without points: lists of one byte a coordinate, for each cell."""
    flat = faiss.IndexFlatL2(centres.shape[1])
    flat.add(centres)
    kind = faiss.ScalarQuantizer.QT_8bit
    index = faiss.IndexIVFScalarQuantizer(flat, centres.shape[1], len(centres), kind, faiss.METRIC_L2, False)
    index.train(np.ascontiguousarray(ends))  # the cells are known: only how far coordinates reach is learned
    return index


def _add(
    index: faiss.IndexIVFScalarQuantizer,
    points: NDArray[np.float32],
    numbers: NDArray[np.int64],
    centres: NDArray[np.float32],
) -> None:
    """Add points; their cells are found exactly, so that equal points give equal lists on any machine."""
    if len(points):
        home = nearest(points, centres).astype(np.int64)
        pointer = faiss.swig_ptr
        index.add_core(len(points), pointer(points), pointer(numbers), pointer(home))


def _marks(file: str) -> NDArray[np.uint8]:
    """What flags say of a partition's objects."""
    with storage.reading(file, None) as stream:
        names = [n for n in ("flags", "measure_flags") if n in pq.read_schema(stream).names]
        stream.seek(0)
        found = pq.read_table(stream, columns=names)
    measured = found["measure_flags"].fill_null(0).to_numpy() if "measure_flags" in names else None
    return np.where(are_explained(found["flags"].to_numpy(), measured), EXPLAINED, 0).astype(np.uint8)


def _all_row_groups(run: RunDirectory, shard: Shard) -> Iterator[Any]:
    for name, _ in shard.parts:
        yield from _row_groups(storage.join(run.embeddings, name), ["embedding"])


def _row_groups(file: str, columns: list[str], step: int = 1) -> Iterator[Any]:
    with storage.reading(file, None) as stream:
        found = pq.ParquetFile(stream)
        for number in range(0, found.num_row_groups, step):
            yield found.read_row_group(number, columns=columns)
