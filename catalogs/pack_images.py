"""The images that `catalogs.pack` packs: pictures or FITS cutouts, looked at, fitted into stamps, and what is lost on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from catalogs import cutouts, pictures
from catalogs.cleaning import centre
from catalogs.cutouts import Cutout
from catalogs.errors import Fault, Refused, listed
from catalogs.framing import galaxy_frame
from catalogs.pictures import Look, Unfit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from catalogs._types import Array
    from catalogs.label_table import LabelTable

__all__ = ["ENDINGS", "bands_of", "fit_notes", "into", "is_fits", "look_at_all", "pixel_scale"]

COLOURS = {1: ["grey"], 3: ["r", "g", "b"]}
FITS_NAMES = tuple(
    f"{name}{packed}" for name in (".fits", ".fit", ".fts") for packed in ("", ".gz", ".bz2", ".xz", ".fz")
)
ENDINGS = (*FITS_NAMES, ".jpg", ".jpeg", ".png", ".tif", ".tiff")
"""Of images in a folder without a table, small letters."""
ALIKE = 0.02
"""Pixel scales that differ by less, of the largest, are one."""


def look_at_all(
    labels: Path, files: Sequence[Path], table: LabelTable, bands: Sequence[str] | None
) -> Sequence[Look]:
    """The headers of all images; where one is faulty, all pixels are read as well, so that the list of faults is complete.

    Raises
    ------
    Refused
        If an image can't be a stamp, or they have not all the same bands.
    """
    faults: list[Fault] = []
    looks: list[Look] = []
    sound: list[int] = []
    for row, file in enumerate(files):
        try:
            looks.append(_look(file, bands))
            sound.append(row)
        except Unfit as error:
            faults.append(_fault(file, int(table.lines[row]), error))
    first: dict[str, Path] = {}
    for seen, row in zip(looks, sound, strict=True):
        first.setdefault(_kind(seen), files[row])
    mixed = []
    if len(first) > 1:
        (one, its), (other, others) = list(first.items())[:2]
        problem = f"mixes {one} ({its}) and {other} ({others}) images"
        mixed.append(Fault(str(labels), problem, "Pack them apart", "file"))
    if faults or mixed:
        for row in sound:
            try:
                _pixels(files[row], bands)
            except Unfit as error:
                faults.append(_fault(files[row], int(table.lines[row]), error))
        raise Refused([*listed(faults, "images"), *mixed])
    return looks


def bands_of(seen: Look) -> list[str]:
    """Names of the bands of an image."""
    return list(seen.names) if isinstance(seen, Cutout) else COLOURS[seen.bands]


def pixel_scale(looks: Sequence[Look]) -> float | None:
    """Side of a pixel, arcsec, where all images are FITS and agree on it."""
    scales = [seen.scale if isinstance(seen, Cutout) and seen.scale else np.nan for seen in looks]
    least, most = np.min(scales), np.max(scales)
    return float(np.median(scales)) if most - least <= ALIKE * most else None


def into(
    stamp: Array, file: Path, line: int, fit: str, faults: list[Fault], bands: Sequence[str] | None
) -> float:
    """Put one image into a stamp (band, y, x), y upwards as in FITS; what is wrong with it joins the faults. Answers the side that its galaxy fills, pixels of the stamp."""
    try:
        values = _pixels(file, bands)
    except Unfit as error:
        faults.append(_fault(file, line, error))
        return 0.0
    if faults:
        return 0.0  # nothing will be written: only what else is wrong counts
    extent = float(stamp.shape[-1])
    if fit == "extent":
        left, _, right, _ = galaxy_frame(values)
        extent = right - left
    side = stamp.shape[-1]
    height, width = values.shape[:2]
    if fit == "galaxy" or (fit == "resize" and (height, width) != (side, side)):
        box = galaxy_frame(values) if fit == "galaxy" else (0, 0, width, height)
        values = _resized(values, side, box)
    values = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    # An image file's first row is its top, a FITS image's is its bottom.
    centre(values[:, ::-1], stamp)
    return extent


def _resized(values: Array, side: int, box: tuple[float, float, float, float]) -> Array:
    """A box of an image, (y, x) or (y, x, band), as a square; of floats band by band, as Pillow has them."""
    planes = [values] if values.ndim == 2 or values.dtype == np.uint8 else list(np.moveaxis(values, -1, 0))
    size, by = (side, side), Image.Resampling.LANCZOS
    made = [
        np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, by, box=box)) for plane in planes
    ]
    return made[0] if len(made) == 1 and values.ndim == made[0].ndim else np.stack(made, axis=-1)


def _look(file: Path, bands: Sequence[str] | None) -> Look:
    return cutouts.look(file, bands) if is_fits(file) else pictures.look(file)


def _pixels(file: Path, bands: Sequence[str] | None) -> Array:
    return cutouts.pixels_of(file, bands) if is_fits(file) else pictures.pixels(file)


def is_fits(file: Path) -> bool:
    """Whether a file's name says that it is FITS."""
    return file.name.lower().endswith(FITS_NAMES)


def _kind(seen: Look) -> str:
    """What images have to have in common."""
    if isinstance(seen, Cutout):
        return f"FITS {', '.join(seen.names)}"
    return "grey" if seen.bands == 1 else "colour"


def _fault(file: Path, line: int, error: Unfit) -> Fault:
    if not line:  # no table names it
        return Fault(str(file), str(error), error.remedy)
    return Fault(str(file), str(error), error.remedy, "file", f"line {line}")


def fit_notes(looks: Sequence[Look], side: int, fit: str) -> list[str]:
    """What becomes of pictures that are not of the stamps' size, and of those behind the first in an MPO."""
    notes, of_all = [], f"of {len(looks):,} pictures"
    cut = sum(max(seen.width, seen.height) > side for seen in looks)
    if fit in ("pad", "extent") and cut:
        problem = f"{cut:,} {of_all} are larger than {side} pixels"
        notes.append(f"{problem}: their borders are cut off. --fit resize keeps the whole picture")
    skew = sum(seen.width != seen.height for seen in looks)
    if fit == "resize" and skew:
        notes.append(f"{skew:,} {of_all} are not square, and were stretched to be")
    several = sum(seen.several for seen in looks)
    if several:
        notes.append(
            f"{several:,} {of_all} are MPO: the first picture of each was taken, not what is behind it"
        )
    left_out = sorted({name for seen in looks if isinstance(seen, Cutout) for name in seen.left_out})
    if left_out:
        notes.append(
            f"HDUs that are no light were left out: {', '.join(left_out)}. --bands names those to take"
        )
    return notes
