"""A survey's own segmentation map: integers that say which object each pixel of a tile belongs to, zero where to none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from catalogs import images, planes
from catalogs.flags import Flag
from catalogs.image_header import ImageHeader, NotAnImage

if TYPE_CHECKING:
    from catalogs._types import Array, Floats, Integers
    from catalogs.survey import Segmentation

__all__ = ["OTHERS", "OWN", "UNKNOWN", "open_map", "owned"]

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


def owned(
    image: ImageHeader, labels: pa.ChunkedArray, x: Floats, y: Floats, size: int, covered: Integers
) -> tuple[Array, Integers]:
    """Whose the pixels of stamps are.

    Parameters
    ----------
    image : ImageHeader
        Of the map.
    labels : Arrow array
        Those of the objects, null where the catalog has none.
    x, y : (n,) float
        Positions as in `catalogs.images.cut`.
    size : int
    covered : (n,) int
        How many pixels of each stamp lie on the tile.

    Returns
    -------
    owners : (n, size, size) uint8
        0, `OWN` or `OTHERS`, or all `UNKNOWN`.
    flags : (n,) int32
        `Flag.NO_SEGMENT` where an object on the tile is `UNKNOWN`.
    """
    theirs = np.asarray(labels.cast(pa.int64()).fill_null(0))
    values = np.zeros((len(x), size, size), np.int64)
    images.cut(image, x, y, size, out=values)
    own = (values == theirs[:, None, None]) & (values != 0)
    owners = np.where(own, OWN, np.where(values != 0, OTHERS, 0)).astype(np.uint8)
    unknown = ~own.any(axis=(1, 2))
    owners[unknown] = UNKNOWN
    return owners, np.where(unknown & (covered > 0), np.int32(Flag.NO_SEGMENT), np.int32(0))
