"""How much of the sky an object's stamp covers: `[survey.images] extent`, and stamps of several sides in one column."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from catalogs import computed
from catalogs.errors import CorruptFile
from catalogs.flags import Flag
from catalogs.stamps import stamps_of
from catalogs.where import BadCondition

if TYPE_CHECKING:
    from catalogs._types import Bools, Floats, Integers
    from catalogs.identity import Watched
    from catalogs.survey import Images, Survey

__all__ = ["EXTENT_FIELDS", "ExtentCounts", "Extents", "extents_of", "sides", "stamps_by_extent"]

EXTENT_FIELDS = (
    pa.field(
        "stamp_side",
        pa.int32(),
        metadata={"unit": "pix", "ucd": "phys.size", "description": "side of the stamp that is measured"},
    ),
    pa.field(
        "stamp_extent",
        pa.float32(),
        metadata={"unit": "pix", "ucd": "phys.size", "description": "side of the square that is encoded"},
    ),
)
"""Columns of objects whose stamps have extents."""


@dataclass(frozen=True)
class Extents:
    """Of some objects."""

    extent: Floats
    """(n,) float32: side of the square that an object's stamp covers, pixels; `size` where it is smaller or unknown."""
    side: Integers
    """(n,) int32: side of the stamp that is cut, the least of `sides` that holds the window about the extent."""
    unknown: Bools
    """(n,): there is no extent."""
    clipped: Bools
    """(n,): it is larger than the limit."""


@dataclass(frozen=True)
class ExtentCounts:
    """What is known of a release's extents from its rows."""

    sides: dict[int, int]
    """Side of stamps, pixels, and how many objects have one."""
    unknown: int
    clipped: int
    largest_slice: int
    """Pixels of all stamps of one band in the slice that has most of them."""

    @property
    def objects(self) -> int:
        """All that are selected."""
        return sum(self.sides.values())

    @property
    def pixels(self) -> float:
        """Of a stamp in one band, the mean."""
        return sum(side**2 * count for side, count in self.sides.items()) / max(1, self.objects)


def sides(layout: Images) -> list[int]:
    """Sides that stamps are cut with, ascending: few, so that those of one side are cut, measured and filled together.

    About 1, 1.5, 2, 3, 4, 6, 8 and so on times `size`, up to what holds the largest window. All are even, or all odd: then the smaller one is the middle of the larger.
    """
    found, ratio = [layout.size], 1.0
    while found[-1] < layout.largest_window:
        ratio = 1.5 * 2 ** (len(found) // 2) if len(found) % 2 else 2.0 ** (len(found) // 2)
        wanted = min(layout.size * ratio, layout.largest_window)
        found.append(layout.size + 2 * int(np.ceil((wanted - layout.size) / 2)))
    return found


def extents_of(layout: Images, rows: pa.Table, pixel_scale: float | None) -> Extents:
    """Extents of catalog rows; `pixel_scale` is needed where they are in arcsec.

    Raises
    ------
    BadCondition
        If the expression fails on these rows.
    """
    assert layout.extent is not None
    found = computed.numbers(layout.extent, rows)
    scale = pixel_scale if layout.extent_unit == "arcsec" else 1.0
    assert scale is not None, "the plan has refused it"
    with np.errstate(over="ignore"):  # what is infinite then is clipped
        pixels = found / scale
        window = layout.extent_window * pixels
    unknown = ~(np.isfinite(found) & (found > 0))
    clipped = ~unknown & (pixels > layout.largest_extent)
    extent = np.where(unknown, layout.size, pixels).clip(layout.size, layout.largest_extent)
    extent = extent.astype(np.float32)
    window = np.where(unknown, layout.size, window).clip(extent, layout.largest_window)
    steps = np.array(sides(layout), np.int32)
    return Extents(extent, steps[np.searchsorted(steps, window)], unknown, clipped)


def stamps_by_extent(
    survey: Survey, rows: pa.Table, folder: str, watched: Watched | None, pixel_scale: float | None
) -> tuple[dict[str, pa.Array], Integers]:
    """Read the stamps of some catalog rows, each as large as its extent needs.

    Parameters
    ----------
    survey, rows, folder, watched
        See `catalogs.stamps.stamps_of`.
    pixel_scale : float, optional
        Arcsec a pixel.

    Returns
    -------
    columns : dict of str to Arrow array
        Those of `EXTENT_FIELDS`, and `stamp`: lists of float32, (band, side, side); where there are weight maps, `stamp_noise` like it;
        where there are segmentation maps, `stamp_owners`: lists of uint8, (side, side).
    flags : (n,) int32
        Bits of `Flag` that concern pixels and extents.

    Raises
    ------
    CorruptFile
        As `catalogs.stamps.stamps_of`, or if the extent cannot be computed.
    """
    layout = survey.images
    try:
        extents = extents_of(layout, rows, pixel_scale)
    except BadCondition as error:
        raise CorruptFile(f"[survey.images] extent {error}. Correct it, or the catalog.") from error
    flags = np.where(extents.unknown, np.int32(Flag.NO_EXTENT), np.int32(0))
    pixels, offsets = dict[str, Any](), dict[str, Any]()
    for side in np.unique(extents.side).tolist() or [layout.size]:  # no objects have columns too
        which = np.flatnonzero(extents.side == side)
        found = stamps_of(_of_side(survey, side), rows.take(which), folder, watched)
        flags[which] |= _of_extents(found.stamps, found.flags, extents.extent[which])
        for name, planes in found.planes.items():
            if name not in pixels:
                each = math.prod(planes.shape[1:]) // side**2 * extents.side.astype(np.int64) ** 2
                offsets[name] = np.concatenate([[0], np.cumsum(each)])
                pixels[name] = np.empty(offsets[name][-1], planes.dtype)
            for row, plane in zip(which, planes, strict=True):
                pixels[name][offsets[name][row] : offsets[name][row + 1]] = plane.reshape(-1)
    columns: dict[str, Any] = {
        "stamp_side": pa.array(extents.side),
        "stamp_extent": pa.array(extents.extent),
    }
    for name, values in pixels.items():
        columns[name] = pa.LargeListArray.from_arrays(pa.array(offsets[name]), pa.array(values))
    return columns, flags


def _of_side(survey: Survey, side: int) -> Survey:
    """The same release with stamps of one side."""
    return survey.model_copy(update={"images": survey.images.model_copy(update={"size": side})})


def _of_extents(stamps: Floats, flags: Integers, extent: Floats) -> Integers:
    """Flags of stamps: where the square that will be encoded is wholly off the image, that is what counts, though the window is not."""
    found, side = flags.copy(), stamps.shape[-1]
    for i in np.flatnonzero(flags & Flag.EDGE):
        margin = int((side - extent[i]) / 2)
        square = stamps[i, :, margin : side - margin, margin : side - margin]
        if not square.any():
            found[i] ^= Flag.EDGE | Flag.OFF_IMAGE
    return found
