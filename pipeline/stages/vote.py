"""The stage vote: every member votes on every object."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import ray
import ray.data

from catalogs import parts
from kernels.confidence import branches, calibrate, level_share
from kernels.vote import Ensemble
from kernels.vote import vote as vote_of
from pipeline.engine.cluster import OWN_STORE
from pipeline.engine.slice_tasks import ONE_SLICE, OnSlices
from pipeline.rundir import arrays
from pipeline.stages.object_classes import threshold_of
from pipeline.stages.part_writer import slices_left, write_parts

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from catalogs.slices import Slice
    from pipeline.config.fit import Vote as Settings
    from pipeline.engine.metrics import RunMetrics
    from pipeline.plan.plan import Plan


def vote(plan: Plan, *, first: bool = False) -> None:
    """One vote of every member on every object, for every slice that has no votes yet; the `first` one is of the first fit's members."""
    config, run = plan.config, plan.run
    stage, folder = ("first_vote", run.first_votes) if first else ("vote", run.votes)
    stream = slices_left(plan, stage, folder)
    if not stream.missing:
        return
    read = functools.partial(embeddings_of_slice, run.objects)
    components, ensemble = (
        arrays.load(run.components),
        arrays.load(run.first_ensemble if first else run.ensemble),
    )
    options = {
        "components": components,
        "ensemble": ensemble,
        "rule": config.vote.rule,
        **decision(config.vote, Ensemble.from_arrays(ensemble), components["pilot"]),
    }
    voted = stream.slices(read, 2 * plan.features + 50, config.run.read_cpus).map_batches(
        Vote,
        fn_constructor_args=(ray.put(options), stream.metrics),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=voters(len(stream.missing))),
        num_cpus=0.5,  # so that one CPU is enough for a voter and a reader
        **ONE_SLICE,
    )
    write_parts(plan, stream, voted, folder)


def decision(settings: Settings, ensemble: Ensemble, pilot: NDArray[np.float32]) -> dict[str, Any]:
    """Branches, calibrations, where there are two bags or more, and the threshold: options of `actors.voter.Voter`.

    Everything follows from the pilot (n, c), in canonical order, so a run that goes on decides as it began.
    """
    ballot, level = vote_of(pilot, ensemble), branches(ensemble, pilot, settings.branches)
    found: dict[str, Any] = {"level": level}
    values: NDArray[np.float32] = ballot.agreement
    if settings.rule == "classes":
        values = level_share(ballot.shares, ballot.group, level)
    if len(np.unique(ensemble.bags)) > 1:
        of_groups, of_branches = calibrate(
            pilot, ensemble, [np.arange(ensemble.groups, dtype=np.int16), level]
        )
        found |= {"groups": of_groups.to_arrays(), "branches": of_branches.to_arrays()}
        if settings.rule == "branches":
            values = of_branches(ballot)
        elif settings.rule == "confidence":
            values = of_groups(ballot)
    return {**found, "threshold": threshold_of(settings, values)}


def voters(slices: int) -> int:
    """At most; Ray Data takes as many as there is room for."""
    if ray.data.DataContext.get_current().get_config(OWN_STORE) is None:
        return slices  # somebody's cluster may grow
    return max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)


def embeddings_of_slice(folder: str, piece: Slice) -> pa.Table:
    return parts.read(folder, piece.name, ["object_id", "embedding"])


class Vote(OnSlices):
    """The voter as Ray Data sees it."""

    def __init__(self, options: Any, metrics: RunMetrics) -> None:
        from actors.voter import Voter  # noqa: PLC0415

        super().__init__(Voter(**ray.get(options)), "vote", metrics)
