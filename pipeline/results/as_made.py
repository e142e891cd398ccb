"""The plan that a finished run was made by, for commands that add something to it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalogs.errors import Fault, Refused
from pipeline.config.file import load
from pipeline.plan.make_plan import make_plan
from pipeline.rundir.run_directory import STAGES, RunDirectory, differences

if TYPE_CHECKING:
    from pipeline.plan.plan import Plan

__all__ = ["as_made"]


def as_made(run: RunDirectory, record: dict[str, Any], config: Path | None, address: str | None) -> Plan:
    """The plan that the run was made by; everything is encoded, so the GPUs and servers that did it may be gone."""
    path = config if config is not None else Path(record["source"])
    if not path.exists():
        problem = "the run's config is not here"
        raise Refused([Fault(str(path), problem, "Say where it is: --config PATH")])
    values, folder = load(path)
    if values.encode.precision == "auto":
        # What `auto` meant depends on the machine, and the run was made on that one.
        meant = {"precision": record["config"]["encode"]["precision"]}
        values = values.model_copy(update={"encode": values.encode.model_copy(update=meant)})
    plan = make_plan(values, folder, str(path), run.url, address, encoded=True)
    changed = [s for s in STAGES if record["fingerprints"].get(s) != plan.fingerprints.get(s)]
    if changed:
        keys = ", ".join(differences(record, plan.record)) or "the release, the weights or the labels"
        problem = f"is not what the run was made with; changed: {keys}"
        remedy = f"Give the run's own with --config PATH, or bring the run up to date first: {plan.command}"
        raise Refused([Fault(str(path), problem, remedy)])
    run.check(plan.record, remedy=f"{plan.command} --anew")
    return plan
