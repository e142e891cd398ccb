"""Writing releases in `column` layout: a table whose column IMAGE holds the stamps, and the config that reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from astropy.io import fits

from catalogs.silence import silenced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalogs._types import Array

STAMPS = "IMAGE"
"""The stamps' column."""


def table_hdu(table: pd.DataFrame, stamps: Array) -> fits.BinTableHDU:
    """A shard's rows with their stamps, (n, band, y, x) uint8 or float32."""
    code = "B" if stamps.dtype == np.uint8 else "E"
    dim = f"({stamps.shape[3]},{stamps.shape[2]},{stamps.shape[1]})"
    length = int(np.prod(stamps.shape[1:]))
    with silenced():  # of names like bar-type, which the standard does not recommend
        columns = [_column(str(name), table[name]) for name in table.columns]
        columns.append(fits.Column(STAMPS, f"{length}{code}", dim=dim, array=stamps))
        return fits.BinTableHDU.from_columns(columns)


def _column(name: str, values: pd.Series) -> fits.Column:
    """A column as FITS: int64 with TNULL for empty cells, float64 or float32 with NaN, or text."""
    if pd.api.types.is_bool_dtype(values):
        return fits.Column(name, "L", array=values.to_numpy(bool))
    if pd.api.types.is_integer_dtype(values):
        empty = np.iinfo(np.int64).min
        null = empty if isinstance(values.dtype, pd.Int64Dtype) else None
        return fits.Column(name, "K", null=null, array=values.to_numpy(np.int64, na_value=empty))
    if values.dtype == np.float32:
        return fits.Column(name, "E", array=values.to_numpy())
    if pd.api.types.is_numeric_dtype(values):
        return fits.Column(name, "D", array=values.to_numpy(np.float64))
    text = np.array([("" if pd.isna(v) else str(v)).encode() for v in values])
    return fits.Column(name, f"{max(text.dtype.itemsize, 1)}A", array=text)


def survey_toml(
    name: str,
    kept: Sequence[str],
    bands: Sequence[str],
    side: int,
    stretch: str,
    *,
    more: Sequence[str] = (),
    pixel_scale: float | None = None,
    background: str | None = None,
    renamed: Mapping[str, str] | None = None,
    slice_rows: int | None = None,
    extent: tuple[str, int] | None = None,
) -> str:
    """Text of the release's config.

    Parameters
    ----------
    name : str
        Of the release; spaces, and what cannot be printed, become underscores.
    kept : sequence of str
        Columns that a catalog of it keeps; ra and dec among them, however written, are its positions, unless they are `renamed`.
    bands : sequence of str
    side : int
        Of the stamps, pixels.
    stretch : {"asinh", "linear"}
    more : sequence of str
        Further lines of [survey].
    pixel_scale : float, optional
        Arcsec a pixel.
    background : str, optional
        What is done about the sky, if not what is usual.
    renamed : mapping, optional
        Other names that columns have in the catalog.
    slice_rows : int, optional
        Rows of a slice, where stamps are too large for the usual number.
    extent : tuple, optional
        Column with the side that is encoded, and the largest that it may be, pixels.
    """
    renamed = renamed or {}
    lower = {column.lower(): column for column in kept if column not in renamed}
    found = {axis: lower[axis] for axis in ("ra", "dec")} if {"ra", "dec"} <= lower.keys() else {}
    position = [f"{axis} = {json.dumps(column)}" for axis, column in found.items()]
    carried = [column for column in kept if column not in found.values()]
    entries = [f"{column} as {renamed[column]}" if column in renamed else column for column in carried]
    lines = [
        "[survey]",
        f"name = {json.dumps(''.join(c if c.isprintable() and not c.isspace() else '_' for c in name))}",
        'catalogs = "catalogs/*.fits"',
        'id = "id"',
        *position,
        f"keep = {json.dumps(entries, ensure_ascii=False)}",
        *more,
        "",
        "[survey.images]",
        'layout = "column"',
        f'column = "{STAMPS}"',
        f"bands = {json.dumps(list(bands))}",
        f"size = {side}",
        *_extent(extent),
        f"pixel_scale = {json.dumps(pixel_scale or 'unknown')}",
        *([] if background is None else [f'background = "{background}"']),
        "",
        "[encode]",
        f'stretch = "{stretch}"',
        *([] if slice_rows is None else ["", "[run]", f"slice_rows = {slice_rows}"]),
    ]
    return "\n".join(lines) + "\n"


def _extent(extent: tuple[str, int] | None) -> list[str]:
    if extent is None:
        return []
    column, limit = extent
    return [f"extent = '\"{column}\"'", f"extent_limit = {limit}"]
