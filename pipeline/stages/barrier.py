"""What barriers share: they need all parts before them, restart whole, and look at parts in Ray tasks."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import ray

from actors.embeddings import embeddings_of
from catalogs import parts
from catalogs.errors import CatalogMismatch, TuningforkError
from pipeline.engine.metrics import RunMetrics
from pipeline.engine.progress import StageProgress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from catalogs.parts import Receipt
    from pipeline.plan.plan import Plan

MOST_TASKS = 256
TRIES = 20
task = ray.remote(num_cpus=1, max_retries=TRIES, scheduling_strategy="SPREAD")
"""Makes a function a barrier's task. A node on which everything dies is always free: tasks that are not spread would all be tried there."""


@contextlib.contextmanager
def barrier(plan: Plan, stage: str) -> Iterator[None]:
    """Show the progress of a barrier and record its time."""
    with StageProgress(stage, run=plan.run_id), RunMetrics(plan.run_id).step(stage):
        yield


def read_receipts(plan: Plan) -> Iterator[Receipt]:
    """The receipts of every slice's objects, in order; a release may have more of them than memory holds.

    Raises
    ------
    CatalogMismatch
        If a part was made under another fingerprint.
    """
    receipts: Iterator[Receipt] = (r for chunk in on_parts(plan, _receipts) for r in chunk)
    for receipt, piece in zip(receipts, plan.slices(), strict=True):
        if receipt.fingerprint != plan.fingerprints["encode"]:
            where = parts.url(plan.run.objects, piece.name)
            raise CatalogMismatch(f"{where} was made by another run. Delete it and run again.")
        yield receipt


def on_parts(plan: Plan, function: Any, *arguments: Any) -> Iterator[Any]:
    """Apply a function to chunks of all parts in Ray tasks; answers come in the parts' order."""
    return on_named_parts(plan, [piece.name for piece in plan.slices()], function, *arguments)


def on_named_parts(plan: Plan, names: Sequence[str], function: Any, *arguments: Any) -> Iterator[Any]:
    """The same for the parts of these names."""
    step = max(1, -(-len(names) // MOST_TASKS))
    shared = [ray.put(argument) for argument in arguments]
    # Ray's dashboard lists tasks by their names.
    apply = _apply.options(name=function.__name__.lstrip("_"))
    tasks = [
        apply.remote(function, plan.run.objects, list(names[i : i + step]), *shared)
        for i in range(0, len(names), step)
    ]
    while tasks:
        yield answers([tasks.pop(0)])[0]  # an answer leaves Ray's store when it is dealt with


def answers(tasks: Sequence[ray.ObjectRef]) -> list[Any]:
    """Results of Ray tasks; an error of ours comes back as itself, not wrapped in Ray's."""
    try:
        return list(ray.get(list(tasks)))
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, ValueError | TuningforkError):
            raise TuningforkError(str(error.cause)) from error
        raise


@task
def _apply(function: Any, folder: str, names: list[str], *arguments: Any) -> Any:
    return function(folder, names, *arguments)


def _receipts(folder: str, names: list[str]) -> list[Receipt]:
    return [parts.receipt(folder, name) for name in names]


def usable(folder: str, names: list[str]) -> Iterator[tuple[NDArray[Any], NDArray[np.float16]]]:
    """Ids and embeddings of the usable objects of each part."""
    for name in names:
        part = parts.read(folder, name, ["object_id", "embedding"])
        values, usable = embeddings_of(part["embedding"])
        yield part["object_id"].to_numpy()[usable], values
