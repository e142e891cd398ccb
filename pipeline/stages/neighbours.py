"""Synthetic neighbours to be drawn: their exemplars, and the conditions for the diffusion model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from actors.generator import request_table
from actors.stamps import stamps_of
from catalogs import parts
from catalogs.errors import CatalogMismatch, TuningforkError
from catalogs.slices import Slice
from kernels import bags
from kernels.diffusion_model import DiffusionModel
from kernels.stretch import noise_level
from pipeline import conditions
from pipeline.plan.balancing import numbers_of, with_columns
from pipeline.plan.measuring import measured_band
from pipeline.stages.barrier import on_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from catalogs.release import Release
    from kernels.attributes import Attribute
    from pipeline.engine.engine import Engine
    from pipeline.plan.plan import Plan

__all__ = ["requests"]


def requests(plan: Plan, engine: Engine, wanted: NDArray[np.int64]) -> pa.Table:
    """What is to be drawn, one row a synthetic object, in an order that rests on ids alone.

    Parameters
    ----------
    plan : Plan
    engine : Engine
    wanted : (groups,) int64
        Synthetic objects of each group.

    Returns
    -------
    pa.Table
        ``object_id`` (of its own kind), ``like`` (id of the object that it is like), ``group``, ``flags``, ``usable``, and the columns that
        `actors.generator.StampGenerator` reads.
    """
    settings = plan.config.augment
    assert plan.generator_options is not None, "the bags of this plan are balanced"
    attributes = DiffusionModel.load(plan.generator_options["model"]).attributes
    given, numeric = with_columns(attributes, plan.schema), numbers_of(plan.schema)
    limits = [end for attribute in given for end in attribute.limits or () if end in numeric]
    columns = list(dict.fromkeys([*(attribute.name for attribute in given), *limits]))
    found = on_parts(plan, engine, _exemplars, plan.run.first_votes, columns, wanted, settings.seed)
    exemplars = _leading(pa.concat_tables(filter(None, found)), wanted, settings.seed)
    exemplars = _with_psf(plan, _with_noise(plan, engine, exemplars, attributes), attributes)
    values, confidence = conditions.of_rows(_within(exemplars, attributes), attributes)
    held = np.bincount(exemplars["group"].to_numpy(), minlength=len(wanted))
    copies = [  # of each object: the first ones of a group once more than the rest
        len(range(number, int(wanted[group]), int(held[group])))
        for group in np.flatnonzero(wanted)
        for number in range(held[group])
    ]
    row = np.repeat(np.arange(exemplars.num_rows), copies)
    names = [
        f"synthetic-{id_}-{copy}"
        for id_, n in zip(exemplars["object_id"].to_pylist(), copies, strict=True)
        for copy in range(n)
    ]
    seeds = (bags.hash_ids(np.array(names), settings.seed) >> np.uint64(1)).astype(np.int64)
    near = conditions.jittered(values[row], attributes, seeds, settings.jitter)
    requested = request_table(seeds, near, confidence[row], attributes)
    marked = {
        "object_id": pa.array(names, pa.string()),
        "like": exemplars["object_id"].take(row),
        "group": exemplars["group"].take(row),
        "flags": pa.array(np.zeros(len(row), np.int32)),
        "usable": pa.array(np.ones(len(row), bool)),
    }
    return pa.table({**marked, **dict(zip(requested.column_names, requested.columns, strict=True))})


def _exemplars(
    folder: str, names: list[str], votes: str, columns: list[str], wanted: NDArray[np.int64], seed: int
) -> pa.Table | None:
    """The kept objects of rare groups in a chunk of parts, as many as can be wanted of it."""
    found = []
    for name in names:
        vote = parts.read(votes, name, ["object_id", "group", "kept"])
        rare = pc.is_in(vote["group"], value_set=pa.array(np.flatnonzero(wanted), pa.int16()))
        rare = pc.and_(rare, vote["kept"].fill_null(False))
        if pc.any(rare).as_py():
            objects = parts.read(folder, name, ["object_id", "row", *columns])
            if not objects["object_id"].equals(vote["object_id"]):
                problem = "votes and objects name different ids. Delete both parts and run again."
                raise CatalogMismatch(f"{name}: {problem}")
            objects = objects.append_column("group", vote["group"]).filter(rare)
            found.append(objects.append_column("part", pa.array([name] * objects.num_rows)))
    return _leading(pa.concat_tables(found), wanted, seed) if found else None


def _leading(exemplars: pa.Table, wanted: NDArray[np.int64], seed: int) -> pa.Table:
    """Each group's first objects in canonical order, at most as many as it wants neighbours; group after group."""
    exemplars = exemplars.take(bags.canonical_order(exemplars["object_id"].to_numpy(), seed))
    exemplars = exemplars.take(np.argsort(exemplars["group"].to_numpy(), kind="stable"))
    group = exemplars["group"].to_numpy()
    number = np.arange(len(group)) - np.searchsorted(group, group)
    return exemplars.filter(pa.array(number < wanted[group]))


def _within(exemplars: pa.Table, attributes: Sequence[Attribute]) -> pa.Table:
    """The objects without labels that the model has no use for: in the middle of a run, they are unknown rather than a fault."""
    for attribute in attributes:
        place = exemplars.schema.get_field_index(attribute.name)
        if attribute.kind == "label" and place >= 0:
            labels = exemplars[attribute.name].cast(pa.float64(), safe=False)
            inside = pc.and_(pc.greater_equal(labels, attribute.low), pc.less_equal(labels, attribute.high))
            exemplars = exemplars.set_column(
                place, attribute.name, pc.if_else(inside, labels, pa.scalar(None, pa.float64()))
            )
    return exemplars


def _with_noise(plan: Plan, engine: Engine, exemplars: pa.Table, attributes: Sequence[Attribute]) -> pa.Table:
    """The objects with the noise of their stamps, in columns named like the noise attributes; the stamps are read again for this."""
    bands = plan.config.survey.images.bands
    noisy = [
        (f"noise_{band}", i)
        for i, band in enumerate(bands)
        if f"noise_{band}" in {a.name for a in attributes}
    ]
    if not noisy:
        return exemplars
    slices = {piece.name: piece for piece in plan.slices()}
    part, row = exemplars["part"].to_numpy(), exemplars["row"].to_numpy()
    places = [np.flatnonzero(part == name) for name in dict.fromkeys(part)]
    tasks = [
        (
            Slice(slices[part[here[0]]].shard, int(row[here].min()), int(row[here].max()) + 1),
            row[here],
        )
        for here in places
    ]
    release = replace(plan.release, psf=None)  # stamps alone
    noise = np.empty((len(row), len(bands)), np.float32)
    noise[np.concatenate(places)] = np.concatenate(list(engine.map(_noise, tasks, release)))
    for name, i in noisy:
        exemplars = exemplars.append_column(name, pa.array(noise[:, i]))
    return exemplars


def _with_psf(plan: Plan, exemplars: pa.Table, attributes: Sequence[Attribute]) -> pa.Table:
    """The objects with the release's PSF, if the model is conditioned on it: its sharpest PSF, unless the release's is known too."""
    fwhm = plan.config.measure.of(measured_band(plan.config)).fwhm
    for attribute in attributes:
        if attribute.kind == "psf":
            # if the PSF of the training release was unknown, the model's `psf` is the blur relative to it, and 0 is none
            width = attribute.low
            if isinstance(fwhm, int | float) and attribute.low > 0:
                width = fwhm / (plan.release.pixel_scale or 1.0)
            exemplars = exemplars.append_column(attribute.name, pa.array(np.full(exemplars.num_rows, width)))
    return exemplars


def _noise(piece: Slice, rows: NDArray[np.int64], release: Release) -> NDArray[np.float32]:
    """Sky noise (n, bands) of the stamps of some rows."""
    try:
        objects = release.read(piece)
    except OSError as error:
        raise TuningforkError(
            f"{release.shards[piece.shard].table.url}: stamps cannot be read again ({error})."
        ) from error
    images = release.survey.images
    stamps = stamps_of(objects["stamp"], len(images.bands), images.size)
    wanted = stamps[np.searchsorted(objects["row"].to_numpy(), rows)]
    return noise_level(torch.from_numpy(wanted)).numpy()
