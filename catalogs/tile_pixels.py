"""One band of a tile, whole: its pixels, their noise, and which of them are bad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from catalogs import bounds, headers, images, masks, path_template, pixels, planes, weights
from catalogs.errors import CorruptFile
from catalogs.image_header import ImageHeader, NotAnImage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from catalogs._types import Array, Floats, Integers
    from catalogs.survey import Images

__all__ = ["TilePixels", "open_tile", "read_tile"]

BLANK = 0.01
"""Share of pixels that are exactly zero from which those of an image of floats are no data: noise is never zero that often."""


@dataclass(frozen=True)
class TilePixels:
    """The pixels of one band of a tile."""

    image: Floats
    """(y, x) float32, native byte order; zero where bad."""
    noise: Floats | None
    """(y, x) float32, one standard deviation, the largest float32 where bad; None without weight maps."""
    bad: Array | None
    """(y, x) bool: masked, without weight, no number, or zero where many are; None where no pixel is."""
    saturated: Integers
    """Flat places of pixels at and above the survey's saturation."""


def open_tile(layout: Images, values: Mapping[str, object], band: str, folder: str) -> ImageHeader:
    """Read the header of a tile.

    Raises
    ------
    CorruptFile
        If there is no such image.
    """
    url = _url(layout, values, band, folder)
    try:
        return images.open_image(url, layout.hdu)
    except FileNotFoundError as error:
        raise CorruptFile(f"{url}: this image is missing. Fetch it.") from error
    except NotAnImage as error:
        raise CorruptFile(f"{url}: {error}. {error.remedy}.") from error


def read_tile(layout: Images, values: Mapping[str, object], band: str, folder: str) -> TilePixels:
    """Read a band of a tile with its weight map and mask, a strip of rows at a time.

    Parameters
    ----------
    layout : Images
        `tiles`.
    values : mapping
        Of the path template's columns.
    band, folder : str

    Raises
    ------
    CorruptFile
        If a file cannot be read as what it is.
    """
    tile = open_tile(layout, values, band, folder)
    image, bad = np.empty(tile.shape, np.float32), np.zeros(tile.shape, bool)
    saturated = []
    for rows, strip in _strips(tile):
        with np.errstate(over="ignore", invalid="ignore"):
            image[rows] = strip
        bad[rows] = ~np.isfinite(image[rows])
        if layout.saturation is not None:
            with np.errstate(invalid="ignore"):
                flat = np.flatnonzero(image[rows] >= layout.saturation)
            saturated.append(flat + rows.start * tile.shape[1])
    if planes.is_of_floats(tile) and np.count_nonzero(image) < (1 - BLANK) * image.size:
        bad |= image == 0
    noise = _read_planes(layout, tile, (values, band, folder), bad)
    nowhere = not bad.any()
    if not nowhere:
        image[bad] = 0.0
        if noise is not None:
            noise[bad] = np.finfo(np.float32).max
    places = np.concatenate(saturated) if saturated else np.empty(0, np.int64)
    return TilePixels(image, noise, None if nowhere else bad, places)


def _read_planes(
    layout: Images, tile: ImageHeader, place: tuple[Mapping[str, object], str, str], bad: Array
) -> Floats | None:
    """The noise of a tile; pixels that its weight map or mask says are bad are added to `bad`."""
    values, band, folder = place
    noise = None
    if layout.mask is not None:
        with planes.beside(
            "mask", layout.mask, url=tile.url, values=values, band=band, folder=folder, opening=_nobody
        ) as url:
            mask = masks.open_mask(layout.mask, url, tile)
            bits = masks.bits_of(layout.mask, mask)
        for rows, strip in _strips(mask):
            bad[rows] |= masks.are_bad(layout.mask, strip, bits)
    if layout.weight is not None:
        with planes.beside(
            "weight", layout.weight, url=tile.url, values=values, band=band, folder=folder, opening=_nobody
        ) as url:
            weight = weights.open_weight(layout.weight, url, tile)
        noise = np.empty(tile.shape, np.float32)
        for rows, strip in _strips(weight):
            noise[rows] = weights.noise_of(strip[None], layout.weight.kind)[0][0]
            bad[rows] |= np.isnan(noise[rows])
    return noise


def _strips(image: ImageHeader) -> Iterator[tuple[slice, Array]]:
    height = image.shape[0]
    try:
        with pixels.opened(image.url, image.compression) as file:
            rows = file.rows(image)
            for first in range(0, height, bounds.STRIP):
                last = min(first + bounds.STRIP, height)
                yield slice(first, last), rows.strip(first, last)
    except headers.MALFORMED as error:
        told = headers.first_line(error)
        raise CorruptFile(f"{image.url}: pixels cannot be read ({told}). Fetch the file again.") from error


def _url(layout: Images, values: Mapping[str, object], band: str, folder: str) -> str:
    try:
        return planes.path_of(str(layout.path), values, band, folder)
    except path_template.BadTemplate as error:
        raise CorruptFile(f"[survey.images] path: {error}. Correct it.") from error


def _nobody(_url: str) -> None:
    """Nobody watches what is opened."""
