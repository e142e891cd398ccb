"""The barrier fit: bags are drawn, members fitted in tasks of their own, and aligned to one reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from catalogs import parts, storage
from catalogs.errors import CatalogMismatch
from kernels import bags
from kernels.codes import Codes
from kernels.members import Member, fit_member
from kernels.vote import align, ensemble
from pipeline.plan import enough_objects
from pipeline.rundir import arrays
from pipeline.stages.barrier import barrier, on_parts, usable
from pipeline.stages.code_columns import code_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.engine.engine import Engine
    from pipeline.plan.plan import Plan
    from pipeline.stages.code_columns import CodeColumns


def fit(plan: Plan, engine: Engine, *, first: bool = False) -> None:
    """Draw the bags, fit every member in a task of its own, align them to the reference.

    Where bags are balanced, the `first` fit is on real objects alone, and the other one's bags hold synthetic neighbours too.
    Strata, reference and alignment rest on real objects in both, so a group keeps its number.
    """
    run, settings = plan.run, plan.config.fit
    ensemble_file = run.first_ensemble if first else run.ensemble
    if storage.exists(ensemble_file):
        return
    with barrier(plan, "first_fit" if first else "fit"):
        saved = arrays.load(run.components)
        pilot, total = saved["pilot"], int(saved["usable"][0])
        if not len(pilot):
            enough_objects.check_fit(settings, total, pilot)
        strata = probabilities = None
        if settings.resample == "hash":
            strata = bags.stratify(pilot, seed=settings.seed)
            probabilities = bags.inclusion(strata.shares, total, settings.bag_rows)
        columns = code_columns(plan)
        drawn = on_parts(
            plan, engine, _draw, columns, saved, strata, probabilities, settings.bags, settings.seed
        )
        ids, codes, masks = (
            np.concatenate(columns, axis=axis)
            for columns, axis in zip(zip(*drawn, strict=True), (0, 0, 1), strict=True)
        )
        order = bags.canonical_order(ids, settings.seed)
        codes, masks = codes[order], masks[:, order]
        enough_objects.check_fit(settings, total, pilot, (codes[mask] for mask in masks))
        if plan.config.augment.balance and not first:
            codes, masks = _with_neighbours(plan, Codes.from_arrays(saved), codes, masks)
        wanted = [(bag, family) for bag in range(settings.bags) for family in settings.families]
        names = [f"fit {family}" for _, family in wanted]
        fitted = engine.map(_fit_one, wanted, codes, masks, settings.groups, settings.seed, names=names)
        reference = fit_member("kmeans", pilot, settings.groups, settings.seed)
        members: list[Member] = list(fitted)
        chosen = ensemble(align(members, reference, pilot), reference)
        arrays.save(ensemble_file, chosen.to_arrays())


def _with_neighbours(
    plan: Plan, coded: Codes, codes: NDArray[np.float32], masks: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Codes (n, c) and bags (bags, n) with the synthetic neighbours among them, spread evenly: leading rows stay a fair sample."""
    run, settings = plan.run, plan.config.fit
    names = sorted(parts.done(run.synthetic))
    for name in names:
        if parts.receipt(run.synthetic, name).fingerprint != plan.fingerprints["augment"]:
            where = parts.url(run.synthetic, name)
            raise CatalogMismatch(f"{where} was made by another run. Delete it and run again.")
    if not names:
        return codes, masks
    ids, values, none = (
        np.concatenate(columns) for columns in zip(*usable(run.synthetic, names), strict=True)
    )
    order = bags.canonical_order(ids, settings.seed)
    ids, drawn = ids[order], coded(values[order], none)
    resample: Any = "none" if settings.resample == "none" else "strata"
    everywhere = bags.Strata(np.zeros((1, drawn.shape[1]), np.float32), np.ones(1))
    wanted = np.array([bags.FRACTION])
    own = bags.bag_masks(ids, drawn, everywhere, wanted, settings.bags, settings.seed, resample)
    places = np.arange(len(ids)) * len(codes) // len(ids)
    return np.insert(codes, places, drawn, axis=0), np.insert(masks, places, own, axis=1)


def _draw(
    folder: str,
    names: list[str],
    columns: CodeColumns,
    saved: dict[str, NDArray[Any]],
    strata: bags.Strata | None,
    probabilities: NDArray[np.float64] | None,
    count: int,
    seed: int,
) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_]]:
    coded = Codes.from_arrays(saved)
    resample: Any = "none" if strata is None else "strata"
    ids_, codes_, masks_ = [], [], []
    for ids, values, numbers in usable(folder, names, columns):
        codes = coded(values, numbers)
        masks = bags.bag_masks(ids, codes, strata, probabilities, count, seed, resample)
        chosen = masks.any(axis=0)
        ids_.append(ids[chosen])
        codes_.append(codes[chosen])
        masks_.append(masks[:, chosen])
    return np.concatenate(ids_), np.concatenate(codes_), np.concatenate(masks_, axis=1)


def _fit_one(
    bag: int, family: Any, codes: NDArray[np.float32], masks: NDArray[np.bool_], groups: int, seed: int
) -> Member:
    import torch  # noqa: PLC0415 - only the worker needs it

    torch.set_num_threads(1)
    return fit_member(family, codes[masks[bag]], groups, seed + 1 + bag, bag)
