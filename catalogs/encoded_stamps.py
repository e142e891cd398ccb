"""Stamps that are whole files in a column: PNG, JPEG, TIFF or FITS, a file an object."""

from __future__ import annotations

from io import BytesIO
from typing import IO, TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
from astropy.io import fits

from catalogs import bounds, headers
from catalogs.pictures import Unfit
from catalogs.pictures import pixels as picture_pixels
from catalogs.silence import silenced

if TYPE_CHECKING:
    from pathlib import Path

    from catalogs._types import Array

__all__ = ["bytes_of", "decoded", "is_encoded"]

BYTES = "bytes"
"""Field of Hugging Face's `Image` feature with the file."""


def is_encoded(kind: pa.DataType) -> bool:
    """Whether a column's values are files."""
    if pa.types.is_struct(kind):
        names = [kind.field(n).name for n in range(kind.num_fields)]
        return BYTES in names and is_encoded(kind.field(names.index(BYTES)).type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def bytes_of(values: pa.Array) -> pa.Array:
    """The files of a column."""
    return values.field(BYTES) if pa.types.is_struct(values.type) else values


class _InMemory:
    """A file of which there are the bytes alone."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def open(self, mode: str) -> IO[bytes]:  # noqa: ARG002 - as a path has it
        return BytesIO(self._data)


def decoded(data: bytes, bands: int) -> Array:
    """Pixels of a file, (band, y, x): of pictures with the last row first, as FITS counts rows.

    Raises
    ------
    ValueError
        If it is none, or one of another number of bands.
    """
    if data[:6] == b"SIMPLE":
        found = _fits(data)
    else:
        try:
            found = picture_pixels(cast("Path", _InMemory(data)))
        except Unfit as error:
            raise ValueError(f"{error}") from error
        found = found[::-1] if found.ndim == 2 else np.moveaxis(found, 2, 0)[:, ::-1]
    found = found[None] if found.ndim == 2 else found
    if len(found) != bands:
        raise ValueError(f"has {len(found)} bands, not {bands}")
    return found


def _fits(data: bytes) -> Array:
    try:
        with silenced():
            return _first_image(data)
    except headers.MALFORMED as error:
        raise ValueError(f"is no FITS image ({headers.first_line(error)})") from error


def _first_image(data: bytes) -> Array:
    for number, header, _ in headers.walk(BytesIO(data)):
        axes = int(header.get("ZNAXIS", header["NAXIS"]))
        if axes in (2, 3) and (
            header.get("ZIMAGE", False) or header.get("XTENSION", "IMAGE").strip() == "IMAGE"
        ):
            bounds.check_stamp(number, header)
            with fits.open(BytesIO(data), memmap=False) as hdus:
                return np.asarray(hdus[number].data)
    msg = "has no image"
    raise ValueError(msg)
