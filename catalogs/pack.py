"""A folder of JPEG, PNG, TIFF or FITS stamps, and maybe a table, become a FITS release in `column` layout."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from catalogs import label_table
from catalogs.column_layout import survey_toml, table_hdu
from catalogs.cutouts import Cutout
from catalogs.errors import Fault, Refused, listed
from catalogs.kept_columns import RENAMED, reserved
from catalogs.pack_images import ENDINGS, bands_of, fit_notes, into, is_fits, look_at_all, pixel_scale

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from catalogs._types import Array
    from catalogs.label_table import LabelTable
    from catalogs.pictures import Look

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
    bands: Sequence[str] | None = None,
) -> Packed:
    """Make a FITS release of stamps that lie in files of their own.

    Parameters
    ----------
    labels : path
        CSV with a column `file`, paths relative to the CSV. A column `id` names the objects, else the files' stems do.
        All other columns are carried along; empty cells become null. See `catalogs.label_table`. Or a folder: all images in it, without labels.
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
    bands : sequence of str, optional
        Of FITS cutouts, see `catalogs.cutouts.look`.

    Raises
    ------
    Refused
        If the table or an image can't be used, or the folder is not empty: with file, column, value and remedy.
    """
    # A name like . has no last part to call the release by.
    labels, directory = Path(labels), Path(os.path.abspath(directory))  # noqa: PTH100 - resolve follows links
    _refuse_options(labels, directory, fit)
    table = label_table.of_folder(labels, ENDINGS) if labels.is_dir() else label_table.read(labels)
    rows = len(table.lines)
    if shards is not None and not 1 <= shards <= rows:
        problem = f"{shards} shards for {rows} rows"
        raise Refused([Fault(str(labels), problem, "Choose 1 to the number of rows")])
    files = [(labels if labels.is_dir() else labels.parent) / name for name in table.files]
    looks = look_at_all(labels, files, table, bands)
    table = _with_positions(table, looks)
    renamed = _renamed(labels, table.columns, taken)
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
        row_bytes = _write_shards(release / "catalogs", table, files, pieces, empty, fit, extent, bands)
        text = survey_toml(
            directory.name,
            [str(name) for name in table.columns if name != "id"],
            bands_of(looks[0]),
            side,
            # 8-bit pictures have been stretched for the eye already.
            "linear" if dtype == np.uint8 else "asinh",
            renamed=renamed,
            slice_rows=_slice_rows(max(4 * looks[0].bands * stored**2, row_bytes)),
            extent=None if extent is None else (extent, stored),
            pixel_scale=pixel_scale(looks) if fit in ("pad", "extent") else None,
        )
        (release / "survey.toml").write_text(text, encoding="utf-8")
        if directory.exists():
            directory.rmdir()
        os.chmod(release, 0o755)  # noqa: PTH101, S103 - the scratch folder's own mode is private
        shutil.move(release, directory)
    return Packed(rows, side, [*table.notes, *_label_notes(renamed), *fit_notes(looks, stored, fit)])


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
    bands: Sequence[str] | None,
) -> int:
    """Write the rows of each piece as a shard, with a column of extents if it has a name; answers the bytes of the longest row."""
    faults: list[Fault] = []
    longest = 0
    # Beyond a picture is black; beyond a cutout nobody has looked, and its sky need not be zero.
    beyond = np.nan if is_fits(files[0]) else 0
    for number, rows in enumerate(pieces):
        stamps = np.full((len(rows), *empty.shape[1:]), beyond, empty.dtype)
        extents = [
            into(stamp, files[row], int(table.lines[row]), fit, faults, bands)
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


def _with_positions(table: LabelTable, looks: Sequence[Look]) -> LabelTable:
    """The table with right ascension and declination from the cutouts' WCS, where it has none and all of them do."""
    found = [seen.position if isinstance(seen, Cutout) else None for seen in looks]
    if None in found or {str(name).lower() for name in table.columns} & {"ra", "dec"}:
        return table
    ra, dec = np.array(found).T
    return replace(table, columns=table.columns.assign(ra=ra, dec=dec))


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
