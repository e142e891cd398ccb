"""The stage vote: every member votes on every object."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.confidence import branches, calibrate, level_share
from kernels.vote import Ensemble
from kernels.vote import vote as vote_of
from pipeline.engine.engine import Actors, Reader
from pipeline.engine.slice_tasks import OnSlices
from pipeline.rundir import arrays
from pipeline.stages.code_columns import code_columns, rows_of_slice
from pipeline.stages.object_classes import threshold_of
from pipeline.stages.part_writer import part_writer, slices_left

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.fit import Vote as Settings
    from pipeline.engine.engine import Engine
    from pipeline.engine.metrics import RunMetrics
    from pipeline.plan.plan import Plan


def vote(plan: Plan, engine: Engine, *, first: bool = False) -> None:
    """One vote of every member on every object, for every slice that has no votes yet; the `first` one is of the first fit's members."""
    config, run = plan.config, plan.run
    stage, folder = ("first_vote", run.first_votes) if first else ("vote", run.votes)
    stream = slices_left(plan, stage, folder)
    if not stream.missing:
        return
    columns = code_columns(plan)
    read = functools.partial(rows_of_slice, run.objects, columns)
    components, ensemble = (
        arrays.load(run.components),
        arrays.load(run.first_ensemble if first else run.ensemble),
    )
    options = {
        "components": components,
        "ensemble": ensemble,
        "rule": config.vote.rule,
        **decision(config.vote, Ensemble.from_arrays(ensemble), components["pilot"]),
        # the first vote only says which groups are rare
        "oddness": None if first else components,
    }
    engine.stream(
        stream,
        Reader(read, 2 * plan.features + 8 * len(columns.expressions) + 50, config.run.read_cpus),
        # Half a CPU, so that one is enough for a voter and a reader.
        Actors(Vote, (options,), len(stream.missing), cpus=0.5, grows=True),
        part_writer(plan, stream, folder),
    )


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


class Vote(OnSlices):
    """The voter, on slices."""

    def __init__(self, options: dict[str, Any], metrics: RunMetrics) -> None:
        from actors.voter import Voter  # noqa: PLC0415

        super().__init__(Voter(**options), "vote", metrics)
