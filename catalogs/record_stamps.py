"""Stamps from records and lists in nested columns, with the weights and masks that lie beside their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs import masks, weights
from catalogs.cleaning import centre, clean
from catalogs.encoded_stamps import is_encoded
from catalogs.errors import CorruptFile, Fault
from catalogs.records import BAND, IMAGE, Entries, fields_of, is_list, leaf_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalogs._types import Array, Floats, Integers
    from catalogs.survey import Images

__all__ = ["from_records", "record_faults", "shape_faults"]


def from_records(
    layout: Images, rows: pa.Table, stamps: Floats, flags: Integers, noise: Floats | None, negative: Integers
) -> None:
    """Fill in the stamps of some catalog rows, as `catalogs.stamps.stamps_of` has them; an object without pixels is flagged.

    Raises
    ------
    CorruptFile
        If records have not as many images as bands.
    """
    images = _entries(layout, rows)
    for b in range(len(layout.bands)):
        shapes = images.shapes(_field(layout), b)
        for shape in np.unique(shapes, axis=0):
            which = np.flatnonzero((shapes == shape).all(axis=1))
            if not shape.all():
                nothing = np.full((len(which), 1, 1), np.nan, np.float32)
                flags[which] |= clean(nothing, layout)
                continue
            with np.errstate(over="ignore"):
                planes = np.array(images.pixels(_field(layout), b, which), np.float32, order="C")
            own, theirs = _beside(layout, images, b, which, shape)
            if own is not None:
                planes[own] = np.nan
            sigma = None
            if layout.weight is not None and theirs is not None:
                sigma, below = weights.noise_of(theirs, layout.weight.kind)
                negative[which] += below
            flags[which] |= clean(planes, layout, noise=sigma)
            target = np.zeros((len(which), *stamps.shape[2:]), np.float32)
            centre(planes, target)
            stamps[which, b] = target
            if sigma is not None and noise is not None:
                target = np.zeros_like(target)
                centre(sigma, target)
                noise[which, b] = target


def _beside(
    layout: Images, images: Entries, b: int, which: Integers, shape: Integers
) -> tuple[Array | None, Array | None]:
    """Which pixels of some objects are bad, and their weights; where those are of another shape, no pixel is known."""
    bad = theirs = None
    for plane in layout.planes.values():
        field = str(plane.column)
        fits = (images.shapes(field, b)[which] == shape).all(axis=1)
        values = np.zeros((len(which), *shape), np.float64)
        if fits.any():
            values[fits] = images.pixels(field, b, which[fits])
        if plane is layout.mask:
            bits = masks.bits_of(layout.mask, None)
            bad = masks.are_bad(layout.mask, values, bits)
            bad |= np.isnan(values)
            bad[~fits] = True
        else:
            theirs = values
    return bad, theirs


def _entries(layout: Images, rows: pa.Table) -> Entries:
    try:
        planes = [str(plane.column) for plane in layout.planes.values()] if layout.layout == "column" else []
        beside = {name: rows[name] for name in planes}
        return Entries(rows[str(layout.column)], layout.bands, beside)
    except ValueError as error:
        raise CorruptFile(f"column {layout.column!r}: a record {error}. Correct the catalog.") from error


def _field(layout: Images) -> str:
    return layout.field if layout.layout == "struct" else IMAGE


def record_faults(layout: Images, url: str, schema: pa.Schema) -> list[Fault]:
    """Columns that hold no records, or records without the fields that the config names."""
    column = str(layout.column)
    kind = schema.field(column).type
    fields = fields_of(kind)
    if fields is None:
        remedy = 'Use layout = "column", or name a column of records'
        return [Fault(url, f"holds no records of images, but {_short(kind)}", remedy, column)]
    wanted: Mapping[str, str] = {
        "field": layout.field,
        **{f"{name}.column": str(plane.column) for name, plane in layout.planes.items()},
    }
    faults = []
    if BAND not in fields:
        faults.append(Fault(url, f"its records have no field {BAND!r}", "Choose another column", column))
    for key, name in wanted.items():
        remedy = f"Correct [survey.images.{key}]" if "." in key else f"Correct [survey.images] {key}"
        if name not in fields:
            problem = f"its records have no field {name!r}"
            faults.append(Fault(url, problem, f"{remedy}: there are {', '.join(fields)}", column))
        elif key == "mask.column" and pa.types.is_floating(leaf_of(fields[name])):
            problem = f"the mask {name!r} is of {leaf_of(fields[name])}, not of bits"
            faults.append(Fault(url, problem, remedy, column))
        elif not is_list(fields[name]):
            problem = f"{name!r} of its records holds {_short(fields[name])}, not lists of pixels"
            faults.append(Fault(url, problem, remedy, column))
    return faults


def shape_faults(layout: Images, url: str, rows: pa.Table) -> list[Fault]:
    """What is wrong with the images of a few rows: bands that none has, lists that are no images, planes of other shapes."""
    column = str(layout.column)
    if layout.planes and is_encoded(rows.schema.field(column).type):
        problem = "holds files, beside which there are no weights and masks"
        return [Fault(url, problem, f"Leave [survey.images.{next(iter(layout.planes))}] out", column)]
    try:
        images = _entries(layout, rows)
    except CorruptFile as error:
        problem = str(error).split(": ", 1)[1].removesuffix(". Correct the catalog.")
        return [Fault(url, problem, "Correct the catalog", column)]
    if images.problem is not None:
        return [
            Fault(url, images.problem, "Correct the catalog, or [survey.images] column and bands", column)
        ]
    faults = []
    for b, band in enumerate(layout.bands):
        missing = images.missing(b)
        if missing.all():
            if layout.layout == "struct":
                problem = f"none of {rows.num_rows} records that were looked at has the band {band!r}"
                remedy = f"Correct [survey.images] bands: there are {', '.join(images.names())}"
            else:
                problem = f"none of {rows.num_rows} lists that were looked at has {len(layout.bands)} bands"
                remedy = "Check [survey.images] column and bands"
            faults.append(Fault(url, problem, remedy, column))
            continue
        shapes = images.shapes(_field(layout), b)
        uneven = np.flatnonzero(~missing & ~shapes.all(axis=1))
        if len(uneven):
            problem = f"the pixels of band {band!r} in row {uneven[0]} are lists of uneven length"
            faults.append(Fault(url, problem, "Correct the catalog", column))
            continue
        for name, plane in layout.planes.items():
            other = images.shapes(str(plane.column), b)
            if (differ := np.flatnonzero((other != shapes).any(axis=1) & ~missing)).size:
                said = [f"{x} x {y}" for y, x in (other[differ[0]], shapes[differ[0]])]
                problem = f"the {name} of band {band!r} in row {differ[0]} has {said[0]} pixels, but the image {said[1]}"
                faults.append(Fault(url, problem, f"Correct [survey.images.{name}] column", column))
    return faults


def _short(kind: pa.DataType) -> str:
    text = str(kind)
    return text if len(text) < 60 else f"{text[:60]}…"
