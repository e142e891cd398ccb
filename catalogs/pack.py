"""A folder of JPEG, PNG or TIFF stamps and a table become a FITS release in `column` layout."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from catalogs.cleaning import centre
from catalogs.column_layout import STAMPS, survey_toml, table_hdu
from catalogs.errors import Fault, Refused
from catalogs.framing import galaxy_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs._types import Array

COLOURS = {1: ["grey"], 3: ["r", "g", "b"]}
DEEP = {"F", "I", "I;16", "I;16B", "I;16L"}
"""Pillow's modes of more than 8 bits, all grey."""
SHOWN = 20
FITS = ("pad", "resize", "galaxy")
FRAMED = 88
"""Side of stamps that a galaxy fills, if none is given."""
SIDES = range(8, 1025)
"""Sides that a survey's stamps may have."""


def pack(
    labels: str | Path,
    directory: str | Path,
    shards: int = 1,
    size: int | None = None,
    fit: str = "pad",
) -> None:
    """Make a FITS release of stamps that lie in files of their own.

    Parameters
    ----------
    labels : path
        CSV with a column `file`, paths relative to the CSV. A column `id` names the objects, else the files' stems do.
        All other columns are carried along; empty cells become null.
    directory : path
        Folder of the release; new or empty.
    shards : int
        Catalog files; the rows are split evenly and keep their order.
    size : int, optional
        Side of the stamps in pixels; by default the largest side among the images.
    fit : {"pad", "resize", "galaxy"}
        What happens to images of another size: padded with zeros and cropped around their centre; resized with
        antialiasing to a square; or the square that the central galaxy fills is resized, see `catalogs.framing`.

    Raises
    ------
    Refused
        If the table or an image can't be used, or the folder is not empty: with file, column, value and remedy.
    """
    labels, directory = Path(labels), Path(directory)
    table = _read_labels(labels)
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise Refused([Fault(str(directory), "is not empty", "Choose a new folder")])
    if not 1 <= shards <= len(table):
        raise Refused(
            [Fault(str(labels), f"{shards} shards for {len(table)} rows", "Choose 1 to the number of rows")]
        )
    if fit not in FITS:
        raise Refused([Fault(str(labels), f'fit = "{fit}" is unknown', f"Choose one of {', '.join(FITS)}")])
    files = [labels.parent / name for name in table["file"]]
    bands, largest, deep = _look_at_images(labels, files)
    side = min(largest, FRAMED) if fit == "galaxy" else largest
    side = side if size is None else size
    if side not in SIDES:
        problem = f"stamps of {side} pixels a side are not possible"
        raise Refused([Fault(str(labels), problem, f"Choose a size of {SIDES[0]} to {SIDES[-1]}")])
    directory.parent.mkdir(parents=True, exist_ok=True)
    # A pack that fails leaves nothing behind: everything is made beside the folder and moved into place.
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as scratch:
        made = Path(scratch) / "release"
        (made / "catalogs").mkdir(parents=True)
        for number, rows in enumerate(np.array_split(np.arange(len(table)), shards)):
            # One type in all shards, also where only some images have more than 8 bits.
            stamps = np.empty((len(rows), bands, side, side), np.float32 if deep else np.uint8)
            for stamp, row in zip(stamps, rows, strict=True):
                stamp[:] = _stamp(files[row], bands, side, fit)
            shard = made / "catalogs" / f"shard-{number:04d}.fits"
            # 8-bit pictures have been stretched for the eye already.
            stretch = "linear" if stamps.dtype == np.uint8 else "asinh"
            table_hdu(table.iloc[rows].drop(columns="file"), stamps).writeto(shard)
        kept = [name for name in table.columns if name not in {"file", "id"}]
        (made / "survey.toml").write_text(
            survey_toml(directory.name, kept, COLOURS[bands], side, stretch), encoding="utf-8"
        )
        if directory.exists():
            directory.rmdir()
        os.chmod(made, 0o755)  # noqa: PTH101, S103 - the scratch folder's own mode is private
        shutil.move(made, directory)


def _read_labels(labels: Path) -> pd.DataFrame:
    remedy = "Give a CSV with a header line and a column `file`"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header
            # As text: pandas' own guess turns the id 007 into 7, and rounds long integers beside empty cells.
            table = pd.read_csv(labels, dtype=str, index_col=False)
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        raise Refused([Fault(str(labels), f"cannot be read as CSV ({error})", remedy)]) from error
    if "file" not in table.columns:
        there = ", ".join(map(str, table.columns))
        raise Refused([Fault(str(labels), f"has no such column; there are: {there}", remedy, "file")])
    if table.empty:
        raise Refused([Fault(str(labels), "has no row", remedy)])
    missing = np.flatnonzero(table["file"].isna())
    if len(missing):
        raise Refused([Fault(str(labels), f"line {missing[0] + 2} names no file", "Fill it in", "file")])
    if "id" not in table.columns:
        table.insert(0, "id", [Path(name).stem for name in table["file"]])
    _refuse_names(labels, [str(name) for name in table.columns if name != "file"])
    nameless = np.flatnonzero(table["id"].isna())
    if len(nameless):
        raise Refused([Fault(str(labels), f"line {nameless[0] + 2} has no id", "Fill it in", "id")])
    for name in table.columns.drop("file"):
        table[name] = _typed(table[name])
    twice = [value for value, count in Counter(table["id"]).items() if count > 1]
    if twice:
        problem = f"stands more than once ({len(twice)} such ids)"
        raise Refused([Fault(str(labels), problem, "An id names one object", "id", repr(twice[0]))])
    return table


def _refuse_names(labels: Path, names: Sequence[str]) -> None:
    """FITS column names are ASCII and, like SQL's, the same in capitals; IMAGE holds the stamps."""
    remedy = "Rename the column"
    faults = [Fault(str(labels), "is not plain ASCII", remedy, name) for name in names if not name.isascii()]
    seen = {STAMPS.lower(): f"{STAMPS}, the stamps' own column"}
    for name in names:
        if name.lower() in seen:
            problem = f"is in FITS and SQL the same as {seen[name.lower()]}"
            faults.append(Fault(str(labels), problem, remedy, name))
        seen.setdefault(name.lower(), name)
    if faults:
        raise Refused(faults)


def _typed(cells: pd.Series) -> pd.Series:
    """A column of text as truth values, integers, floats or text, whichever keeps every cell.

    Decided on the whole table, so that all shards have the same types.
    """
    known = cells.dropna()
    if known.empty:
        return cells.astype(np.float64)
    if len(known) == len(cells) and known.isin(["True", "False"]).all():
        return cells == "True"
    # A leading zero is part of a name (plate 0123), and so is an integer that 64 bits can't hold.
    if known.str.fullmatch(r"[+-]?(0|[1-9][0-9]*)").all():
        numbers = [None if pd.isna(cell) else int(cell) for cell in cells]
        fits_in = all(number is None or abs(number) < 2**63 for number in numbers)
        return pd.Series(numbers, dtype="Int64" if len(known) < len(cells) else "int64") if fits_in else cells
    if known.str.fullmatch(r"0[0-9]+").any():
        return cells
    try:
        return pd.to_numeric(cells).astype(np.float64)
    except ValueError:
        return cells


def _look_at_images(labels: Path, files: Sequence[Path]) -> tuple[int, int, bool]:
    """Number of bands, largest side, whether any has more than 8 bits; refuses what is missing, broken or mixed."""
    faults: list[Fault] = []
    bands: dict[int, Path] = {}
    largest, deep = 0, False
    for line, file in enumerate(files, start=2):
        try:
            with Image.open(file) as image:
                bands.setdefault(_bands_of(image), file)
                largest = max(largest, *image.size)
                deep |= image.mode in DEEP
        except FileNotFoundError:
            faults.append(
                Fault(str(file), "this image is missing", "Fetch it, or drop its row", "file", f"line {line}")
            )
        except (UnidentifiedImageError, OSError, ValueError) as error:
            problem = f"is no JPEG, PNG or TIFF that can be read ({error})"
            faults.append(Fault(str(file), problem, "Replace it, or drop its row", "file", f"line {line}"))
    if len(faults) > SHOWN:
        more = Fault("~", f"and {len(faults) - SHOWN} more images", "They have the same or similar faults")
        faults = [*faults[:SHOWN], more]
    if not faults and len(bands) > 1:
        grey, colour = bands[1], bands[3]
        faults.append(
            Fault(str(labels), f"mixes grey ({grey}) and colour ({colour}) images", "Pack them apart", "file")
        )
    if faults:
        raise Refused(faults)
    return next(iter(bands)), largest, deep


def _bands_of(image: Image.Image) -> int:
    if image.mode not in DEEP and ";16" in str(getattr(image, "tile", "")):
        msg = "Pillow would cut 16-bit colour to 8 bits"
        raise ValueError(msg)
    return 1 if image.mode in DEEP | {"1", "L", "LA"} else 3


def _stamp(file: Path, bands: int, side: int, fit: str) -> Array:
    """One image as (band, y, x), y upwards as in FITS; 8-bit values stay 8-bit."""
    try:
        with Image.open(file) as image:
            image.load()
            plane = image if image.mode in DEEP else image.convert("L" if bands == 1 else "RGB")
            box = galaxy_frame(np.asarray(plane)) if fit == "galaxy" else (0, 0, *plane.size)
            if fit != "pad" and (plane.size != (side, side) or fit == "galaxy"):
                if plane.mode.startswith("I"):
                    plane = plane.convert("F")  # Pillow has no antialiasing for integers of 16 and 32 bits
                plane = plane.resize((side, side), Image.Resampling.LANCZOS, box=box)
            values = np.asarray(plane)
    except (OSError, ValueError) as error:
        raise Refused(
            [Fault(str(file), f"is damaged ({error})", "Replace it, or drop its row", "file")]
        ) from error
    values = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    values = values[:, ::-1]  # an image file's first row is its top, a FITS image's is its bottom
    if values.dtype != np.uint8:
        values = values.astype(np.float32)
    stamp = np.zeros((len(values), side, side), values.dtype)
    centre(values, stamp)
    return stamp
