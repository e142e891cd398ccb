"""The barrier reduce: principal components of all embeddings, and the pilot sample."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from catalogs import storage
from kernels import bags
from kernels.anomaly import oddness_of
from kernels.moments import Moments, fixed_point_exponent, moments, principal_components, project
from pipeline.plan import enough_objects
from pipeline.rundir import arrays
from pipeline.stages.barrier import barrier, on_parts, read_receipts, usable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.engine.engine import Engine
    from pipeline.plan.plan import Plan


def reduce(plan: Plan, engine: Engine) -> None:
    """Principal components of all embeddings, and the pilot: the sample that strata, alignment and the oddness of objects rest on."""
    run, settings = plan.run, plan.config.fit
    if storage.exists(run.components):
        return
    with barrier(plan, "reduce"):
        total, largest, flags = 0, 0.0, Counter[str]()
        for receipt in read_receipts(plan, engine):
            total, largest = total + receipt.usable, max(largest, receipt.largest)
            flags.update(receipt.flags)
        if total <= settings.groups:
            enough_objects.check_usable(
                settings, np.concatenate(list(on_parts(plan, engine, _usable_ids))), flags
            )
        exponent = fixed_point_exponent(largest)
        found_by_part = on_parts(
            plan, engine, _moments_and_pilot, exponent, total, settings.pilot_rows, settings.seed
        )
        summed: Moments | None = None
        ids, values = [], []
        for part_moments, part_ids, part_values in found_by_part:
            part = Moments.from_arrays(part_moments)
            summed = part if summed is None else summed + part
            ids.append(part_ids)
            values.append(part_values)
        assert summed is not None, "a plan has at least one slice"
        try:
            components = principal_components(summed, plan.config.reduce.components)
        except ValueError as error:
            raise enough_objects.TooFewObjects(f"[reduce] components: {error}. See [encode].") from error
        order = bags.canonical_order(np.concatenate(ids), settings.seed)
        sample = np.concatenate(values)[order]
        found = {"pilot": project(sample, components), "usable": np.array([total])}
        oddness = oddness_of(summed, sample, largest).to_arrays()
        arrays.save(run.components, {**components.to_arrays(), **found, **oddness})


def _usable_ids(folder: str, names: list[str]) -> NDArray[Any]:
    return np.concatenate([ids for ids, _ in usable(folder, names)])


def _moments_and_pilot(
    folder: str, names: list[str], exponent: int, total: int, pilot_rows: int, seed: int
) -> tuple[dict[str, NDArray[np.int64]], NDArray[Any], NDArray[np.float16]]:
    summed: Moments | None = None
    pilot_ids, pilot_values = [], []
    for ids, values in usable(folder, names):
        found = moments(values, exponent)
        summed = found if summed is None else summed + found
        chosen = bags.in_pilot(ids, total, pilot_rows, seed)
        pilot_ids.append(ids[chosen])
        pilot_values.append(values[chosen])
    assert summed is not None, "a chunk has at least one part"
    return summed.to_arrays(), np.concatenate(pilot_ids), np.concatenate(pilot_values)
