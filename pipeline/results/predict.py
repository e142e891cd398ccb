"""`tuningfork predict`: predictors are added to a run, or taken from it, and its catalog has their answers."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from catalogs import parts, storage
from catalogs.errors import Fault, Refused
from catalogs.headers import first_line
from kernels.heads.predictor import NotAPredictor
from pipeline.output.lock import locked
from pipeline.plan.make_plan import make_plan
from pipeline.plan.predicting import REMEDY, SUFFIX, look_at_predictor
from pipeline.plan.predictor_encoder import encoder_of_run
from pipeline.results.as_made import as_made
from pipeline.rundir.run_directory import RunDirectory
from pipeline.rundir.status import slice_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.plan.plan import Plan


def predict(
    url: str,
    files: Sequence[str],
    *,
    forget: Sequence[str] = (),
    config: Path | None = None,
    address: str | None = None,
) -> None:
    """Add predictors to a run, let them answer for every object, and publish the catalog again.

    Parameters
    ----------
    url : str
        Run directory.
    files : sequence of str
        Predictors; one of a name that the run has takes its place.
    forget : sequence of str
        Names of predictors that were added earlier and that go.
    config : Path, optional
        The run's config; by default where it lay when the run was made.
    address : str, optional
        Ray cluster to join; by default one is started on this machine.

    Raises
    ------
    Refused
        With everything that is wrong; the run is as it was then.
    """
    from pipeline import flow  # noqa: PLC0415 - Ray is loaded when the files hold

    run = RunDirectory(url)
    record = _encoded(run)
    added = {name.removesuffix(SUFFIX) for name in storage.names(run.predictors)}
    unknown = [name for name in forget if name not in added]
    if unknown:
        there = ", ".join(sorted(added)) or "none"
        raise Refused(
            [Fault(url, f"has no predictor {unknown[0]!r} that was added to it", f"There are: {there}")]
        )
    plan = as_made(run, record, config, address)
    wanted = _looked_at(plan, files)
    with locked(url, "predict") as lock:
        if run.record() != record:
            problem = "was changed by another command while this one looked at it"
            raise Refused([Fault(url, problem, "Run this one again")])
        before = {
            name: storage.read(storage.join(run.predictors, name)) for name in storage.names(run.predictors)
        }
        try:
            for name in forget:
                storage.remove(storage.join(run.predictors, name + SUFFIX))
            for name, data in wanted.items():
                storage.write(storage.join(run.predictors, name + SUFFIX), data)
            plan = make_plan(plan.config, _folder(plan), plan.source, url, address, encoded=True)
        except Refused:
            _put_back(run, before)
            raise
        run.prepare(plan.record, anew=False, remedy=f"{plan.command} --anew")
        flow.run(plan, address, lock=lock)


def _folder(plan: Plan) -> str:
    return str(storage.local_path(plan.source).resolve().parent)


def _put_back(run: RunDirectory, before: dict[str, bytes]) -> None:
    for name in storage.names(run.predictors):
        if name not in before:
            storage.remove(storage.join(run.predictors, name))
    for name, data in before.items():
        storage.write(storage.join(run.predictors, name), data)


def _looked_at(plan: Plan, files: Sequence[str]) -> dict[str, bytes]:
    """Contents of the files by the predictors' names; all of them are for this run."""
    run_encoder = encoder_of_run(plan.config, plan.weights, plan.features)
    found: dict[str, bytes] = {}
    faults = []
    for file in files:
        try:
            prediction, _ = look_at_predictor(
                file, plan.config, _folder(plan), run_encoder, plan.fingerprints["encode"]
            )
        except (NotAPredictor, OSError, ValueError) as error:
            faults.append(Fault(file, first_line(error).removeprefix(f"{file}: "), REMEDY))
            continue
        if prediction.name in found:
            faults.append(Fault(file, "is the second predictor of its name", "Rename one of the files"))
        found[prediction.name] = storage.read(file)
    if faults:
        raise Refused(faults)
    return found


def _encoded(run: RunDirectory) -> dict[str, Any]:
    """The record of a run whose objects are all encoded."""
    record = run.record()
    if record is None:
        remedy = f"Start one: tuningfork run CONFIG --out {run.url}"
        raise Refused([Fault(run.url, "there is no run here", remedy)])
    done = parts.done(run.objects)
    missing = sum(name not in done for name, _ in slice_names(record))
    if missing:
        remedy = f"Finish it: {shlex.join(['tuningfork', 'run', record['source'], '--out', run.url])}"
        raise Refused([Fault(run.url, f"{missing} slices are not encoded yet", remedy)])
    return record
