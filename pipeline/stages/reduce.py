"""The barrier reduce: principal components of all embeddings, and the pilot sample."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from catalogs import storage
from catalogs.errors import BadRequest
from kernels import bags
from kernels.anomaly import oddness_of
from kernels.codes import Codes, NoSpread, scales_of
from kernels.moments import Moments, fixed_point_exponent, moments, principal_components
from pipeline.plan import enough_objects
from pipeline.rundir import arrays
from pipeline.stages.barrier import barrier, on_parts, read_receipts, usable
from pipeline.stages.code_columns import code_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.config.fit import Reduce
    from pipeline.engine.engine import Engine
    from pipeline.plan.plan import Plan
    from pipeline.stages.code_columns import CodeColumns


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
            plan,
            engine,
            _moments_and_pilot,
            code_columns(plan),
            exponent,
            total,
            settings.pilot_rows,
            settings.seed,
        )
        summed: Moments | None = None
        drawn = []
        for part_moments, *part_drawn in found_by_part:
            part = Moments.from_arrays(part_moments)
            summed = part if summed is None else summed + part
            drawn.append(part_drawn)
        assert summed is not None, "a plan has at least one slice"
        ids, sample, numbers = (np.concatenate(columns) for columns in zip(*drawn, strict=True))
        order = bags.canonical_order(ids, settings.seed)
        sample, numbers = sample[order], numbers[order]
        codes = _codes(plan.config.reduce, summed, numbers)
        found = {"pilot": codes(sample, numbers), "usable": np.array([total])}
        oddness = oddness_of(summed, sample, largest).to_arrays()
        arrays.save(run.components, {**codes.to_arrays(), **found, **oddness})


def _codes(settings: Reduce, summed: Moments, numbers: NDArray[np.float64]) -> Codes:
    """Components of all embeddings, and scales of the numbers beside those of the pilot."""
    try:
        components = principal_components(summed, settings.components)
        return Codes(components, scales_of(numbers, components, settings.weight))
    except NoSpread as error:
        problem = f"[reduce] columns, {settings.columns[error.column]!r} {error}"
        raise BadRequest(f"{problem}: it parts no groups. Leave it out.") from error
    except ValueError as error:
        raise enough_objects.TooFewObjects(f"[reduce] components: {error}. See [encode].") from error


def _usable_ids(folder: str, names: list[str]) -> NDArray[Any]:
    return np.concatenate([ids for ids, *_ in usable(folder, names)])


def _moments_and_pilot(
    folder: str,
    names: list[str],
    columns: CodeColumns,
    exponent: int,
    total: int,
    pilot_rows: int,
    seed: int,
) -> tuple[dict[str, NDArray[np.int64]], NDArray[Any], NDArray[np.float16], NDArray[np.float64]]:
    """Moments of the embeddings of a chunk of parts, and of the pilot's objects among them the ids, embeddings and numbers."""
    summed: Moments | None = None
    drawn = []
    for ids, values, numbers in usable(folder, names, columns):
        found = moments(values, exponent)
        summed = found if summed is None else summed + found
        chosen = bags.in_pilot(ids, total, pilot_rows, seed)
        drawn.append((ids[chosen], values[chosen], numbers[chosen]))
    assert summed is not None, "a chunk has at least one part"
    ids, sample, beside = (np.concatenate(each) for each in zip(*drawn, strict=True))
    return summed.to_arrays(), ids, sample, beside
