"""The two streaming stages, encode and vote: slice in, part out, resumable slice by slice.

Slices flow from readers to actors to writers without ever waiting for a stage as a whole. Where actors are slower than readers,
readers wait: see `Stream.slices`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ray
import ray.data

from catalogs import parts, storage
from catalogs.errors import BadRequest, TuningforkError
from catalogs.slices import Slice
from catalogs.source import SliceSource
from pipeline import stores, versions
from pipeline.cluster import OWN_STORE
from pipeline.metrics import RunMetrics
from pipeline.progress import StageProgress, console
from pipeline.slicework import ONE_SLICE, Encode, Read, Vote, write_part

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from pipeline.config import Config
    from pipeline.plan import Plan


READ_AT_ONCE = 4
"""The part of a small store that slices may fill which are being read: one so many-th."""


class SlicesFailed(TuningforkError):
    """Some slices have no part: the run is resumable, and says which slices and why."""

    def __init__(self, stage: str, faults: dict[str, str]) -> None:
        self.faults = faults
        lines = [f"  {name}: {fault}" for name, fault in sorted(faults.items())[:20]]
        more = [f"  and {len(faults) - 20} more"] if len(faults) > 20 else []
        super().__init__("\n".join([f"{stage}: {len(faults)} slices failed:", *lines, *more]))


@dataclass(frozen=True)
class Stream:
    """One streaming stage of one run: what is left to do, and under which names it is told."""

    run: str
    """The run's id."""
    stage: str
    missing: list[Slice]
    done: int
    """Slices that are done already."""
    rows: int
    """Of all slices, those that are done already among them."""
    interval: float
    """See `StageProgress`."""
    shard: Callable[[int], str]
    """What people call a shard, by its number."""

    @property
    def metrics(self) -> RunMetrics:
        """Of the run."""
        return RunMetrics(self.run)

    def slices(self, read: Callable[[Slice], pa.Table], row_bytes: int, cpus: float) -> ray.data.Dataset:
        """Every slice that is left, as one row each, read by tasks of so many CPUs; `row_bytes` is about what an object takes.

        Ray Data reads on while the slices that are on their way fill no more than half of the object stores. It judges by slices
        that it has seen, and would begin with as many as there are CPUs for: too many large ones for the small store of one machine.
        """
        bytes_each = row_bytes * max(piece.rows for piece in self.missing)
        source = SliceSource(Read(read, self.metrics), self.missing, bytes_each)
        store = ray.data.DataContext.get_current().get_config(OWN_STORE)
        fit = None if store is None else max(1, store // (READ_AT_ONCE * bytes_each))
        return ray.data.read_datasource(
            source,
            num_cpus=cpus,
            override_num_blocks=len(self.missing),
            concurrency=None if fit is None else min(fit, len(self.missing)),
        )


def encode(plan: Plan) -> None:
    """Stamps to embeddings and measured columns, for every slice that has no part yet."""
    run = plan.run
    stream = _left(plan, "encode", run.objects)
    if stream.missing:
        versions.look_again(plan)
        storage.remove(run.images)
        _encode(plan, stream)
    versions.settle(plan)


def _encode(plan: Plan, stream: Stream) -> None:
    config, run = plan.config, plan.run
    encoded = stream.slices(plan.release.read, plan.row_bytes, config.run.read_cpus).map_batches(
        Encode,
        fn_constructor_args=(plan.encoder_options, plan.measurer_options, stream.metrics),
        compute=ray.data.ActorPoolStrategy(size=_encoders(config, len(stream.missing))),
        num_cpus=config.encode.cpus,
        num_gpus=config.encode.gpus or None,
        **ONE_SLICE,
    )
    _write_all(plan, stream, encoded, run.objects)


def _encoders(config: Config, slices: int) -> int:
    """No more than slices, for Ray warns of actors that would idle; and on one machine no more than leave a reader its CPUs."""
    wanted = min(config.encode.workers, slices)
    if ray.data.DataContext.get_current().get_config(OWN_STORE) is None:
        return wanted  # somebody's cluster may grow
    cpus = ray.cluster_resources().get("CPU", 0.0)
    room = int((cpus - config.run.read_cpus) / config.encode.cpus)
    if room < 1:
        raise BadRequest(
            f"an encoder of [encode] cpus = {config.encode.cpus:g} and a reader of [run] read_cpus = {config.run.read_cpus:g} "
            f"don't fit on the {cpus:g} CPUs of this machine: lower them."
        )
    if room < wanted:
        console.print(
            f"note: encoders: {room} instead of {wanted}, so that readers have room on {cpus:g} CPUs."
        )
    return min(wanted, room)


def vote(plan: Plan, *, first: bool = False) -> None:
    """One vote of every member on every object, for every slice that has no votes yet; the `first` one is of the first fit's members."""
    config, run = plan.config, plan.run
    stage, folder = ("first_vote", run.first_votes) if first else ("vote", run.votes)
    stream = _left(plan, stage, folder)
    if not stream.missing:
        return
    read = functools.partial(_embeddings, run.objects)
    options = {
        "components": stores.load(run.components),
        "electorate": stores.load(run.first_electorate if first else run.electorate),
        "rule": config.vote.rule,
        "threshold": config.vote.threshold,
    }
    voted = stream.slices(read, 2 * plan.features + 50, config.run.read_cpus).map_batches(
        Vote,
        fn_constructor_args=(ray.put(options), stream.metrics),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=_voters(len(stream.missing))),
        num_cpus=0.5,  # so that one CPU is enough for a voter and a reader
        **ONE_SLICE,
    )
    _write_all(plan, stream, voted, folder)


def _voters(slices: int) -> int:
    """At most; Ray Data takes as many as there is room for."""
    if ray.data.DataContext.get_current().get_config(OWN_STORE) is None:
        return slices  # somebody's cluster may grow
    return max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)


def _embeddings(folder: str, piece: Slice) -> pa.Table:
    return parts.read(folder, piece.name, ["object_id", "embedding"])


def _left(plan: Plan, stage: str, folder: str) -> Stream:
    done, shards = parts.done(folder), plan.release.shards
    missing = [piece for piece in plan.slices() if piece.name not in done]
    rows, interval = plan.release.rows, plan.config.run.interval
    return Stream(plan.run_id, stage, missing, len(done), rows, interval, lambda number: shards[number].label)


def _write_all(plan: Plan, stream: Stream, worked_on: ray.data.Dataset, folder: str) -> None:
    write = functools.partial(
        write_part, folder=folder, fingerprint=plan.fingerprints[stream.stage], metrics=stream.metrics
    )
    follow(stream, worked_on.map_batches(write, num_cpus=0.25, **ONE_SLICE))


def follow(stream: Stream, written: ray.data.Dataset) -> None:
    """Let slices be worked on to their end, and show how far that is.

    Parameters
    ----------
    stream : Stream
    written : ray.data.Dataset
        Rows of `pipeline.slicework.WRITTEN`, one a slice.

    Raises
    ------
    SlicesFailed
        If a slice has a fault: at once where that stops the run, else at the end.
    """
    stage, metrics, faults = stream.stage, stream.metrics, dict[str, str]()
    done, waiting = stream.done, len(stream.missing)
    left = sum(piece.rows for piece in stream.missing)
    # The dashboard lists datasets by their names.
    written.set_name(f"{stream.run} {stage}")
    metrics.slices(stage, done=done, waiting=waiting, failed=0)
    with StageProgress(stage, stream.rows, stream.rows - left, stream.interval, stream.run) as progress:
        for row in written.iter_rows():
            piece, fault = Slice(row["shard"], row["start"], row["stop"]), row["fault"]
            waiting -= 1
            if fault is None:
                done += 1
                progress.advance(piece.rows)
                metrics.wrote(stage, row["objects"], dict(row["flags"]))
            else:
                faults[piece.name] = fault
                progress.fault(stream.shard(piece.shard), piece.start, piece.stop, fault)
                metrics.failed(stage)
            metrics.slices(stage, done=done, waiting=waiting, failed=len(faults))
            if row["stop_run"]:
                raise SlicesFailed(stage, faults)
    if faults:
        raise SlicesFailed(stage, faults)
