"""Where the catalog has what a multi-modal encoder is told of an object beside its stamp, and the column that it is in a slice's table.

Of each object it is one row of float32, in the order of the modalities: of a group of scalars the values and then their errors, of a vector the values and then
their inverse variances. NaN stands for what is missing: a value that is null, not finite in float32 or the group's `missing`; and the error of such a value, or
one that is not above 0. Where a vector has no data its value is NaN and its inverse variance 0: where its value is missing or its inverse variance is not above
0, and in the whole vector if it, or its grid of wavelengths, is not of the length and the wavelengths that were planned. The inverse variance of a value that
has none, or one beyond float32, is NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from catalogs.positions import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalogs._types import Bools, Floats

__all__ = [
    "MODALITIES",
    "ModalitySource",
    "ScalarColumns",
    "VectorColumns",
    "is_list",
    "same_grid",
    "vectors",
]

MODALITIES = "modalities"
"""Column of a slice's table."""
SAME_PIXEL = 0.01
"""Wavelengths that differ by less, in units of the smallest step between them, are the same."""


@dataclass(frozen=True)
class ScalarColumns:
    """The columns of a group of scalars."""

    name: str
    columns: tuple[str | None, ...]
    """Of the values; None where this catalog has no column of such: the value is missing."""
    errors: tuple[str | None, ...]
    """Of their standard errors."""
    missing: float | None = None
    """Value that means that it is unknown."""

    @property
    def width(self) -> int:
        """Numbers in an object's row."""
        return 2 * len(self.columns)

    @property
    def needed(self) -> list[str]:
        """Catalog columns."""
        return [name for name in (*self.columns, *self.errors) if name is not None]

    def fill(self, rows: pa.Table, found: Floats) -> None:
        """Write the values and errors of catalog rows into `found`, (n, width) float32 of NaN."""
        count = len(self.columns)
        for i, (column, error) in enumerate(zip(self.columns, self.errors, strict=True)):
            if column is None:
                continue
            found[:, i] = self._known(rows[column])
            if error is not None:
                sigma = self._known(rows[error])
                found[:, count + i] = np.where((sigma > 0) & ~np.isnan(found[:, i]), sigma, np.nan)

    def _known(self, column: pa.ChunkedArray) -> Floats:
        values = numbers(column)
        if self.missing is not None:
            # 99.9 of a column of float32 is float32's 99.9
            single = pa.types.is_floating(column.type) and column.type.bit_width < 64
            values = np.where(
                values == (np.float64(np.float32(self.missing)) if single else self.missing), np.nan, values
            )
        return _finite(values)


@dataclass(frozen=True)
class VectorColumns:
    """The columns of a vector."""

    name: str
    column: str
    """Of the values."""
    ivar: str | None = None
    """Of their inverse variances."""
    wavelengths: str | tuple[float, ...] = ()
    """Their column; or, in nm, the first and the last one, or all."""
    spacing: Literal["linear", "log"] = "linear"
    """Between the first and the last of two: even steps, or even ratios."""
    length: int = 0
    """Values in a vector; before a plan has looked at the catalog, how many a network expects, or 0."""
    grid: tuple[float, ...] = ()
    """Wavelengths of the values as a plan has found them, nm."""
    nanometres: float = 1.0
    """In the unit of the column of wavelengths."""

    @property
    def width(self) -> int:
        """Numbers in an object's row."""
        return 2 * self.length

    @property
    def needed(self) -> list[str]:
        """Catalog columns."""
        waves = self.wavelengths if isinstance(self.wavelengths, str) else None
        return [name for name in (self.column, self.ivar, waves) if name is not None]

    def fill(self, rows: pa.Table, found: Floats) -> None:
        """Write the values and inverse variances of catalog rows into `found`, (n, width) float32 of NaN."""
        values = _finite(vectors(rows[self.column], self.length))
        if isinstance(self.wavelengths, str):
            waves = vectors(rows[self.wavelengths], self.length) * self.nanometres
            values[~same_grid(waves, np.array(self.grid))] = np.nan
        if self.ivar is not None:
            ivar = vectors(rows[self.ivar], self.length)
            values[ivar <= 0] = np.nan
            found[:, self.length :] = _finite(np.where(ivar.astype(np.float32) == 0, np.nan, ivar))
        found[:, : self.length] = values
        found[:, self.length :][np.isnan(values)] = 0


@dataclass(frozen=True)
class ModalitySource:
    """The columns of all modalities but the stamps; small enough to travel with every task."""

    scalars: tuple[ScalarColumns, ...] = ()
    vectors: tuple[VectorColumns, ...] = ()

    @property
    def others(self) -> tuple[ScalarColumns | VectorColumns, ...]:
        """All but the stamps, in the order of an object's row."""
        return (*self.scalars, *self.vectors)

    @property
    def columns(self) -> list[str]:
        """Catalog columns that they are in."""
        return [name for each in self.others for name in each.needed]

    @property
    def width(self) -> int:
        """Numbers in an object's row."""
        return sum(each.width for each in self.others)

    def column(self, rows: pa.Table) -> pa.FixedSizeListArray:
        """What some catalog rows say of their objects: lists of `width` float32."""
        found = np.full((rows.num_rows, self.width), np.nan, np.float32)
        for each, part in self._parts(found):
            each.fill(rows, part)
        return pa.FixedSizeListArray.from_arrays(pa.array(found.reshape(-1)), self.width)

    def incomplete(self, column: pa.FixedSizeListArray) -> Bools:
        """Which rows of the column (n,) have no value at all of some modality."""
        found = column.values.to_numpy().reshape(-1, self.width)
        lacking = np.zeros(len(found), bool)
        for each, part in self._parts(found):
            lacking |= np.isnan(part[:, : each.width // 2]).all(axis=1)
        return lacking

    def _parts(self, rows: Floats) -> Iterator[tuple[ScalarColumns | VectorColumns, Floats]]:
        start = 0
        for each in self.others:
            yield each, rows[:, start : start + each.width]
            start += each.width


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists, of one length or of any."""
    return bool(pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind))


def vectors(column: pa.ChunkedArray, length: int) -> Floats:
    """Lists of a column as rows of (n, length) float64; NaN where they have null, and in all of a row that is null or of another length."""
    lists = column.combine_chunks()
    found = np.full((len(lists), length), np.nan)
    if pa.types.is_fixed_size_list(lists.type):
        size = lists.type.list_size
        starts = (lists.offset + np.arange(len(lists))) * size
        lengths = np.full(len(lists), size)
    else:
        offsets = lists.offsets.to_numpy().astype(np.int64)
        starts, lengths = offsets[:-1], np.diff(offsets)
    valid = lists.is_valid().to_numpy(zero_copy_only=False)
    whole = np.flatnonzero(valid & (lengths == length))
    values = np.asarray(lists.values.to_numpy(zero_copy_only=False), np.float64)
    found[whole] = values[starts[whole, None] + np.arange(length)]
    return found


def same_grid(grids: Floats, grid: Floats) -> Bools:
    """Which wavelengths (n, length) are those of a grid (length,), but for rounding; NaN is none."""
    step = np.diff(grid).min() if len(grid) > 1 else grid[0]
    return np.asarray((np.abs(grids - grid) <= SAME_PIXEL * step).all(axis=1))


def _finite(values: Floats) -> Floats:
    """As float32, with NaN for what is not finite there."""
    with np.errstate(over="ignore"):
        found = values.astype(np.float32)
    found[~np.isfinite(found)] = np.nan
    return found
