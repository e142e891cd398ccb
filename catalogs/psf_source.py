"""Where PSFs that vary from object to object come from, and the column that they are in a slice's table."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs import path_template, storage
from catalogs.errors import CorruptFile
from catalogs.planes import path_of
from catalogs.positions import numbers
from catalogs.psf import BadPSF, read_psf
from catalogs.psfex import PSFExModel, axis_of
from catalogs.stamps import pixels_on_tiles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from catalogs._types import Bools, Floats, Integers
    from catalogs.identity import Watched
    from catalogs.survey import Survey

__all__ = ["FWHM", "IMAGE", "PSFSource"]

IMAGE, FWHM = "stamp_psf", "stamp_fwhm"
"""Columns of a slice's table: square images, lists of float32, row by row; or FWHM of Gaussians in pixels. Null where the PSF is not known."""
NARROWEST, WIDEST = 0.01, 100.0
"""FWHM in pixels; what is narrower or wider, or wider than a stamp, is a slip of units or stands for a missing value."""
ARCSEC = {"arcsec": 1.0, "arcsecs": 1.0, "arcsecond": 1.0, "arcseconds": 1.0, "deg": 3600.0, "degree": 3600.0}
CORRECT = "Correct [measure] psf, or the catalog"
PIXELS = {"pix", "pixel", "pixels", "px"}


@dataclass(frozen=True)
class PSFSource:
    """PSFs of a release's objects: files that a template names, or widths in a column."""

    band: str
    """Which one is measured."""
    folder: str
    """What relative paths are relative to."""
    path: str | None = None
    """Template of the files: images, or PSFEx models."""
    fwhm: str | None = None
    """Column with the FWHM of a Gaussian, where there are no files."""

    @property
    def columns(self) -> list[str]:
        """Catalog columns that say which PSF an object has."""
        return [self.fwhm] if self.fwhm is not None else path_template.columns_of(str(self.path))

    @property
    def name(self) -> str:
        """Of the column in a slice's table."""
        return IMAGE if self.fwhm is None else FWHM

    def url(self, values: Mapping[str, object]) -> str | None:
        """The file for the catalog's values; None where one of these is missing.

        Raises
        ------
        BadTemplate
            Where a value does not fit.
        """
        if any(value is None or value == "" for value in values.values()):
            return None
        return path_of(str(self.path), values, self.band, self.folder)

    def column(
        self,
        survey: Survey,
        rows: pa.Table,
        others: Callable[[str], pa.ChunkedArray | None],
        scale: float | None,
        folder: str,
        watched: Watched,
    ) -> pa.Array:
        """The PSFs of some catalog rows.

        Parameters
        ----------
        survey : Survey
        rows : pa.Table
            With `columns`, and those that the stamps need.
        others : function
            Reads another column of these rows: what PSFEx models vary with. None where there is none.
        scale : float, optional
            Arcsec a pixel.
        folder : str
            Of the images.
        watched : Watched
            Is told of every file before it is opened.

        Raises
        ------
        CorruptFile
            If a file cannot be read, or is no PSF.
        """
        if self.fwhm is not None:
            widths = self.widths(rows.schema.field(self.fwhm), numbers(rows[self.fwhm]), scale)
            return pa.array(widths, mask=~self.usable(widths, survey.images.size))
        files = self._files(rows)
        for url in files:
            watched.opening(url)
        kinds = dict(zip(files, storage.parallel(_read, files), strict=True))
        places = functools.cache(lambda: pixels_on_tiles(survey, rows, self.band, folder))

        def variable(url: str, name: str) -> Floats:
            axis = axis_of(name) if survey.images.layout == "tiles" else None
            if axis is not None:
                return places()[axis] + 1.0
            column = others(name)
            if column is None or not _is_number(column.type):
                msg = (
                    f"{url}: this PSFEx model varies with {name!r}, which is no column of numbers. {CORRECT}."
                )
                raise CorruptFile(msg)
            return numbers(column)

        images: list[Floats | None] = [None] * rows.num_rows
        for url, which in files.items():
            for i, image in zip(which, _images(kinds[url], url, which, variable), strict=True):
                images[i] = image if np.isfinite(image[0, 0]) else None
        return _lists(images)

    def widths(self, field: pa.Field, values: Floats, scale: float | None) -> Floats:
        """FWHM in pixels of the column's values (n,)."""
        unit = _unit(field)
        if scale is None or unit in PIXELS:
            return values
        return values * (ARCSEC.get(unit, 1.0) / scale)

    @staticmethod
    def usable(widths: Floats, size: int) -> Bools:
        """Which FWHM (n,) in pixels a PSF can have on stamps of a side."""
        return np.asarray((widths >= NARROWEST) & (widths <= min(WIDEST, size)))

    @staticmethod
    def unit_fault(field: pa.Field, scale_known: bool) -> str | None:
        """What is wrong with the unit of the FWHM's column, if anything is."""
        unit = _unit(field)
        known = {"", *PIXELS, *(ARCSEC if scale_known else ())}
        if unit in known:
            return None
        if unit in ARCSEC:
            return "is an angle, but pixel_scale is unknown"
        return "is no angle and no number of pixels"

    def _files(self, rows: pa.Table) -> dict[str, Integers]:
        """The rows of each file, in order of first appearance; those without a value are in none."""
        values = [rows[name].to_pylist() for name in self.columns]
        keys = list(zip(*values, strict=True)) if values else [()] * rows.num_rows
        urls = dict.fromkeys(keys)
        try:
            found = {key: self.url(dict(zip(self.columns, key, strict=True))) for key in urls}
        except path_template.BadTemplate as error:
            raise CorruptFile(f"[measure] psf: {error}. {CORRECT}.") from error
        files: dict[str, list[int]] = {}
        for i, key in enumerate(keys):
            if (url := found[key]) is not None:
                files.setdefault(url, []).append(i)
        return {url: np.array(which) for url, which in files.items()}


def variable_fault(psf: Floats | PSFExModel, schema: pa.Schema, layout: str) -> tuple[str, str] | None:
    """What a model varies with that a catalog has no numbers for, and why; None where it has."""
    for name in psf.names if isinstance(psf, PSFExModel) else ():
        if layout == "tiles" and axis_of(name) is not None:
            continue
        if name not in schema.names:
            return name, "no such column"
        if not _is_number(schema.field(name).type):
            return name, f"is {schema.field(name).type}, not a number"
    return None


def square(psf: Floats | PSFExModel) -> int:
    """Side of the images of a file.

    Raises
    ------
    BadPSF
        If they are not square.
    """
    shape = psf.basis.shape[1:] if isinstance(psf, PSFExModel) else psf.shape
    if shape[0] != shape[1]:
        raise BadPSF(f"is of {shape[1]} x {shape[0]} pixels: PSFs that vary must be square")
    return int(shape[0])


def _read(url: str) -> Floats | PSFExModel:
    try:
        psf = read_psf(url)
        square(psf)
    except BadPSF as error:
        raise CorruptFile(f"{url}: this PSF {error}. Fetch it again.") from error
    return psf


def _images(
    psf: Floats | PSFExModel, url: str, which: Integers, variable: Callable[[str, str], Floats]
) -> Sequence[Floats]:
    if isinstance(psf, PSFExModel):
        return psf.at([variable(url, name)[which] for name in psf.names], len(which))  # type: ignore[return-value]
    return [psf] * len(which)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _lists(images: list[Floats | None]) -> pa.LargeListArray:
    """Lists of an image's pixels; null where there is none."""
    lengths = [0 if image is None else image.size for image in images]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    flat = [image.ravel() for image in images if image is not None]
    values = np.concatenate(flat) if flat else np.zeros(0, np.float32)
    missing = np.array([image is None for image in images], bool)
    return pa.LargeListArray.from_arrays(
        pa.array(offsets, pa.int64()), pa.array(values), mask=pa.array(missing)
    )


def _unit(field: pa.Field) -> str:
    return (field.metadata or {}).get(b"unit", b"").decode().strip().lower()
