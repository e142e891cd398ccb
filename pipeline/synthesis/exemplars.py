"""Exemplars of synthetic galaxies: rows of a table, of a run's catalog, or of a release, whose noise is measured on the stamps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from actors.stamps import stamps_of
from catalogs import published, storage, views
from catalogs.canned import identifier
from catalogs.errors import Fault, Refused
from catalogs.inspect import inspect
from catalogs.release import needed_columns
from catalogs.slices import slices_of
from kernels.stretch import noise_level
from pipeline import conditions
from pipeline.config.file import load
from pipeline.console import console
from pipeline.engine.progress import StageProgress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from catalogs.release import Release
    from kernels.attributes import Attribute
    from kernels.diffusion_model import DiffusionModel

__all__ = ["Exemplars", "exemplars", "table_of"]

IDS = ("object_id", "id", "objid", "objectid", "name")
"""Columns that identify a row, where a table has them; case does not matter."""
KEPT = "like_"
"""Before the names of a release's columns: a run reserves some names."""


@dataclass(frozen=True)
class Exemplars:
    """Conditions of rows."""

    names: list[str]
    """Id of each row, or its number."""
    values: NDArray[np.float32]
    """(rows, attributes), NaN where unknown."""
    confidence: NDArray[np.float32]
    """(rows, attributes)."""


def exemplars(path: str, model: DiffusionModel) -> Exemplars:
    """The conditions that the rows of `path` give for a model.

    Parameters
    ----------
    path : str
        A FITS, Parquet or CSV table; a run's directory, for its catalog; or the .toml of a release.
    model : DiffusionModel
        A release must have its bands and size.

    Raises
    ------
    Refused
        If it cannot be read, has none of the model's attributes, or values that they cannot have.
    """
    attributes = model.attributes
    labels = [a.name for a in attributes]
    wanted = [*labels, *(limit for a in attributes for limit in a.limits or ())]
    is_release = path.endswith(".toml")
    rows = _of_release(path, model, wanted) if is_release else table_of(path, wanted, "--like")
    if not {*labels} & {*rows.column_names}:
        remedy = f"Rename its columns: the model knows {', '.join(labels)}"
        raise Refused([Fault(path, "has none of the model's attributes", remedy)])
    if not rows.num_rows:
        raise Refused([Fault(path, "has no row that can be drawn like", "Give another table")])
    try:
        values, confidence = conditions.of_rows(rows, attributes)
    except conditions.UnfitRows as error:
        remedy = "Leave those rows out, or make the values null"
        raise Refused([Fault(path, str(error), remedy, error.column, error.value)]) from error
    return Exemplars(rows["id"].to_pylist(), values, confidence)


def table_of(path: str, wanted: Iterable[str], option: str) -> pa.Table:
    """Those of the wanted columns that a table or a run's catalog has, whatever their case, and `id`, text.

    Raises
    ------
    Refused
        If it cannot be read; `option` stands in the fault.
    """
    url = storage.absolute(path, str(Path.cwd()))
    if storage.exists(storage.join(url, "run.json")):
        connection = views.connect(url)
    else:
        try:
            connection = published.connect({"rows": url}, "SELECT * FROM rows", "", option)
        except Refused as refused:
            raise Refused([replace(fault, key=None) for fault in refused.faults]) from refused
    with connection:
        there = {c.lower(): c for c in connection.sql("SELECT * FROM objects LIMIT 0").columns}
        named = next((there[name] for name in IDS if name in there), None)
        key = "row_number() OVER () - 1" if named is None else identifier(named)
        columns = [f"{identifier(there[n.lower()])} AS {identifier(n)}" for n in wanted if n.lower() in there]
        query = f'SELECT CAST({key} AS VARCHAR) AS "id", {", ".join([*columns, "1 AS one"])} FROM objects'
        return connection.sql(query).to_arrow_table().drop_columns("one")


def _of_release(path: str, model: DiffusionModel, wanted: Sequence[str]) -> pa.Table:
    """Usable objects: `id`, the wanted columns that all shards have, and the noise of their stamps."""
    config, folder = load(path)
    _refuse_other_stamps(path, config.survey.images.bands, config.survey.images.size, model)
    # The model draws stamps of the release's own pixels, whatever extents a run gives them.
    plain = config.survey.images.model_copy(update={"extent": None})
    config = config.model_copy(
        update={"survey": config.survey.model_copy(update={"keep": [], "images": plain})}
    )
    release = inspect(config.survey, folder)
    schema = release.shards[0].table.empty.schema
    shared = set.intersection(*(set(shard.table.empty.schema.names) for shard in release.shards))
    kept = {KEPT + name: name for name in wanted if name in shared}
    fields = pa.schema([schema.field(name) for name in needed_columns(config.survey, kept)])
    release = replace(release, kept=kept, columns=fields)
    if (
        model.pixel_scale
        and release.pixel_scale
        and not 0.99 < model.pixel_scale / release.pixel_scale < 1.01
    ):
        scales = f"{model.pixel_scale:.4g} arcsec a pixel, and this release has {release.pixel_scale:.4g}"
        console.print(f"[bold yellow]note:[/] the model learned at {scales}: sizes will be the model's.")
    pieces = []
    with StageProgress("look", release.rows, interval=config.run.interval) as progress:
        for piece in slices_of(release.shards, config.run.slice_rows):
            rows = release.read(piece)
            rows = rows.filter(rows["usable"])
            pieces.append(_with_noise(rows, release, model.attributes))
            progress.advance(piece.rows)
    return pa.concat_tables(pieces)


def _with_noise(rows: pa.Table, release: Release, attributes: Sequence[Attribute]) -> pa.Table:
    layout = release.survey.images
    found = {"id": rows["object_id"].cast(pa.string())}
    found |= {name: rows[kept] for kept, name in release.kept.items()}
    stamps = stamps_of(rows["stamp"], len(layout.bands), layout.size)
    levels = noise_level(torch.tensor(stamps)).numpy()  # (n, b)
    known = {attribute.name for attribute in attributes}
    for band, level in zip(layout.bands, levels.T, strict=True):
        if f"noise_{band}" in known:
            found[f"noise_{band}"] = pa.array(np.ascontiguousarray(level))
    return pa.table(found)


def _refuse_other_stamps(path: str, bands: Sequence[str], size: int, model: DiffusionModel) -> None:
    faults = []
    remedy = "Give a table instead, or a model that was trained on this release"
    if tuple(bands) != model.bands:
        problem = f"the model draws bands {', '.join(model.bands)}"
        faults.append(Fault(path, problem, remedy, value=", ".join(bands), key="survey.images.bands"))
    if size != model.size:
        problem = f"the model draws stamps of {model.size} pixels a side"
        faults.append(Fault(path, problem, remedy, value=str(size), key="survey.images.size"))
    if faults:
        raise Refused(faults)
