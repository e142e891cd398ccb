"""The two streaming stages, encode and vote: slice in, part out, resumable slice by slice."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import ray
import ray.data

from catalogs import parts
from catalogs.errors import TuningforkError
from catalogs.slices import Slice
from catalogs.source import SliceSource
from pipeline import stores
from pipeline.progress import StageProgress
from pipeline.slicework import ONE_SLICE, Encode, Vote, write_part

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.plan import Plan


class SlicesFailed(TuningforkError):
    """Some slices have no part: the run is resumable, and says which slices and why."""

    def __init__(self, stage: str, faults: dict[str, str]) -> None:
        self.faults = faults
        lines = [f"  {name}: {fault}" for name, fault in sorted(faults.items())[:20]]
        more = [f"  and {len(faults) - 20} more"] if len(faults) > 20 else []
        super().__init__("\n".join([f"{stage}: {len(faults)} slices failed:", *lines, *more]))


def encode(plan: Plan) -> None:
    """Stamps to embeddings and measured columns, for every slice that has no part yet."""
    config, run = plan.config, plan.run
    done = parts.done(run.objects)
    missing = [piece for piece in plan.slices() if piece.name not in done]
    if not missing:
        return
    source = SliceSource(plan.release.read, missing, plan.slice_bytes)
    dataset = ray.data.read_datasource(
        source, num_cpus=config.run.read_cpus, override_num_blocks=len(missing)
    ).map_batches(
        Encode,
        fn_constructor_args=(plan.encoder_options, plan.measurer_options),
        # No more encoders than slices: Ray warns of actors that would idle.
        compute=ray.data.ActorPoolStrategy(size=min(config.encode.workers, len(missing))),
        num_cpus=config.encode.cpus,
        num_gpus=config.encode.gpus or None,
        **ONE_SLICE,
    )
    _write_all(plan, "encode", dataset, run.objects, missing)


def vote(plan: Plan, *, first: bool = False) -> None:
    """One vote of every member on every object, for every slice that has no votes yet; the `first` one is of the first fit's members."""
    config, run = plan.config, plan.run
    stage, folder = ("first_vote", run.first_votes) if first else ("vote", run.votes)
    done = parts.done(folder)
    missing = [piece for piece in plan.slices() if piece.name not in done]
    if not missing:
        return
    read = functools.partial(_embeddings, run.objects)
    options = {
        "components": stores.load(run.components),
        "electorate": stores.load(run.first_electorate if first else run.electorate),
        "rule": config.vote.rule,
        "threshold": config.vote.threshold,
    }
    dataset = ray.data.read_datasource(
        SliceSource(read, missing, plan.slice_bytes),
        num_cpus=config.run.read_cpus,
        override_num_blocks=len(missing),
    ).map_batches(
        Vote,
        fn_constructor_args=(ray.put(options),),
        compute=ray.data.ActorPoolStrategy(
            min_size=1, max_size=max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)
        ),
        num_cpus=1,
        **ONE_SLICE,
    )
    _write_all(plan, stage, dataset, folder, missing)


def _embeddings(folder: str, piece: Slice) -> pa.Table:
    return parts.read(folder, piece.name, ["object_id", "embedding"])


def _write_all(plan: Plan, stage: str, dataset: ray.data.Dataset, folder: str, missing: list[Slice]) -> None:
    write = functools.partial(write_part, folder=folder, fingerprint=plan.fingerprints[stage])
    written = dataset.map_batches(write, num_cpus=0.25, **ONE_SLICE)
    follow(stage, written, missing, plan.release.rows, plan.config.run.interval)


def follow(stage: str, written: ray.data.Dataset, missing: list[Slice], total: int, interval: float) -> None:
    """Let slices be worked on to their end, and show how far that is.

    Parameters
    ----------
    stage : str
    written : ray.data.Dataset
        Rows of `pipeline.slicework.WRITTEN`, one a slice.
    missing : list of Slice
        What is worked on.
    total : int
        Rows of all slices, those that are done already among them.
    interval : float
        See `StageProgress`.

    Raises
    ------
    SlicesFailed
        If a slice has a fault: at once where that stops the run, else at the end.
    """
    faults: dict[str, str] = {}
    left = sum(piece.rows for piece in missing)
    with StageProgress(stage, total, total - left, interval) as progress:
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
