"""Masks: integers that say which pixels of an image are bad, by the bits of their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from catalogs import images, planes
from catalogs.image_header import ImageHeader, NotAnImage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalogs._types import Array, Floats
    from catalogs.survey import Mask

__all__ = ["are_bad", "bits_of", "check", "masked", "open_mask"]

_MOST = 62  # the highest bit that is counted


def open_mask(mask: Mask, url: str, tile: ImageHeader) -> ImageHeader:
    """Read the header of a tile's mask.

    Raises
    ------
    NotAnImage
        If there is none, its values are no integers, or it is not on the tile's pixels.
    FileNotFoundError
    """
    found = planes.open_on(mask, "mask", url, tile)
    check(mask, found)
    return found


def check(mask: Mask, image: ImageHeader) -> None:
    """Refuse a mask whose values are no integers, or whose header does not know a bit's name.

    Raises
    ------
    NotAnImage
    """
    if planes.is_of_floats(image):
        raise NotAnImage(
            f"the mask in HDU {image.hdu} is of floats, not of bits", "Check [survey.images.mask]"
        )
    bits_of(mask, image)


def bits_of(mask: Mask, image: ImageHeader | None) -> int | None:
    """The bits that mark a bad pixel, as one integer; None where every value but zero does.

    Raises
    ------
    NotAnImage
        If the mask's header does not know a name.
    """
    if not mask.bits:
        return None
    value, header = 0, {} if image is None else image.header
    for bit in mask.bits:
        bits = _named(header, bit) if isinstance(bit, str) else 1 << bit
        if not 0 < bits < 2 << _MOST:
            known = sorted([*(key[3:] for key in header if key.startswith("MP_")), *_panstarrs(header)])
            there = f"it names {', '.join(known)}" if known else "it names none"
            raise NotAnImage(
                f"the mask's header has no bit {bit!r} (MP_{bit}): {there}",
                "Correct [survey.images.mask] bits",
            )
        value |= bits
    return value


def _named(header: Mapping[str, Any], name: str) -> int:
    """The value of a bit, by the number of MP_NAME or NAME, or by MSKNAM00 and MSKVAL00; 0 where the header does not know it."""
    number = header.get(f"MP_{name}", header.get(name))
    if number is None:
        return _panstarrs(header).get(name, 0)
    is_number = isinstance(number, int) and not isinstance(number, bool)
    return 1 << number if is_number and 0 <= number <= _MOST else 0


def _panstarrs(header: Mapping[str, Any]) -> dict[str, int]:
    """The values that masks of Pan-STARRS have, by name: MSKNAM00 and MSKVAL00, and so on."""
    named = {
        str(header[key]).strip(): header.get(f"MSKVAL{key[6:]}") for key in header if key.startswith("MSKNAM")
    }
    return {
        name: bits for name, bits in named.items() if isinstance(bits, int) and not isinstance(bits, bool)
    }


def are_bad(mask: Mask, values: Array, bits: int | None) -> Array:
    """Which values of a mask, integers of any shape, mark a bad pixel; `bits` as `bits_of` gives them."""
    with np.errstate(invalid="ignore"):  # scaled integers are floats, NaN where BLANK stands
        marked = values != 0 if bits is None else values.astype(np.int64) & bits != 0
    return ~marked | (values != values) if mask.good else marked  # noqa: PLR0124 - NaN is what is not itself


def masked(mask: Mask, image: ImageHeader, x: Floats, y: Floats, size: int) -> Array:
    """Which pixels of stamps are bad, (n, size, size) bool; positions as in `catalogs.images.cut`. What is off the image is not."""
    values = np.zeros((len(x), size, size), np.int64)
    images.cut(image, x, y, size, out=values)
    return are_bad(mask, values, bits_of(mask, image))
