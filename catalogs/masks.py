"""Masks: images of integers that say which pixels of a tile are bad, by the bits of their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from catalogs import images
from catalogs.image_header import ImageHeader, NotAnImage

if TYPE_CHECKING:
    from catalogs._types import Array, Floats
    from catalogs.survey import Mask

__all__ = ["bits_of", "masked", "open_mask"]

_MOST = 62  # the highest bit that is counted
_APART = 0.5  # pixels


def open_mask(mask: Mask, url: str, tile: ImageHeader) -> ImageHeader:
    """Read the header of a tile's mask.

    Raises
    ------
    NotAnImage
        If there is none, its values are no integers, or it is not on the tile's pixels.
    FileNotFoundError
    """
    found = images.open_image(url, mask.hdu)
    bitpix = int(found.header["ZBITPIX" if found.compressed else "BITPIX"])
    check = "Check [survey.images.mask]"
    if bitpix < 0:
        raise NotAnImage(f"the mask in HDU {found.hdu} is of floats, not of bits", check)
    if found.shape != tile.shape:
        ours, theirs = (f"{shape[1]} x {shape[0]}" for shape in (found.shape, tile.shape))
        raise NotAnImage(f"the mask has {ours} pixels, but {tile.url} has {theirs}", check)
    away = _away(found, tile)
    if away > _APART:
        raise NotAnImage(
            f"the mask's WCS puts its pixels {away:.1f} pixels beside those of {tile.url}", check
        )
    bits_of(mask, found)
    return found


def bits_of(mask: Mask, image: ImageHeader) -> int | None:
    """The bits that mark a bad pixel, as one integer; None where every value but zero does.

    Raises
    ------
    NotAnImage
        If the mask's header does not know a name.
    """
    if not mask.bits:
        return None
    value = 0
    for bit in mask.bits:
        number = image.header.get(f"MP_{bit}", image.header.get(bit)) if isinstance(bit, str) else bit
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _MOST:
            known = sorted(key[3:] for key in image.header if key.startswith("MP_"))
            there = f"it names {', '.join(known)}" if known else "it names none"
            raise NotAnImage(
                f"the mask's header has no bit {bit!r} (MP_{bit}): {there}",
                "Correct [survey.images.mask] bits",
            )
        value |= 1 << number
    return value


def masked(mask: Mask, image: ImageHeader, x: Floats, y: Floats, size: int) -> Array:
    """Which pixels of stamps are bad, (n, size, size) bool; positions as in `catalogs.images.cut`. What is off the image is not."""
    values = np.zeros((len(x), size, size), np.int64)
    images.cut(image, x, y, size, out=values)
    bits = bits_of(mask, image)
    return values != 0 if bits is None else values & bits != 0


def _away(mask: ImageHeader, tile: ImageHeader) -> float:
    """How far the mask's corners lie from the tile's, pixels; 0 where one of them has no WCS."""
    ours, theirs = mask.wcs, tile.wcs
    if ours is None or theirs is None:
        return 0.0
    ny, nx = tile.shape
    corners = np.array([[0.0, 0.0], [nx - 1.0, ny - 1.0]])
    there = theirs.wcs_world2pix(ours.wcs_pix2world(corners, 0), 0)
    return float(np.hypot(*(there - corners).T).max())
