"""The barriers reduce and fit: they need everything before them, restart whole, and are cheap."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import ray

from actors.embeddings import embeddings_of
from catalogs import parts, storage
from catalogs.errors import CatalogMismatch, TuningforkError
from kernels import bags
from kernels.members import Member, fit_member
from kernels.moments import Components, Moments, fixed_point_exponent, moments, principal_components, project
from kernels.vote import align, electorate
from pipeline import enough, stores
from pipeline.metrics import RunMetrics
from pipeline.progress import StageProgress

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from catalogs.parts import Receipt
    from pipeline.plan import Plan

MOST_TASKS = 256
TRIES = 20
task = ray.remote(num_cpus=1, max_retries=TRIES, scheduling_strategy="SPREAD")
"""Makes a function a barrier's task. A node on which everything dies is always free: tasks that are not spread would all be tried there."""


@contextlib.contextmanager
def barrier(plan: Plan, stage: str) -> Iterator[None]:
    """Around a barrier, which is told of and timed."""
    with StageProgress(stage, run=plan.run_id), RunMetrics(plan.run_id).step(stage):
        yield


def reduce(plan: Plan) -> None:
    """Principal components of all embeddings, and the pilot: the sample that strata and alignment rest on."""
    run, settings = plan.run, plan.config.fit
    if storage.exists(run.components):
        return
    with barrier(plan, "reduce"):
        total, largest, flags = 0, 0.0, Counter[str]()
        for receipt in read_receipts(plan):
            total, largest = total + receipt.usable, max(largest, receipt.largest)
            flags.update(receipt.flags)
        if total <= settings.groups:
            enough.check_usable(settings, np.concatenate(list(on_parts(plan, _usable_ids))), flags)
        exponent = fixed_point_exponent(largest)
        answers = on_parts(plan, _moments_and_pilot, exponent, total, settings.pilot_rows, settings.seed)
        summed: Moments | None = None
        ids, values = [], []
        for part_moments, part_ids, part_values in answers:
            found = Moments.from_arrays(part_moments)
            summed = found if summed is None else summed + found
            ids.append(part_ids)
            values.append(part_values)
        assert summed is not None, "a plan has at least one slice"
        try:
            components = principal_components(summed, plan.config.reduce.components)
        except ValueError as error:
            raise enough.TooFewObjects(f"[reduce] components: {error}. See [encode].") from error
        order = bags.canonical_order(np.concatenate(ids), settings.seed)
        pilot = project(np.concatenate(values)[order], components)
        stores.save(run.components, {**components.to_arrays(), "pilot": pilot, "usable": np.array([total])})


def fit(plan: Plan, *, first: bool = False) -> None:
    """Draw the bags, fit every member in a task of its own, align them to the reference.

    Where bags are balanced, the `first` fit is on real objects alone, and the other one's bags hold synthetic neighbours too.
    Strata, reference and alignment rest on real objects in both, so a group keeps its number.
    """
    run, settings = plan.run, plan.config.fit
    electorate_file = run.first_electorate if first else run.electorate
    if storage.exists(electorate_file):
        return
    with barrier(plan, "first_fit" if first else "fit"):
        saved = stores.load(run.components)
        pilot, total = saved["pilot"], int(saved["usable"][0])
        if not len(pilot):
            enough.check_fit(settings, total, pilot)
        strata = probabilities = None
        if settings.resample == "hash":
            strata = bags.stratify(pilot, seed=settings.seed)
            probabilities = bags.inclusion(strata.shares, total, settings.bag_rows)
        drawn = on_parts(plan, _draw, saved, strata, probabilities, settings.bags, settings.seed)
        ids, codes, masks = (
            np.concatenate(columns, axis=axis)
            for columns, axis in zip(zip(*drawn, strict=True), (0, 0, 1), strict=True)
        )
        order = bags.canonical_order(ids, settings.seed)
        codes, masks = codes[order], masks[:, order]
        enough.check_fit(settings, total, pilot, (codes[mask] for mask in masks))
        if plan.config.augment.balance and not first:
            codes, masks = _with_neighbours(plan, Components.from_arrays(saved), codes, masks)
        shared = ray.put((codes, masks))
        tasks = [
            _fit_one.options(name=f"fit {family}").remote(shared, bag, family, settings.groups, settings.seed)
            for bag in range(settings.bags)
            for family in settings.families
        ]
        reference = fit_member("kmeans", pilot, settings.groups, settings.seed)
        members: list[Member] = answers(tasks)
        chosen = electorate(align(members, reference, pilot), reference)
        stores.save(electorate_file, chosen.to_arrays())


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


def _with_neighbours(
    plan: Plan, components: Components, codes: NDArray[np.float32], masks: NDArray[np.bool_]
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
    ids, values = (np.concatenate(columns) for columns in zip(*_usable(run.synthetic, names), strict=True))
    order = bags.canonical_order(ids, settings.seed)
    ids, drawn = ids[order], project(values[order], components)
    resample: Any = "none" if settings.resample == "none" else "strata"
    everywhere = bags.Strata(np.zeros((1, drawn.shape[1]), np.float32), np.ones(1))
    wanted = np.array([bags.FRACTION])
    own = bags.bag_masks(ids, drawn, everywhere, wanted, settings.bags, settings.seed, resample)
    places = np.arange(len(ids)) * len(codes) // len(ids)
    return np.insert(codes, places, drawn, axis=0), np.insert(masks, places, own, axis=1)


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


def _usable_ids(folder: str, names: list[str]) -> NDArray[Any]:
    return np.concatenate([ids for ids, _ in _usable(folder, names)])


def _moments_and_pilot(
    folder: str, names: list[str], exponent: int, total: int, pilot_rows: int, seed: int
) -> tuple[dict[str, NDArray[np.int64]], NDArray[Any], NDArray[np.float16]]:
    summed: Moments | None = None
    pilot_ids, pilot_values = [], []
    for ids, values in _usable(folder, names):
        found = moments(values, exponent)
        summed = found if summed is None else summed + found
        chosen = bags.in_pilot(ids, total, pilot_rows, seed)
        pilot_ids.append(ids[chosen])
        pilot_values.append(values[chosen])
    assert summed is not None, "a chunk has at least one part"
    return summed.to_arrays(), np.concatenate(pilot_ids), np.concatenate(pilot_values)


def _draw(
    folder: str,
    names: list[str],
    saved: dict[str, NDArray[Any]],
    strata: bags.Strata | None,
    probabilities: NDArray[np.float64] | None,
    count: int,
    seed: int,
) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_]]:
    components = Components.from_arrays(saved)
    resample: Any = "none" if strata is None else "strata"
    ids_, codes_, masks_ = [], [], []
    for ids, values in _usable(folder, names):
        codes = project(values, components)
        masks = bags.bag_masks(ids, codes, strata, probabilities, count, seed, resample)
        chosen = masks.any(axis=0)
        ids_.append(ids[chosen])
        codes_.append(codes[chosen])
        masks_.append(masks[:, chosen])
    return np.concatenate(ids_), np.concatenate(codes_), np.concatenate(masks_, axis=1)


def _usable(folder: str, names: list[str]) -> Iterator[tuple[NDArray[Any], NDArray[np.float16]]]:
    for name in names:
        part = parts.read(folder, name, ["object_id", "embedding"])
        values, usable = embeddings_of(part["embedding"])
        yield part["object_id"].to_numpy()[usable], values


@task
def _fit_one(shared: Any, bag: int, family: Any, groups: int, seed: int) -> Member:
    import torch  # noqa: PLC0415 - only the worker needs it

    torch.set_num_threads(1)
    codes, masks = shared
    return fit_member(family, codes[masks[bag]], groups, seed + 1 + bag, bag)
