"""Look at the extents of a release's objects before any work starts: how many are unknown or clipped, and how large its stamps are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs import computed, storage, where
from catalogs.errors import Fault, Refused, grouped
from catalogs.extents import ExtentCounts, extents_of, sides
from catalogs.inspect_rows import may_be_looked_at, steps

if TYPE_CHECKING:
    from catalogs._types import Integers
    from catalogs.release import Release
    from catalogs.slices import Shard
    from catalogs.survey import Survey

__all__ = ["expression_fault", "look_at_extents", "scale_fault", "with_extents"]

FIELD = "[survey.images] extent"
ANGLES = {"arcsec", "arcsecond", "arcseconds", "asec", "arcmin", "deg", "degree", "degrees", "mas", "rad"}
PIXELS = {"pix", "pixel", "pixels", "px"}
"""Units as catalogs spell them, in lower case."""


def expression_fault(survey: Survey, columns: pa.Schema | None = None) -> Fault | None:
    """What is wrong with the expression by itself, or for columns of these types."""
    extent = survey.images.extent
    if extent is None:
        return None
    try:
        computed.columns_of(extent) if columns is None else computed.check(extent, columns)
    except where.BadCondition as error:
        remedy = "Write one SQL expression over the catalog's own columns, such as 6 * FLUX_RADIUS"
        return Fault(FIELD, str(error).rstrip("."), remedy, None, extent)
    return None


def scale_fault(release: Release) -> Fault | None:
    """Arcsec cannot become pixels where nobody knows the scale before the run."""
    layout = release.survey.images
    if layout.extent is None or layout.extent_unit == "pix" or release.pixel_scale is not None:
        return None
    problem = "the pixel scale is in the images, and this release is too large for a plan to look at them"
    return Fault("[survey.images] extent_unit", problem, "Give pixel_scale in arcsec", None, '"arcsec"')


def look_at_extents(release: Release, slice_rows: int) -> tuple[ExtentCounts | None, list[str]]:
    """Look at every row of a release with extents, and say what is to be minded; None where there are too many rows.

    Raises
    ------
    Refused
        If the expression fails on some rows, or gives no object an extent.
    """
    layout = release.survey.images
    if layout.extent is None:
        return None, []
    if not may_be_looked_at([shard.table for shard in release.shards], _columns(release)):
        return None, []
    answers = storage.parallel(lambda shard: _looked(release, shard, slice_rows), release.shards)
    if faults := [answer for answer in answers if isinstance(answer, Fault)]:
        raise Refused(grouped(faults))
    found = [answer for answer in answers if isinstance(answer, ExtentCounts)]
    total = ExtentCounts(
        {side: sum(shard.sides.get(side, 0) for shard in found) for side in sides(layout)},
        sum(shard.unknown for shard in found),
        sum(shard.clipped for shard in found),
        max(shard.largest_slice for shard in found),
    )
    if total.unknown == total.objects:
        problem = f"gives none of {total.objects:,} objects a positive number"
        raise Refused([Fault(FIELD, problem, "Correct it, or leave it out", None, layout.extent)])
    return total, _notes(release, total)


def _notes(release: Release, total: ExtentCounts) -> list[str]:
    layout = release.survey.images
    larger = {side: count for side, count in total.sides.items() if side > layout.size and count}
    shown = ", ".join(f"{count:,} of {side} px" for side, count in larger.items()) or "none"
    notes = [
        f"Stamps larger than {layout.size} px, by [survey.images] extent: {shown}, of {total.objects:,}."
    ]
    notes += _unit_notes(release)
    if total.unknown:
        notes.append(
            f"{total.unknown:,} objects have no extent that is a positive number: their stamps are of {layout.size} px, flagged no_extent."
        )
    if total.clipped:
        notes.append(
            f"{total.clipped:,} objects have extents larger than {layout.largest_extent} px, which they are clipped to ([survey.images] extent_limit)."
        )
    return notes


def _unit_notes(release: Release) -> list[str]:
    """Columns of lengths in another unit than the extents': the expression may convert them, or not."""
    layout = release.survey.images
    other = ANGLES if layout.extent_unit == "pix" else PIXELS
    units = {
        name: (release.columns.field(name).metadata or {}).get(b"unit", b"").decode()
        for name in computed.columns_of(str(layout.extent))
    }
    return [
        f"Column {name!r} has the unit {unit!r}; the extent is taken to be in {layout.extent_unit} ([survey.images] extent_unit)."
        for name, unit in units.items()
        if unit.strip().lower() in other
    ]


def _columns(release: Release) -> list[str]:
    survey = release.survey
    condition = where.columns_of(survey.where) if survey.where is not None else []
    return list(dict.fromkeys([survey.id, *computed.columns_of(str(survey.images.extent)), *condition]))


def _looked(release: Release, shard: Shard, slice_rows: int) -> ExtentCounts | Fault:
    table, layout, names = shard.table, release.survey.images, _columns(release)
    counts: dict[int, int] = {}
    unknown = clipped = 0
    slices = np.zeros(-(-table.rows // slice_rows), np.int64)
    for start, stop in steps(table, names):
        rows = table.read(start, stop, names)
        selected = release.selected_rows(rows)
        try:
            extents = extents_of(layout, rows.filter(pa.array(selected)), release.pixel_scale)
        except where.BadCondition as error:
            return Fault(table.url, str(error), f"Correct {FIELD}", None, layout.extent)
        for side, count in zip(*np.unique(extents.side, return_counts=True), strict=True):
            counts[int(side)] = counts.get(int(side), 0) + int(count)
        unknown, clipped = unknown + int(extents.unknown.sum()), clipped + int(extents.clipped.sum())
        piece: Integers = (start + np.flatnonzero(selected)) // slice_rows
        np.add.at(slices, piece, extents.side.astype(np.int64) ** 2)
    return ExtentCounts(counts, unknown, clipped, int(slices.max(initial=0)))


def with_extents(release: Release, slice_rows: int) -> Release:
    """The release with what its rows say of extents, and the notes on them; see `look_at_extents`."""
    looked, notes = look_at_extents(release, slice_rows)
    return replace(release, extents=looked, notes=(*release.notes, *notes))
