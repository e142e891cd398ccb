"""FITS cutouts as arrays: one object a file, its bands in several HDUs or in the planes of a cube."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from catalogs import bounds, headers, images, pixels, storage
from catalogs.errors import CorruptFile
from catalogs.headers import first_line
from catalogs.image_header import ImageHeader, NotAnImage
from catalogs.picture_kinds import FETCH
from catalogs.pictures import Look, Unfit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from astropy.io import fits

    from catalogs._types import Array

__all__ = ["Cutout", "look", "pixels_of"]

BAND_KEYS = ("FILTER", "BAND", "FILTNAM1")
"""Cards that name the band of an image."""
NOT_LIGHT = re.compile(
    r"(.*[_-])?(wht|weight|ivar|invvar|var|variance|err|error|rms|sigma|noise|mask|dq|flags?|seg|segm|segmentation|psf|model|resid(ual)?|coverage|exp|context|con|bkg)",
    re.IGNORECASE,
)
"""EXTNAMEs of images that are beside the light: weights, errors, masks, models."""
THIRD_AXIS = re.compile(r"(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA|CNAME)3|(CD|PC)(3_\d|\d_3)|PV3_\d+|NAXIS3")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]*")


@dataclass(frozen=True)
class Cutout(Look):
    """What the headers of a cutout say."""

    names: tuple[str, ...] = ()
    """Of the bands, in the file's order or in the one that was asked for."""
    left_out: tuple[str, ...] = ()
    """EXTNAMEs of images that are no bands."""
    scale: float | None = None
    """Side of a pixel, arcsec."""
    position: tuple[float, float] | None = None
    """Right ascension and declination of the middle, degrees."""


@dataclass(frozen=True)
class _Plane:
    """An image HDU with its bands, which lie one above the other in a cube."""

    image: ImageHeader
    depth: int
    name: str

    @property
    def shape(self) -> tuple[int, int]:
        return self.image.shape[0] // self.depth, self.image.shape[1]


def look(file: Path, bands: Sequence[str] | None = None) -> Cutout:
    """A cutout's headers.

    Parameters
    ----------
    file : path
        FITS, also compressed. Its images are bands, but those whose EXTNAME says that they are weights, masks or the like; the planes of a cube are, where it is the only image.
    bands : sequence of str, optional
        EXTNAMEs of the HDUs that are taken, in this order, or names of a cube's planes. By default all, by EXTNAME, FILTER or BAND.

    Raises
    ------
    Unfit
        If the file is no FITS file, lacks a band, or has bands of unequal shapes.
    """
    planes, left_out = _planes(file, bands)
    first = planes[0]
    shapes = {plane.name: plane.shape for plane in planes}
    other = next((name for name, shape in shapes.items() if shape != first.shape), None)
    if other is not None:
        sizes = [f"{shapes[name][1]} x {shapes[name][0]}" for name in (first.name, other)]
        problem = f"has bands of unequal shapes ({first.name} {sizes[0]}, {other} {sizes[1]})"
        raise Unfit(problem, "Bring them onto one grid, or name those to take: --bands")
    names = _names(planes, bands)
    height, width = first.shape
    try:
        wcs = ImageHeader(first.image.url, first.image.hdu, _flat(first.image.header, 1), 0, False).wcs
    except NotAnImage as error:
        raise Unfit(str(error), "Mend its WCS, or take it out") from error
    scale = position = None
    if wcs is not None:
        scale = float(np.sqrt(np.abs(np.linalg.det(wcs.celestial.pixel_scale_matrix)))) * 3600.0
        ra, dec = wcs.celestial.all_pix2world(width / 2 - 0.5, height / 2 - 0.5, 0)
        position = (float(ra) % 360.0, float(dec)) if np.isfinite([ra, dec]).all() else None
    return Cutout(len(names), width, height, True, False, names, left_out, scale, position)


def pixels_of(file: Path, bands: Sequence[str] | None = None) -> Array:
    """A cutout's physical numbers, its last row on top as in a picture.

    Returns
    -------
    (y, x, band) float32 array
        NaN where BLANK stands, and as they are in the file.

    Raises
    ------
    Unfit
        As `look`; also if the pixels are damaged.
    """
    planes, _ = _planes(file, bands)
    try:
        with pixels.opened(str(file), planes[0].image.compression) as opened:
            rows = [opened.rows(plane.image).strip(0, plane.image.shape[0]) for plane in planes]
    except (CorruptFile, *headers.MALFORMED) as error:
        raise Unfit(f"has pixels that cannot be read ({first_line(error)})", FETCH) from error
    with np.errstate(over="ignore"):  # beyond float32: infinite, which is flagged where stamps are cleaned
        light = [
            row.reshape(plane.depth, *plane.shape).astype(np.float32)
            for row, plane in zip(rows, planes, strict=True)
        ]
    return np.moveaxis(np.concatenate(light), 0, -1)[::-1]


def _planes(file: Path, bands: Sequence[str] | None) -> tuple[list[_Plane], tuple[str, ...]]:
    """The images that are taken, in order, and the EXTNAMEs of the others."""
    try:
        found = _images(file)
    except FileNotFoundError as error:
        raise Unfit("this image is missing", "Fetch it, or drop its row") from error
    except headers.MALFORMED as error:
        raise Unfit(
            f"cannot be read as FITS ({first_line(error)})", getattr(error, "remedy", FETCH)
        ) from error
    if not found:
        raise Unfit("has no image of two or three axes", "Name another file, or drop its row")
    if len(found) == 1 and (bands is None or found[0].depth == len(bands)):
        return found, ()
    if bands is not None:
        named = {plane.name.lower(): plane for plane in reversed(found)}
        missing = next((band for band in bands if band.lower() not in named), None)
        if missing is not None:
            there = ", ".join(plane.name for plane in found)
            raise Unfit(f"has no band {missing} (there are: {there})", "Correct --bands, or drop its row")
        taken = [named[band.lower()] for band in bands]
    else:
        taken = [plane for plane in found if not NOT_LIGHT.fullmatch(plane.name)] or found
    cube = next((plane for plane in taken if plane.depth > 1), None)
    if cube is not None:
        problem = f"has a cube of {cube.depth} planes ({cube.name}) beside other images"
        raise Unfit(problem, "Store each band as an image of two axes, or the cube alone")
    return taken, tuple(plane.name for plane in found if plane not in taken)


def _images(file: Path) -> list[_Plane]:
    url, found = str(file), list[_Plane]()
    with storage.glancing(url) as (stream, compression):
        for number, header, offset in headers.walk(stream):
            z = "Z" if header.get("ZIMAGE", False) else ""
            kind = "IMAGE" if z else str(header.get("XTENSION", "IMAGE")).strip()
            axes = int(header.get(f"{z}NAXIS", 0))
            if kind != "IMAGE" or axes not in (2, 3) or not headers.data_bytes(header):
                continue
            depth = int(header[f"{z}NAXIS3"]) if axes == 3 else 1
            if depth > 1 and z:
                raise NotAnImage(f"HDU {number} is a compressed cube", "Decompress it with funpack")
            flat = _flat(header, depth)
            bounds.check_stamp(number, flat)
            image = images.image_in(url, number, flat, offset, compression)
            found.append(_Plane(image, depth, _name(header, number)))
    return found


def _flat(header: fits.Header, depth: int) -> fits.Header:
    """The header of a cube as that of an image of two axes, its planes one above the other."""
    flat = header.copy()
    for key in [key for key in flat if THIRD_AXIS.fullmatch(key)]:
        del flat[key]
    z = "Z" if header.get("ZIMAGE", False) else ""
    flat[f"{z}NAXIS"] = 2
    flat[f"{z}NAXIS2"] = int(header[f"{z}NAXIS2"]) * depth
    if "WCSAXES" in flat:
        flat["WCSAXES"] = 2
    return flat


def _name(header: fits.Header, number: int) -> str:
    for key in ("EXTNAME", *BAND_KEYS):
        name = str(header.get(key, "")).strip()
        if NAME.fullmatch(name) and name not in ("PRIMARY", "COMPRESSED_IMAGE"):
            return name
    return f"HDU{number}"


def _names(planes: Sequence[_Plane], bands: Sequence[str] | None) -> tuple[str, ...]:
    if bands is not None:
        return tuple(bands)
    if planes[0].depth > 1:
        return tuple(f"band{number + 1}" for number in range(planes[0].depth))
    names = tuple(plane.name for plane in planes)
    if len(names) == 1 and names[0].startswith("HDU"):
        return ("image",)
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise Unfit(f"has two images named {double}", "Give each an EXTNAME of its own, or pack one: --bands")
    return names
