"""The two streaming stages, encode and vote: slice in, part out, resumable slice by slice."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray
import ray.data

from actors.encoder import Encoder
from actors.voter import Voter
from catalogs import parts
from catalogs.errors import TuningforkError
from catalogs.slices import Slice
from catalogs.source import SliceSource, pack, unpack
from pipeline import stores
from pipeline.progress import StageProgress

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.plan import Plan


class SlicesFailed(TuningforkError):
    """Some slices have no part: the run is resumable, and says which slices and why."""

    def __init__(self, stage: str, faults: dict[str, str]) -> None:
        self.faults = faults
        lines = [f"  {name}: {fault}" for name, fault in sorted(faults.items())[:20]]
        more = [f"  and {len(faults) - 20} more"] if len(faults) > 20 else []
        super().__init__("\n".join([f"{stage}: {len(faults)} slices failed:", *lines, *more]))


def encode(plan: Plan) -> None:
    """Stamps to embeddings, for every slice that has no part yet."""
    config, run = plan.config, plan.run
    missing = [piece for piece in plan.slices() if piece.name not in parts.done(run.objects)]
    if not missing:
        return
    source = SliceSource(plan.release.read, missing, plan.slice_bytes)
    dataset = ray.data.read_datasource(
        source, num_cpus=config.run.read_cpus, override_num_blocks=len(missing)
    ).map_batches(
        Encode,
        fn_constructor_args=(plan.encoder_options,),
        compute=ray.data.ActorPoolStrategy(size=config.encode.workers),
        num_cpus=config.encode.cpus,
        num_gpus=config.encode.gpus or None,
        **ONE_SLICE,
    )
    _write_all(plan, "encode", dataset, run.objects, missing)


def vote(plan: Plan) -> None:
    """One vote of every member on every object, for every slice that has no votes yet."""
    config, run = plan.config, plan.run
    missing = [piece for piece in plan.slices() if piece.name not in parts.done(run.votes)]
    if not missing:
        return
    read = functools.partial(_embeddings, run.objects)
    options = {
        "components": stores.load(run.components),
        "electorate": stores.load(run.electorate),
        "rule": config.vote.rule,
        "threshold": config.vote.threshold,
    }
    dataset = ray.data.read_datasource(
        SliceSource(read, missing, plan.slice_bytes), num_cpus=config.run.read_cpus, override_num_blocks=len(missing)
    ).map_batches(
        Vote,
        fn_constructor_args=(ray.put(options),),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)),
        num_cpus=1,
        **ONE_SLICE,
    )
    _write_all(plan, "vote", dataset, run.votes, missing)


# One row is one slice: it is handed over whole, and without a copy.
ONE_SLICE: dict[str, Any] = {"batch_size": 1, "batch_format": "pyarrow", "zero_copy_batch": True}


class _OnSlices:
    """Applies one of our actors to whole slices; a slice that came as a fault is handed on as one."""

    def __init__(self, work: Callable[[pa.Table], pa.Table]) -> None:
        self._work = work

    def __call__(self, row: pa.Table) -> pa.Table:
        if row["fault"][0].is_valid:
            return row
        piece = _slice_of(row)
        try:
            return pack(piece, self._work(unpack(row)))
        except ValueError as error:
            return pack(piece, None, str(error))


class Encode(_OnSlices):
    """The encoder as Ray Data sees it."""

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(Encoder(**options))


class Vote(_OnSlices):
    """The voter as Ray Data sees it."""

    def __init__(self, options: Any) -> None:
        super().__init__(Voter(**ray.get(options)))


def _embeddings(folder: str, piece: Slice) -> pa.Table:
    return parts.read(folder, piece.name, ["object_id", "embedding"])


def _slice_of(row: pa.Table) -> Slice:
    return Slice(row["shard"][0].as_py(), row["start"][0].as_py(), row["stop"][0].as_py())


def _write_all(plan: Plan, stage: str, dataset: ray.data.Dataset, folder: str, missing: list[Slice]) -> None:
    write = functools.partial(write_part, folder=folder, fingerprint=plan.fingerprints[stage])
    written = dataset.map_batches(write, num_cpus=0.25, **ONE_SLICE)
    faults: dict[str, str] = {}
    total, left = plan.release.rows, sum(piece.rows for piece in missing)
    with StageProgress(stage, total, total - left, plan.config.run.interval) as progress:
        for row in written.iter_rows():
            piece = Slice(row["shard"], row["start"], row["stop"])
            if row["fault"] is None:
                progress.advance(piece.rows)
                continue
            faults[piece.name] = row["fault"]
            if row["stop_run"]:
                raise SlicesFailed(stage, faults)
    if faults:
        raise SlicesFailed(stage, faults)


def write_part(row: pa.Table, *, folder: str, fingerprint: str) -> pa.Table:
    """Write one slice's part and say so; a disk that is full or read-only stops the run."""
    piece, fault, stop = _slice_of(row), row["fault"][0].as_py(), False
    if fault is None:
        rows = unpack(row)
        try:
            parts.write(folder, piece, rows, _receipt(piece, rows, fingerprint))
        except OSError as error:
            fault, stop = f"{folder} cannot be written to: {error}", True
    values = {"shard": piece.shard, "start": piece.start, "stop": piece.stop, "fault": fault, "stop_run": stop}
    return pa.Table.from_pylist([values], schema=WRITTEN)


WRITTEN = pa.schema(
    [("shard", pa.int32()), ("start", pa.int64()), ("stop", pa.int64()), ("fault", pa.string()), ("stop_run", pa.bool_())]
)


def _receipt(piece: Slice, rows: pa.Table, fingerprint: str) -> parts.Receipt:
    from actors.embeddings import embeddings_of
    from catalogs.flags import count

    receipt = parts.Receipt(piece.shard, piece.start, piece.stop, rows.num_rows, 0, fingerprint)
    if "embedding" not in rows.column_names:
        usable = rows.num_rows - rows["group"].null_count
        return parts.Receipt(**{**vars(receipt), "usable": usable})
    values, usable_mask = embeddings_of(rows["embedding"])
    found = {
        "usable": int(usable_mask.sum()),
        "flags": count(rows["flags"].to_numpy()),
        "largest": float(abs(values).max()) if values.size else 0.0,
    }
    return parts.Receipt(**{**vars(receipt), **found})
