"""A folder of JPEG, PNG or TIFF stamps and a table become a FITS release in `column` layout."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from catalogs import label_table
from catalogs.cleaning import centre
from catalogs.column_layout import survey_toml, table_hdu
from catalogs.errors import Fault, Refused, listed
from catalogs.framing import galaxy_frame
from catalogs.kept_columns import RENAMED, reserved
from catalogs.pictures import Look, Unfit, look, pixels

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from catalogs._types import Array
    from catalogs.label_table import LabelTable

COLOURS = {1: ["grey"], 3: ["r", "g", "b"]}
FITS = ("pad", "resize", "galaxy", "extent")
FRAMED = 88
"""Side of stamps that a galaxy fills, if none is given."""
SIDES = range(8, 1025)
"""Sides that a survey's stamps may have."""
SHARD_BYTES = 1 << 28
"""Of the stamps in a shard, which is made in memory, if no number of shards is given."""
SLICE_BYTES = 1 << 28
"""Of the float32 stamps in a slice where they are large."""
LARGE_ROW = 1 << 20
"""Bytes of a row of which a slice of the usual length would be refused."""
PREFIX = "label_"
"""Before the name of a label that the catalog has a column of its own for."""


@dataclass(frozen=True)
class Packed:
    """What was made."""

    rows: int
    side: int
    notes: list[str] = field(default_factory=list)
    """Notes for the user."""


def pack(
    labels: str | Path,
    directory: str | Path,
    shards: int | None = None,
    size: int | None = None,
    fit: str = "pad",
    taken: Collection[str] = (),
) -> Packed:
    """Make a FITS release of stamps that lie in files of their own.

    Parameters
    ----------
    labels : path
        CSV with a column `file`, paths relative to the CSV. A column `id` names the objects, else the files' stems do.
        All other columns are carried along; empty cells become null. See `catalogs.label_table`.
    directory : path
        Folder of the release; new or empty.
    shards : int, optional
        Catalog files; the rows are split evenly and keep their order. By default as few as hold 256 MiB of stamps each.
    size : int, optional
        Side of the stamps in pixels; by default the largest side among the images, and at most 88 where galaxies fill them.
    fit : {"pad", "resize", "galaxy", "extent"}
        What happens to images of another size: padded with zeros and cropped around their centre; resized with
        antialiasing to a square; or the square that the central galaxy fills is resized, see `catalogs.framing`; or they keep their pixels, to be measured in, and
        the square's side becomes the `extent` that a run encodes at `size`.
    taken : collection of str
        Names that the catalog will need beside those of `catalogs.inspect`: labels of these names get others there.

    Raises
    ------
    Refused
        If the table or an image can't be used, or the folder is not empty: with file, column, value and remedy.
    """
    # A name like . has no last part to call the release by.
    labels, directory = Path(labels), Path(os.path.abspath(directory))  # noqa: PTH100 - resolve follows links
    _refuse_options(labels, directory, fit)
    table = label_table.read(labels)
    rows = len(table.lines)
    if shards is not None and not 1 <= shards <= rows:
        problem = f"{shards} shards for {rows} rows"
        raise Refused([Fault(str(labels), problem, "Choose 1 to the number of rows")])
    renamed = _renamed(labels, table.columns, taken)
    files = [labels.parent / name for name in table.files]
    looks = _look_at_all(labels, files, table)
    largest = max(max(seen.width, seen.height) for seen in looks)
    side = _side(labels, largest, size, fit)
    stored = max(side, min(largest, SIDES[-1])) if fit == "extent" else side
    extent = _free_name("EXTENT", table.columns) if fit == "extent" else None
    # One type in all shards, also where only some images have more than 8 bits.
    dtype = np.float32 if any(seen.deep for seen in looks) else np.uint8
    empty = np.zeros((0, looks[0].bands, stored, stored), dtype)
    each = int(np.prod(empty.shape[1:])) * empty.itemsize
    pieces = np.array_split(np.arange(rows), shards or min(rows, -(-each * rows // SHARD_BYTES)))
    directory.parent.mkdir(parents=True, exist_ok=True)
    # A pack that fails leaves nothing behind: everything is made beside the folder and moved into place.
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as scratch:
        release = Path(scratch) / "release"
        (release / "catalogs").mkdir(parents=True)
        row_bytes = _write_shards(release / "catalogs", table, files, pieces, empty, fit, extent)
        text = survey_toml(
            directory.name,
            [str(name) for name in table.columns if name != "id"],
            COLOURS[looks[0].bands],
            side,
            # 8-bit pictures have been stretched for the eye already.
            "linear" if dtype == np.uint8 else "asinh",
            renamed=renamed,
            slice_rows=_slice_rows(max(4 * looks[0].bands * stored**2, row_bytes)),
            extent=None if extent is None else (extent, stored),
        )
        (release / "survey.toml").write_text(text, encoding="utf-8")
        if directory.exists():
            directory.rmdir()
        os.chmod(release, 0o755)  # noqa: PTH101, S103 - the scratch folder's own mode is private
        shutil.move(release, directory)
    return Packed(rows, side, [*table.notes, *_label_notes(renamed), *_fit_notes(looks, stored, fit)])


def _refuse_options(labels: Path, directory: Path, fit: str) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Refused([Fault(str(directory), "is not empty", "Choose a new folder")])
    if fit not in FITS:
        raise Refused([Fault(str(labels), f'fit = "{fit}" is unknown', f"Choose one of {', '.join(FITS)}")])


def _side(labels: Path, largest: int, size: int | None, fit: str) -> int:
    """Side of the stamps."""
    usual = min(largest, FRAMED) if fit in ("galaxy", "extent") else largest
    side = usual if size is None else size
    if side not in SIDES:
        problem = f"stamps of {side} pixels a side are not possible"
        remedy = f"Choose a size of {SIDES[0]} to {SIDES[-1]}: --size"
        raise Refused([Fault(str(labels), problem, remedy)])
    return side


def _write_shards(
    folder: Path,
    table: LabelTable,
    files: Sequence[Path],
    pieces: Sequence[Array],
    empty: Array,
    fit: str,
    extent: str | None,
) -> int:
    """Write the rows of each piece as a shard, with a column of extents if it has a name; answers the bytes of the longest row."""
    faults: list[Fault] = []
    longest = 0
    for number, rows in enumerate(pieces):
        stamps = np.zeros((len(rows), *empty.shape[1:]), empty.dtype)
        extents = [
            _into(stamp, files[row], int(table.lines[row]), fit, faults)
            for stamp, row in zip(stamps, rows, strict=True)
        ]
        if not faults:
            columns = table.columns.iloc[rows]
            columns = columns if extent is None else columns.assign(**{extent: np.array(extents, np.float32)})
            hdu = table_hdu(columns, stamps)
            hdu.writeto(folder / f"shard-{number:04d}.fits")
            longest = max(longest, int(hdu.header["NAXIS1"]))
    if faults:
        raise Refused(listed(faults, "images"))
    return longest


def _look_at_all(labels: Path, files: Sequence[Path], table: LabelTable) -> list[Look]:
    """All pictures' headers; where one is faulty, all pixels are read as well, so that the list of faults is complete."""
    faults: list[Fault] = []
    looks: list[Look] = []
    sound: list[int] = []
    for row, file in enumerate(files):
        try:
            looks.append(look(file))
            sound.append(row)
        except Unfit as error:
            faults.append(_fault(file, int(table.lines[row]), error))
    first = {seen.bands: files[row] for seen, row in zip(reversed(looks), reversed(sound), strict=True)}
    mixed = []
    if len(first) > 1:
        problem = f"mixes grey ({first[1]}) and colour ({first[3]}) images"
        mixed.append(Fault(str(labels), problem, "Pack them apart", "file"))
    if faults or mixed:
        for row in sound:
            try:
                pixels(files[row])
            except Unfit as error:
                faults.append(_fault(files[row], int(table.lines[row]), error))
        raise Refused([*listed(faults, "images"), *mixed])
    return looks


def _fault(file: Path, line: int, error: Unfit) -> Fault:
    return Fault(str(file), str(error), error.remedy, "file", f"line {line}")


def _into(stamp: Array, file: Path, line: int, fit: str, faults: list[Fault]) -> float:
    """Put one image into a stamp (band, y, x), y upwards as in FITS; what is wrong with it joins the faults. Answers the side that its galaxy fills, pixels of the stamp."""
    try:
        values = pixels(file)
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
        plane = Image.fromarray(values)
        values = np.asarray(plane.resize((side, side), Image.Resampling.LANCZOS, box=box))
    values = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    # An image file's first row is its top, a FITS image's is its bottom.
    centre(values[:, ::-1], stamp)
    return extent


def _free_name(name: str, columns: pd.DataFrame) -> str:
    """The name, or a longer one, that no column has in whatever case."""
    while name.lower() in {str(column).lower() for column in columns}:
        name += "_"
    return name


def _slice_rows(each: int) -> int | None:
    """Rows of a slice, where those of the usual number would take too much memory."""
    return max(1, SLICE_BYTES // each) if each > LARGE_ROW else None


def _renamed(labels: Path, columns: pd.DataFrame, taken: Collection[str]) -> dict[str, str]:
    """Other names of labels that the catalog has columns of its own for."""
    own = {name.lower() for name in taken}
    numbers = {
        str(name).lower()
        for name, column in columns.items()
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    }
    positions = {"ra", "dec"} if {"ra", "dec"} <= numbers else set()
    names = [str(name) for name in columns if name != "id"]
    used = {name.lower() for name in names} | own
    renamed: dict[str, str] = {}
    faults = []
    for name in names:
        if name.lower() in positions or not (reserved(name) or name.lower() in own):
            continue
        new = PREFIX + name
        while new.lower() in used:
            new += "_"
        if RENAMED.fullmatch(name):
            problem = "is a name that the catalog has a column of its own for, and its ` as ` renames nothing"
            faults.append(Fault(str(labels), problem, "Rename the column", name))
        used.add(new.lower())
        renamed[name] = new
    if faults:
        raise Refused(faults)
    return renamed


def _label_notes(renamed: dict[str, str]) -> list[str]:
    notes = [
        f"column {name} is called {new} in the catalog, which has a column {name.lower()} of its own"
        for name, new in renamed.items()
    ]
    if {"ra", "dec"} <= {name.lower() for name in renamed}:
        notes.append("ra and dec are no numbers: the catalog has no positions. Give them in degrees")
    return notes


def _fit_notes(looks: Sequence[Look], side: int, fit: str) -> list[str]:
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
    return notes
