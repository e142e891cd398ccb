"""Stamps out of FITS images, cut in bulk and never read whole in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from catalogs import bounds, headers, pixels, storage, tile_cache
from catalogs.cleaning import in_cache
from catalogs.errors import CorruptFile
from catalogs.image_header import ImageHeader, NotAnImage

if TYPE_CHECKING:
    from astropy.io import fits

    from catalogs._types import Array, Floats, Integers


def open_image(url: str, hdu: int | str | None = None) -> ImageHeader:
    """Read the header of a tile.

    Parameters
    ----------
    url : str
        Path or fsspec URL; compressed files are decompressed, tile compression (`.fz`) is known from the header.
    hdu : int or str, optional
        HDU number or EXTNAME; by default the first two-dimensional image.

    Raises
    ------
    NotAnImage
        If there is no such image in the file, its pixels cannot be read, or the file is cut short.
    """
    return tile_cache.opened(url, hdu, _open_image)


def _open_image(url: str, hdu: int | str | None) -> ImageHeader:
    try:
        with storage.glancing(url) as (stream, compression):
            for number, header, offset in headers.walk(stream):
                if hdu not in (None, number, header.get("EXTNAME", "").strip()) or not is_image(header):
                    continue
                image = image_in(url, number, header, offset, compression)
                if not headers.is_complete(url, offset + headers.data_bytes(header), compression):
                    msg = "is truncated"
                    raise NotAnImage(msg)
                return image
    except bounds.TooLarge as error:
        raise NotAnImage(str(error), error.remedy) from error
    except headers.MALFORMED as error:
        if isinstance(error, NotAnImage | FileNotFoundError | PermissionError):
            raise
        raise NotAnImage(headers.first_line(error)) from error
    raise NotAnImage("has no two-dimensional image" + ("" if hdu is None else f" in HDU {hdu!r}"))


def is_image(header: fits.Header) -> bool:
    """Whether an HDU is a two-dimensional image, tile-compressed or not."""
    compressed = bool(header.get("ZIMAGE", False))
    kind = "IMAGE" if compressed else str(header.get("XTENSION", "IMAGE")).strip()
    return kind == "IMAGE" and int(header.get("ZNAXIS" if compressed else "NAXIS", 0)) == 2


def image_in(url: str, number: int, header: fits.Header, offset: int, compression: str | None) -> ImageHeader:
    """The image of an HDU whose header was read; refused where its pixels cannot be.

    Raises
    ------
    NotAnImage
        If it is no image, has no pixels or none that can be read; `bounds.TooLarge` if it is too large.
    """
    if not is_image(header):
        raise NotAnImage("this HDU is no two-dimensional image")
    image = ImageHeader(url, number, header, offset, bool(header.get("ZIMAGE", False)), compression)
    if min(image.shape) < 1:
        raise NotAnImage(f"has no pixels: its axes are {image.shape[1]} x {image.shape[0]}")
    bounds.check_image(number, header)
    pixels.check(header)
    return image


def cut(
    image: ImageHeader, x: Floats, y: Floats, size: int, out: Array | None = None
) -> tuple[Array, Integers]:
    """Cut one stamp around each position.

    Parameters
    ----------
    image : ImageHeader
    x, y : (n,) float
        Pixel coordinates of the centres, 0-based (the first pixel's centre is 0); NaN is off the image.
    size : int
        Side of the stamps. A stamp covers pixels ceil(x - size / 2) and up, as astropy's `Cutout2D` does.
    out : (n, size, size) float32 or int64, optional
        Array to write the stamps to; a new one, float32, by default.

    Returns
    -------
    stamps : (n, size, size) float32
        Native byte order; pixels off the image are NaN (0 among integers).
    covered : (n,) int
        How many pixels of each stamp lie on the image.

    Raises
    ------
    CorruptFile
        If the pixels can't be read.
    """
    ny, nx = image.shape
    stamps = np.empty((len(x), size, size), np.float32) if out is None else out
    far = 4 * max(nx, ny, size)
    x0 = np.ceil(np.nan_to_num(x, nan=-far).clip(-far, far) - size / 2).astype(np.int64)
    y0 = np.ceil(np.nan_to_num(y, nan=-far).clip(-far, far) - size / 2).astype(np.int64)
    inside = (x0 >= 0) & (y0 >= 0) & (x0 + size <= nx) & (y0 + size <= ny)
    stamps[~inside] = np.nan if stamps.dtype.kind == "f" else 0
    touching = ~inside & (x0 + size > 0) & (y0 + size > 0) & (x0 < nx) & (y0 < ny)
    wanted = np.flatnonzero(inside | touching)
    wanted = wanted[np.argsort(y0[wanted], kind="stable")]
    try:
        with tile_cache.rows_of(image) as rows:
            while len(wanted):
                first, ends = max(int(y0[wanted[0]]), 0), np.minimum(y0[wanted] + size, ny)
                last = (
                    ny
                    if rows.random_access
                    else min(_together(y0[wanted], ends), first + max(rows.most, size))
                )
                now = wanted[: np.searchsorted(ends, last, side="right")]
                strip = rows.strip(first, last)
                _gather(strip, x0[now], y0[now] - first, inside[now], stamps, now)
                wanted = wanted[len(now) :]
    except headers.MALFORMED as error:
        told = headers.first_line(error)
        raise CorruptFile(f"{image.url}: pixels cannot be read ({told}). Fetch the file again.") from error
    covered = _overlap(x0, size, nx) * _overlap(y0, size, ny)
    return stamps, covered


def _together(starts: Integers, ends: Integers) -> int:
    """Where the rows of stamps, ascending, leave a gap first, or end."""
    gaps = np.flatnonzero(starts[1:] > ends[:-1])
    return int(ends[gaps[0]] if len(gaps) else ends[-1])


def try_pixels(image: ImageHeader) -> None:
    """Decode a row in the middle of a tile-compressed image, of which its header tells little.

    Other images, and those on object stores, where it would take megabytes of each, are let pass.

    Raises
    ------
    NotAnImage
        If that fails.
    """
    if not image.compressed or not storage.is_local(image.url):
        return
    middle = image.shape[0] // 2
    try:
        with pixels.opened(image.url, image.compression) as file:
            file.rows(image).strip(middle, middle + 1)
    except bounds.TooLarge as error:
        raise NotAnImage(str(error), error.remedy) from error
    except headers.MALFORMED as error:
        raise NotAnImage(f"its pixels cannot be read ({headers.first_line(error)})") from error


def _overlap(start: Integers, size: int, side: int) -> Integers:
    return np.maximum(np.minimum(start + size, side) - np.maximum(start, 0), 0)


def _gather(strip: Array, x0: Integers, y0: Integers, inside: Array, stamps: Floats, to: Integers) -> None:
    size = stamps.shape[-1]
    if inside.any():
        # A fancy index over windows copies whole stamps in C, byte order and dtype fixed on the way.
        windows = np.lib.stride_tricks.sliding_window_view(strip, (size, size))
        whole = np.flatnonzero(inside)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is flagged as such
            for some in in_cache(len(whole), size * size):
                now = whole[some]
                stamps[to[now]] = windows[y0[now], x0[now]]
    for i in np.flatnonzero(~inside):
        ys = slice(max(y0[i], 0), min(y0[i] + size, strip.shape[0]))
        xs = slice(max(x0[i], 0), min(x0[i] + size, strip.shape[1]))
        target = np.s_[to[i], ys.start - y0[i] : ys.stop - y0[i], xs.start - x0[i] : xs.stop - x0[i]]
        with np.errstate(over="ignore"):
            stamps[target] = strip[ys, xs]
