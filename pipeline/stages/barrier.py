"""What barriers share: they need all parts before them, restart whole, and look at parts in tasks of the engine."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from actors.embeddings import embeddings_of
from catalogs import parts
from catalogs.errors import CatalogMismatch
from pipeline.engine.metrics import RunMetrics
from pipeline.engine.progress import StageProgress
from pipeline.stages.code_columns import NO_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from catalogs.parts import Receipt
    from pipeline.engine.engine import Engine
    from pipeline.plan.plan import Plan
    from pipeline.stages.code_columns import CodeColumns

MOST_TASKS = 256


@contextlib.contextmanager
def barrier(plan: Plan, stage: str) -> Iterator[None]:
    """Show the progress of a barrier and record its time."""
    with StageProgress(stage, run=plan.run_id), RunMetrics(plan.run_id).step(stage):
        yield


def read_receipts(plan: Plan, engine: Engine) -> Iterator[Receipt]:
    """The receipts of every slice's objects, in order; a release may have more of them than memory holds.

    Raises
    ------
    CatalogMismatch
        If a part was made under another fingerprint.
    """
    receipts: Iterator[Receipt] = (r for chunk in on_parts(plan, engine, _receipts) for r in chunk)
    for receipt, piece in zip(receipts, plan.slices(), strict=True):
        if receipt.fingerprint != plan.fingerprints["encode"]:
            where = parts.url(plan.run.objects, piece.name)
            raise CatalogMismatch(f"{where} was made by another run. Delete it and run again.")
        yield receipt


def on_parts(plan: Plan, engine: Engine, function: Callable[..., Any], *shared: Any) -> Iterator[Any]:
    """What `function(folder, names, *shared)` says of chunks of all objects' parts, in the parts' order."""
    return on_named_parts(plan, engine, [piece.name for piece in plan.slices()], function, *shared)


def on_named_parts(
    plan: Plan, engine: Engine, names: Sequence[str], function: Callable[..., Any], *shared: Any
) -> Iterator[Any]:
    """The same for the parts of these names."""
    step = max(1, -(-len(names) // MOST_TASKS))
    chunks = [(plan.run.objects, list(names[i : i + step])) for i in range(0, len(names), step)]
    return engine.map(function, chunks, *shared)


def _receipts(folder: str, names: list[str]) -> list[Receipt]:
    return [parts.receipt(folder, name) for name in names]


def usable(
    folder: str, names: list[str], columns: CodeColumns = NO_COLUMNS
) -> Iterator[tuple[NDArray[Any], NDArray[np.float16], NDArray[np.float64]]]:
    """Ids, embeddings and numbers beside them, (n, k), of the usable objects of each part."""
    for name in names:
        part = columns.read(folder, name)
        values, usable = embeddings_of(part["embedding"])
        yield part["object_id"].to_numpy()[usable], values, columns.numbers(part)[usable]
