"""`tuningfork similar`: the objects of a run that are most like an object, an image, or a set of examples."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from PIL import Image

from catalogs.errors import BadRequest
from kernels.bands import band_order
from pipeline.config.file import Config
from pipeline.console import console
from pipeline.engine.start import started
from pipeline.output.lock import locked
from pipeline.report.source import open_source
from pipeline.similar.index import Index
from pipeline.similar.layout import layout_of
from pipeline.similar.objects import SHOWN, Objects
from pipeline.similar.reasons import flags_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.report.source import Source
    from pipeline.rundir.run_directory import RunDirectory
    from pipeline.similar.layout import Layout
    from pipeline.similar.picture import Example

__all__ = ["Answer", "Wanted", "similar"]

MOST_EXAMPLES, MOST_SHOWN = 10_000, 24
"""Of a question, and of a sheet."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for."""

    ids: Sequence[str] = ()
    """Objects of the run that are the examples."""
    images: Sequence[str] = ()
    """Files that are."""
    count: int = 50
    flagged: bool = False
    """Whether objects that flags explain may be answers."""
    fit: str = "pad"
    """Of pictures, see `pipeline.similar.picture`."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What was found."""

    table: pa.Table
    """Objects by falling similarity: `object_id`, `similarity`, some columns of the catalog, and `flags` in words."""
    rows: list[dict[str, Any]]
    """Their columns, see `pipeline.similar.objects`."""
    source: Source
    examples: list[dict[str, Any]]
    """The same of the objects that are examples."""
    images: list[tuple[str, Example]]
    """Name of each image that is one."""


def similar(
    url: str, wanted: Wanted, *, index: str | None = None, address: str | None = None
) -> Answer | None:
    """Find objects; without examples only the index is made, and nothing is answered.

    Parameters
    ----------
    url : str
        Run directory.
    wanted : Wanted
    index : str, optional
        Folder of the index; by default `index` in the run. It is made where it is not there, or is one of other embeddings.
    address : str, optional
        Ray cluster whose machines make the index; by default this process does.

    Raises
    ------
    Refused, BadRequest, NoCatalog
        If there is nothing to ask, or an example cannot be one.
    """
    source = open_source(url, for_plots=False)
    record = source.record
    layout = layout_of(source.run, record, index)
    if len(wanted.ids) > MOST_EXAMPLES:
        raise BadRequest(
            f"{len(wanted.ids):,} examples are more than {MOST_EXAMPLES:,}: give fewer, their mean hardly changes"
        )
    objects, ids = Objects(source, layout), list(dict.fromkeys(wanted.ids))
    places = objects.places(ids)  # before an index is made, which may take long
    images: list[Example] = []
    if wanted.images:
        from pipeline.similar.picture import example_of  # noqa: PLC0415 - which loads torch

        images = [example_of(path, record, fit=wanted.fit) for path in wanted.images]
    if not layout.is_finished:
        make(layout, source.run, record, address)
    if not places and not images:
        return None
    opened = Index(layout, source.run)
    codes = _codes(opened, places, ids, images)
    hits = opened.search(codes, wanted.count, places, explained=wanted.flagged)
    known = [name for name in SHOWN if name in source.columns]
    rows = objects.rows([hit.place for hit in hits])
    shown = {
        "object_id": pa.array([row["object_id"] for row in rows], source.columns["object_id"].type),
        "similarity": pa.array([hit.similarity for hit in hits], pa.float64()),
        **{name: pa.array([row[name] for row in rows], source.columns[name].type) for name in known},
        "flags": pa.array([flags_of(source, row) for row in rows], pa.string()),
    }
    named = [(Path(path).name, image) for path, image in zip(wanted.images, images, strict=True)]
    return Answer(pa.table(shown), rows, source, objects.rows(places[:MOST_SHOWN]), named)


def make(layout: Layout, run: RunDirectory, record: dict[str, Any], address: str | None) -> None:
    """Make an index, or go on with one."""
    from pipeline.similar.build import build  # noqa: PLC0415

    began = time.perf_counter()
    settings = Config.model_validate(record["config"]).run
    with (
        locked(layout.folder, "similar"),
        started("local" if address is None else "ray", settings, address) as engine,
    ):
        if not layout.is_finished:  # by another command, while this one waited
            with console.status("making the index") as status:
                build(layout, run, engine, lambda text: status.update(f"making the index: {text}"))
    seconds = time.perf_counter() - began
    told = f"index: {layout.rows:,} objects in {seconds:.0f} s, {layout.folder}"
    console.print(told, soft_wrap=True, highlight=False, markup=False)


def _codes(
    index: Index, places: Sequence[tuple[int, int]], ids: Sequence[str], images: Sequence[Example]
) -> NDArray[np.floating]:
    codes = [image.code for image in images]
    for id_, place in zip(ids, places, strict=True):
        code = index.code(*place)
        if code is None:
            problem = "has no embedding: its flags say why. Give the object_id of another"
            raise BadRequest(f"object {id_!r} {problem}")
        codes.append(code)
    return np.stack(codes)


def write_sheet(answer: Answer, wanted: Wanted, file: str, config: Path | None) -> None:
    """Write an answer as a contact sheet."""
    from pipeline.report.stamps import drawn  # noqa: PLC0415 - which loads torch
    from pipeline.similar import sheet  # noqa: PLC0415

    source = answer.source
    given = answer.examples
    pictures, gone = sheet.pictures_of(source, [*given, *answer.rows], config)
    order = band_order(source.record["config"]["survey"]["images"]["bands"])
    examples = [(str(row["object_id"]), picture) for row, picture in zip(given, pictures, strict=False)]
    for name, each in answer.images[:MOST_SHOWN]:
        buffer = io.BytesIO()
        Image.fromarray(drawn(each.stamp[None].copy(), order)[0]).save(buffer, "PNG")
        examples.append((name, buffer.getvalue()))
    cards = [
        (values, picture)
        for values, picture in zip(answer.table.to_pylist(), pictures[len(given) :], strict=True)
    ]
    name = source.record["config"]["survey"]["name"]
    of_all = "all objects with an embedding" if wanted.flagged else "objects that no flag explains"
    about = f"The {len(cards)} most similar of {of_all}. Similarity is the cosine between codes, seen from the mean of the release."
    sheet.write(file, f"{name}: similar objects", about, examples, cards, gone)
