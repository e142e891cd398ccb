"""Planes beside the images, masks and weight maps: where they lie, and whether they are on the images' pixels."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from catalogs import headers, images, path_template, storage, tile_columns
from catalogs.errors import CorruptFile
from catalogs.image_header import ImageHeader, NotAnImage
from catalogs.pixels import SOFTENING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from catalogs.survey import Plane

__all__ = ["beside", "check_shape", "is_of_floats", "is_wide", "open_on", "path_of", "plane_path"]

_APART = 0.5  # pixels


def path_of(template: str, values: Mapping[str, object], band: str, folder: str, kind: str = "image") -> str:
    """Fill a path template with a band and the catalog's values.

    A `*` in it stands for what only the file's name knows, such as a date; where no file is there, it is left in the path. Where `path` is a glob, the values have the files of a tile.

    Raises
    ------
    BadTemplate
        Where a value does not fit, more than one file does, or nobody can say which files there are.
    """
    on_tile = values.get(tile_columns.column_of(kind, template, band))
    if on_tile is not None:
        return storage.absolute(str(on_tile), folder)
    path = path_template.filled(template, values, band)
    if "*" not in template:
        return storage.absolute(path, folder)
    try:
        return _only_file(path_template.filled_pattern(template, values, band), folder)
    except FileNotFoundError:
        return storage.absolute(path, folder)


@functools.lru_cache(maxsize=1 << 16)
def _only_file(pattern: str, folder: str) -> str:
    """The file that a pattern fits; kept in mind, as listing a folder for each object would take longer than its stamp."""
    try:
        found = storage.expand(pattern, folder)
    except FileNotFoundError:
        raise
    except (
        OSError,
        ValueError,
        NotImplementedError,
    ) as error:  # a host that is not there, one that lists nothing
        told = headers.first_line(error)
        raise path_template.BadTemplate(f"{pattern!r} cannot be listed ({told})") from error
    if len(found) > 1:
        names = " and ".join(url.rsplit("/", 1)[-1] for url in found[:2])
        raise path_template.BadTemplate(f"{len(found)} files fit {pattern!r}, such as {names}")
    if not found:
        raise FileNotFoundError(pattern)
    return found[0]


def plane_path(
    name: str, plane: Plane, url: str, values: Mapping[str, object], band: str, folder: str
) -> str:
    """Where the plane of an image at `url` lies; raises `BadTemplate` where a value does not fit."""
    return url if plane.path is None else path_of(plane.path, values, band, folder, name)


@contextmanager
def beside(
    name: str,
    plane: Plane,
    *,
    url: str,
    values: Mapping[str, object],
    band: str,
    folder: str,
    opening: Callable[[str], None],
) -> Iterator[str]:
    """Where the plane of an image at `url` lies; what is wrong with it becomes a `CorruptFile` that names it."""
    try:
        place = plane_path(name, plane, url, values, band, folder)
        if place != url:
            opening(place)
        yield place
    except path_template.BadTemplate as error:
        raise CorruptFile(f"[survey.images.{name}] path: {error}. Correct it, or the catalog.") from error
    except FileNotFoundError as error:
        raise CorruptFile(f"{place}: this {name} is missing. Fetch it.") from error
    except NotAnImage as error:
        raise CorruptFile(f"{place}: {error}. {error.remedy}.") from error


def open_on(plane: Plane, name: str, url: str, tile: ImageHeader) -> ImageHeader:
    """Read the header of a tile's plane.

    Raises
    ------
    NotAnImage
        If there is none, or it is not on the tile's pixels.
    FileNotFoundError
    """
    found = images.open_image(url, plane.hdu)
    check_shape(name, found, tile)
    away = _away(found, tile)
    if away > _APART:
        raise NotAnImage(
            f"the {name}'s WCS puts its pixels {away:.1f} pixels beside those of {tile.url}",
            f"Check [survey.images.{name}]",
        )
    return found


def check_shape(name: str, plane: ImageHeader, image: ImageHeader) -> None:
    """Refuse a plane of another shape than its image.

    Raises
    ------
    NotAnImage
    """
    if plane.shape != image.shape:
        ours, theirs = (f"{shape[1]} x {shape[0]}" for shape in (plane.shape, image.shape))
        raise NotAnImage(
            f"the {name} has {ours} pixels, but {image.url} has {theirs}", f"Check [survey.images.{name}]"
        )


def is_of_floats(image: ImageHeader) -> bool:
    """Whether an image holds floating-point numbers."""
    return _bitpix(image) < 0


def is_wide(image: ImageHeader) -> bool:
    """Whether the physical numbers of an image are more than float32."""
    return _bitpix(image) not in (8, 16, -32) or "BSCALE" in image.header or SOFTENING in image.header


def _bitpix(image: ImageHeader) -> int:
    return int(image.header["ZBITPIX" if image.compressed else "BITPIX"])


def _away(plane: ImageHeader, tile: ImageHeader) -> float:
    """How far the plane's corners lie from the tile's, pixels; 0 where one of them has no WCS."""
    ours, theirs = plane.wcs, tile.wcs
    if ours is None or theirs is None:
        return 0.0
    ny, nx = tile.shape
    corners = np.array([[0.0, 0.0], [nx - 1.0, ny - 1.0]])
    there = theirs.wcs_world2pix(ours.wcs_pix2world(corners, 0), 0)
    return float(np.hypot(*(there - corners).T).max())
