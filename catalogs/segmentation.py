"""A survey's own segmentation map: integers that say which object each pixel of a tile belongs to, zero where to none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs import images, planes
from catalogs.image_header import ImageHeader, NotAnImage

if TYPE_CHECKING:
    from catalogs._types import Array, Floats, Integers
    from catalogs.survey import Segmentation

__all__ = ["OTHERS", "OWN", "UNKNOWN", "labels_of", "open_map", "owners_of"]

OWN, OTHERS, UNKNOWN = 1, 2, 3
"""Whose a pixel is: the object's, another one's (0: nobody's); or, in all pixels of a stamp, that the map does not have the object."""


def open_map(segmentation: Segmentation, url: str, tile: ImageHeader) -> ImageHeader:
    """Read the header of a tile's segmentation map.

    Raises
    ------
    NotAnImage
        If there is none, its values are no integers, or it is not on the tile's pixels.
    FileNotFoundError
    """
    found = planes.open_on(segmentation, "segmentation", url, tile)
    if planes.is_of_floats(found):
        raise NotAnImage(
            f"the segmentation in HDU {found.hdu} is of floats, not of labels",
            "Check [survey.images.segmentation]",
        )
    return found


def labels_of(column: pa.ChunkedArray) -> Integers:
    """Labels of objects, (n,) int64; zero where the catalog has none."""
    return np.asarray(column.cast(pa.int64()).fill_null(0))


def owners_of(image: ImageHeader, labels: Integers, x: Floats, y: Floats, size: int) -> Array:
    """Whose the pixels of stamps are, (n, size, size) uint8: 0, `OWN` or `OTHERS`, or all `UNKNOWN`; positions as in `catalogs.images.cut`."""
    values = np.zeros((len(x), size, size), np.int64)
    images.cut(image, x, y, size, out=values)
    own = (values == labels[:, None, None]) & (values != 0)
    owners = np.where(own, OWN, np.where(values != 0, OTHERS, 0)).astype(np.uint8)
    owners[~own.any(axis=(1, 2))] = UNKNOWN
    return owners
