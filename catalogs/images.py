"""Stamps out of FITS images: plain, gzipped or tile-compressed, cut in bulk and never read whole in memory."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from catalogs import bounds, headers, storage
from catalogs.bounds import STRIP
from catalogs.errors import CorruptFile
from catalogs.quiet import quiet
from catalogs.sky import celestial_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalogs._types import Array, Floats, Integers

CHUNK = 64
"""Stamps that are worked on at once: few enough that they stay in a core's cache from one pass to the next."""


MOST_AXES = 9
"""WCSAXES beyond this is no header's but a fault's, and wcslib crashes over large ones."""


class NotAnImage(ValueError):
    """The file is no FITS file, or holds no two-dimensional image where one is expected."""

    def __init__(
        self, problem: str, remedy: str = "Fetch the file again, or check [survey.images] path and hdu"
    ) -> None:
        super().__init__(problem)
        self.remedy = remedy


@dataclass(frozen=True)
class ImageHeader:
    """What the header of one tile says."""

    url: str
    hdu: int
    header: fits.Header
    offset: int
    compressed: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns (y, x) of the image."""
        prefix = "ZNAXIS" if self.compressed else "NAXIS"
        return int(self.header[f"{prefix}2"]), int(self.header[f"{prefix}1"])

    @property
    def wcs(self) -> WCS | None:
        """The celestial WCS, or None when the header has none.

        Raises
        ------
        NotAnImage
            If there is one, but it makes no sense.
        """
        try:
            if int(self.header.get("WCSAXES", 2)) > MOST_AXES:
                raise NotAnImage(f"has a WCS that cannot be used (WCSAXES = {self.header['WCSAXES']})")
            with quiet():
                wcs = WCS(self.header, naxis=2)
                found = wcs if wcs.has_celestial else None
                if found is not None:
                    celestial_frame(found)
        except NotAnImage:
            raise
        except Exception as error:  # astropy raises what it happens to over a header that makes no sense
            raise NotAnImage(f"has a WCS that cannot be used ({headers.first_line(error)})") from error
        return found

    @property
    def pixel_scale(self) -> float | None:
        """Side of a pixel in arcsec, from the WCS (the root of a pixel's area)."""
        wcs = self.wcs
        return None if wcs is None else float(np.sqrt(np.abs(np.linalg.det(wcs.pixel_scale_matrix)))) * 3600.0


def open_image(url: str, hdu: int | str | None = None) -> ImageHeader:
    """Read the header of a tile.

    Parameters
    ----------
    url : str
        Path or fsspec URL; `.gz` is gunzipped, tile compression (`.fz`) recognised from the header.
    hdu : int or str, optional
        HDU number or EXTNAME; by default the first two-dimensional image.

    Raises
    ------
    NotAnImage
        If there is no such image in the file, or the file is cut short.
    """
    try:
        with storage.glancing(url) as stream:
            for number, header, offset in headers.walk(stream):
                compressed = bool(header.get("ZIMAGE", False))
                if hdu not in (None, number, header.get("EXTNAME", "").strip()):
                    continue
                if int(header.get("ZNAXIS" if compressed else "NAXIS", 0)) != 2:
                    continue
                if header.get("XTENSION", "IMAGE").strip() != "IMAGE" and not compressed:
                    continue
                image = ImageHeader(url, number, header, offset, compressed)
                if min(image.shape) < 1:
                    raise NotAnImage(f"has no pixels: its axes are {image.shape[1]} x {image.shape[0]}")
                bounds.check_image(number, header)
                if not headers.is_complete(url, offset + headers.data_bytes(header)):
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


def cut(
    image: ImageHeader, x: Floats, y: Floats, size: int, out: Floats | None = None
) -> tuple[Floats, Integers]:
    """Cut one stamp around each position.

    Parameters
    ----------
    image : ImageHeader
    x, y : (n,) float
        Pixel coordinates of the centres, 0-based (the first pixel's centre is 0); NaN is off the image.
    size : int
        Side of the stamps. A stamp covers pixels ceil(x - size / 2) and up, as astropy's `Cutout2D` does.
    out : (n, size, size) float32, optional
        Array to write the stamps to; a new one by default.

    Returns
    -------
    stamps : (n, size, size) float32
        Native byte order; pixels off the image are NaN.
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
    stamps[~inside] = np.nan
    touching = ~inside & (x0 + size > 0) & (y0 + size > 0) & (x0 < nx) & (y0 < ny)
    wanted = np.flatnonzero(inside | touching)
    wanted = wanted[np.argsort(np.maximum(y0[wanted], 0), kind="stable")]
    try:
        with _rows(image) as rows:
            while len(wanted):
                first = max(int(y0[wanted[0]]), 0)
                last = ny if rows.random_access else min(first + max(STRIP, size), ny)
                now = wanted[: np.searchsorted(np.minimum(y0[wanted] + size, ny), last, side="right")]
                strip = rows.strip(first, last)
                _gather(strip, x0[now], y0[now] - first, inside[now], stamps, now)
                wanted = wanted[len(now) :]
    except headers.MALFORMED as error:
        told = headers.first_line(error)
        raise CorruptFile(f"{image.url}: pixels cannot be read ({told}). Fetch the file again.") from error
    covered = _overlap(x0, size, nx) * _overlap(y0, size, ny)
    return stamps, covered


def _overlap(start: Integers, size: int, side: int) -> Integers:
    return np.maximum(np.minimum(start + size, side) - np.maximum(start, 0), 0)


def _gather(strip: Array, x0: Integers, y0: Integers, inside: Array, stamps: Floats, to: Integers) -> None:
    size = stamps.shape[-1]
    if inside.any():
        # A fancy index over windows copies whole stamps in C, byte order and dtype fixed on the way.
        windows = np.lib.stride_tricks.sliding_window_view(strip, (size, size))
        whole = np.flatnonzero(inside)
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is flagged as such
            for first in range(0, len(whole), CHUNK):
                now = whole[first : first + CHUNK]
                stamps[to[now]] = windows[y0[now], x0[now]]
    for i in np.flatnonzero(~inside):
        ys = slice(max(y0[i], 0), min(y0[i] + size, strip.shape[0]))
        xs = slice(max(x0[i], 0), min(x0[i] + size, strip.shape[1]))
        target = np.s_[to[i], ys.start - y0[i] : ys.stop - y0[i], xs.start - x0[i] : xs.stop - x0[i]]
        with np.errstate(over="ignore"):
            stamps[target] = strip[ys, xs]


class _Rows(Protocol):
    random_access: bool

    def strip(self, first: int, last: int) -> Array: ...


class _MappedRows:
    """An uncompressed local file: the page cache holds what is needed, nothing is copied."""

    def __init__(self, image: ImageHeader) -> None:
        self._scale = _Scale(image.header)
        self.random_access = self._scale.plain  # scaled numbers are copies
        self._data = np.memmap(
            storage.local_path(image.url), self._scale.stored, "r", image.offset, image.shape
        )

    def strip(self, first: int, last: int) -> Array:
        return self._scale(self._data[first:last])


class _StreamedRows:
    """A gzipped or remote file: rows come in order, and overlap with the strip before is kept."""

    random_access = False

    def __init__(self, image: ImageHeader, stream: IO[bytes]) -> None:
        self._image, self._stream = image, stream
        self._scale = _Scale(image.header)
        self._first, self._kept = 0, np.empty((0, image.shape[1]), self._scale.stored)

    def strip(self, first: int, last: int) -> Array:
        kept = self._kept[max(first - self._first, 0) :]
        begin = first + len(kept)
        row_bytes = self._image.shape[1] * self._scale.stored.itemsize
        self._stream.seek(self._image.offset + begin * row_bytes)
        data = self._stream.read((last - begin) * row_bytes)
        if len(data) < (last - begin) * row_bytes:
            msg = f"the file ends before row {last}"
            raise EOFError(msg)
        fresh = np.frombuffer(data, self._scale.stored).reshape(last - begin, -1)
        self._first, self._kept = first, np.concatenate([kept, fresh])
        return self._scale(self._kept)


class _CompressedRows:
    """A tile-compressed image: astropy decodes just the compression tiles that a strip touches."""

    random_access = False

    def __init__(self, hdu: fits.CompImageHDU) -> None:
        self._hdu = hdu

    def strip(self, first: int, last: int) -> Array:
        try:
            return np.asarray(self._hdu.section[first:last, :])
        except Exception as error:  # astropy's decoders raise classes of their own, which it does not export
            raise OSError(str(error)) from error


class _Scale:
    """Stored numbers to physical ones: BSCALE, BZERO and BLANK (FITS standard 4.0, section 4.4.2.5)."""

    def __init__(self, header: fits.Header) -> None:
        bitpix = int(header["BITPIX"])
        self.stored = np.dtype({8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}[bitpix])
        self._scale, self._zero = float(header.get("BSCALE", 1.0)), float(header.get("BZERO", 0.0))
        self._blank = header.get("BLANK") if bitpix > 0 else None
        self.plain = self._scale == 1.0 and self._zero == 0.0 and self._blank is None

    def __call__(self, strip: Array) -> Array:
        if self.plain:
            return strip
        scaled = strip.astype(np.float64) * self._scale + self._zero
        if self._blank is not None:
            scaled[strip == self._blank] = np.nan
        return scaled


@contextmanager
def _rows(image: ImageHeader) -> Iterator[_Rows]:
    if image.compressed:
        remote = not storage.is_local(image.url)
        bounds.check_cells(image.url, image.hdu, image.offset)
        with quiet(), fits.open(image.url, memmap=not remote, use_fsspec=remote) as hdus:
            yield _CompressedRows(hdus[image.hdu])
    elif storage.is_local(image.url) and not image.url.endswith(".gz"):
        yield _MappedRows(image)
    else:
        with storage.reading(image.url) as stream:
            yield _StreamedRows(image, stream)
