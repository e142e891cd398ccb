"""The stage vote: every member votes on every object."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import ray
import ray.data

from catalogs import parts
from pipeline.engine.cluster import OWN_STORE
from pipeline.engine.slice_tasks import ONE_SLICE, OnSlices
from pipeline.rundir import arrays
from pipeline.stages.part_writer import slices_left, write_parts

if TYPE_CHECKING:
    import pyarrow as pa

    from catalogs.slices import Slice
    from pipeline.engine.metrics import RunMetrics
    from pipeline.plan.plan import Plan


def vote(plan: Plan, *, first: bool = False) -> None:
    """One vote of every member on every object, for every slice that has no votes yet; the `first` one is of the first fit's members."""
    config, run = plan.config, plan.run
    stage, folder = ("first_vote", run.first_votes) if first else ("vote", run.votes)
    stream = slices_left(plan, stage, folder)
    if not stream.missing:
        return
    read = functools.partial(_embeddings, run.objects)
    options = {
        "components": arrays.load(run.components),
        "ensemble": arrays.load(run.first_ensemble if first else run.ensemble),
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
    write_parts(plan, stream, voted, folder)


def _voters(slices: int) -> int:
    """At most; Ray Data takes as many as there is room for."""
    if ray.data.DataContext.get_current().get_config(OWN_STORE) is None:
        return slices  # somebody's cluster may grow
    return max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)


def _embeddings(folder: str, piece: Slice) -> pa.Table:
    return parts.read(folder, piece.name, ["object_id", "embedding"])


class Vote(OnSlices):
    """The voter as Ray Data sees it."""

    def __init__(self, options: Any, metrics: RunMetrics) -> None:
        from actors.voter import Voter  # noqa: PLC0415

        super().__init__(Voter(**ray.get(options)), "vote", metrics)
