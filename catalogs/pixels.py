"""The pixels of a FITS image, rows at a time: plain, compressed as a file or tile by tile; always the physical numbers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Protocol

import numpy as np
from astropy.io import fits

from catalogs import bounds, headers, storage
from catalogs.silence import silenced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalogs._types import Array
    from catalogs.image_header import ImageHeader

STORED = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
"""NumPy's types by BITPIX."""
CODECS = {"RICE_1", "RICE_ONE", "GZIP_1", "GZIP_2", "PLIO_1", "HCOMPRESS_1", "NOCOMPRESS"}
"""Values of ZCMPTYPE that astropy decodes."""
RICE = {"BLOCKSIZE": (16, 32), "BYTEPIX": (1, 2, 4, 8)}
"""Parameters of Rice codes (FITS standard 4.0, section 10.4.1); astropy's decoder runs over its buffers with others."""


SOFTENING = "BSOFTEN"
"""Card of images whose numbers are asinh magnitudes."""
POGSON = 2.5 * np.log10(np.e)


class Scale:
    """Stored numbers to physical ones: BSCALE, BZERO and BLANK (FITS standard 4.0, section 4.4.2.5), and the asinh scale of Pan-STARRS.

    There the scaled numbers are asinh magnitudes of the fluxes, `flux = BOFFSET + 2 BSOFTEN sinh(scaled / 1.0857)` (Waters et al. 2020, ApJS 251, 4).

    Raises
    ------
    headers.NotFits
        If one of these keywords is not a number.
    """

    def __init__(self, header: fits.Header, prefix: str = "") -> None:
        bitpix = int(header[f"{prefix}BITPIX"])
        self.stored = np.dtype(STORED[bitpix])
        self._scale, self._zero = _number(header, "BSCALE", 1.0), _number(header, "BZERO", 0.0)
        # Rice codes and the like keep BLANK; some writers call it ZBLANK there, as in images of floats
        blank = _number(header, "BLANK", np.nan)
        blank = _number(header, "ZBLANK", np.nan) if prefix and np.isnan(blank) else blank
        self._blank = None if bitpix < 0 or np.isnan(blank) else int(blank)
        self._softening, self._offset = _number(header, SOFTENING, 0.0), _number(header, "BOFFSET", 0.0)
        linear = self._scale == 1.0 and self._zero == 0.0 and not self._softening
        self.plain = linear and self._blank is None

    def __call__(self, stored: Array) -> Array:
        """The physical numbers, NaN where BLANK stands; float64 unless the stored ones are those already."""
        if self.plain:
            return stored
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # infinite pixels are flagged where stamps are cleaned
            scaled = stored.astype(np.float64) * self._scale + self._zero
        if self._blank is not None:
            scaled[stored == self._blank] = np.nan
        if self._softening:
            with np.errstate(over="ignore", invalid="ignore"):
                scaled = self._offset + 2.0 * self._softening * np.sinh(scaled / POGSON)
        return scaled


def _number(header: fits.Header, key: str, default: float) -> float:
    value = header.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise headers.NotFits(f"{key} = {value!r} is not a number")
    return float(value)


def check(header: fits.Header) -> None:
    """Refuse an image whose header says that its pixels cannot be read.

    Raises
    ------
    headers.NotFits
    """
    compressed = bool(header.get("ZIMAGE", False))
    Scale(header, "Z" if compressed else "")
    codec = str(header.get("ZCMPTYPE", "")).strip()
    if compressed and codec not in CODECS:
        raise headers.NotFits(f"ZCMPTYPE = {codec!r} is no compression that can be read")
    if compressed and "THEAP" in header:
        rows, theap = int(header["NAXIS1"]) * int(header["NAXIS2"]), header["THEAP"]
        last = rows + int(header.get("PCOUNT", 0))
        if isinstance(theap, bool) or not isinstance(theap, int) or not rows <= theap <= last:
            raise headers.NotFits(
                f"THEAP = {theap!r} is not between the table's rows and its end ({rows} to {last})"
            )
    if compressed and codec.startswith("RICE"):
        for number in (1, 2):
            name = str(header.get(f"ZNAME{number}", "")).strip().upper()
            value = header.get(f"ZVAL{number}")
            if name in RICE and (isinstance(value, bool) or value not in RICE[name]):
                raise headers.NotFits(f"{name} (ZVAL{number}) = {value!r} is none of {RICE[name]}")


class Rows(Protocol):
    """The rows of one image."""

    random_access: bool
    """Whether a strip costs nothing but the memory that is looked at."""
    most: int
    """Rows to ask for at once, at most."""

    def strip(self, first: int, last: int) -> Array:
        """Rows `first` to `last` (exclusive), physical numbers; strips are asked for in order."""
        ...

    def stored(self, first: int, last: int) -> Array:
        """The same, before the header's BSCALE, BZERO and BLANK are applied."""
        ...


class _MappedRows:
    """An uncompressed local file: the page cache holds what is needed, nothing is copied."""

    def __init__(self, image: ImageHeader) -> None:
        self._scale = Scale(image.header)
        self.random_access = self._scale.plain  # scaled numbers are copies
        self.most = image.shape[0] if self._scale.plain else bounds.STRIP
        self._data = np.memmap(
            storage.local_path(image.url), self._scale.stored, "r", image.offset, image.shape
        )

    def strip(self, first: int, last: int) -> Array:
        return self._scale(self.stored(first, last))

    def stored(self, first: int, last: int) -> Array:
        return self._data[first:last]


class _StreamedRows:
    """A compressed or remote file: rows come in order, and overlap with the strip before is kept."""

    random_access, most = False, bounds.STRIP

    def __init__(self, image: ImageHeader, stream: IO[bytes]) -> None:
        self._image, self._stream = image, stream
        self._scale = Scale(image.header)
        self._first, self._kept = 0, np.empty((0, image.shape[1]), self._scale.stored)

    def strip(self, first: int, last: int) -> Array:
        return self._scale(self.stored(first, last))

    def stored(self, first: int, last: int) -> Array:
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
        return self._kept


class _TileCompressedRows:
    """A tile-compressed image: astropy decodes just the compression tiles that a strip touches."""

    random_access, most = False, bounds.STRIP

    def __init__(self, hdu: fits.CompImageHDU, image: ImageHeader) -> None:
        self._hdu, self._scale = hdu, Scale(image.header, "Z")

    def strip(self, first: int, last: int) -> Array:
        return self._scale(self.stored(first, last))

    def stored(self, first: int, last: int) -> Array:
        try:
            return np.asarray(self._hdu.section[first:last, :])
        except Exception as error:  # astropy's decoders raise classes of their own, which it does not export
            raise OSError(str(error)) from error


class ImageFile:
    """An open FITS file, of whose images rows can be read."""

    def __init__(self, url: str, compression: str | None, stream: IO[bytes] | None) -> None:
        self._url, self._compression, self._stream = url, compression, stream
        self._hdus: fits.HDUList | None = None

    def rows(self, image: ImageHeader) -> Rows:
        """The rows of one of the file's images."""
        if image.compressed:
            bounds.check_cells(self._url, image.hdu, image.offset)
            with silenced():  # HDUs are read when they are asked for
                hdu = self._tile_compressed()[image.hdu]
            return _TileCompressedRows(hdu, image)
        return _MappedRows(image) if self._stream is None else _StreamedRows(image, self._stream)

    def _tile_compressed(self) -> fits.HDUList:
        # Numbers are scaled by us: astropy refuses to map a file into memory if they need it.
        if self._hdus is None:
            self._hdus = (
                fits.open(storage.local_path(self._url), memmap=True, do_not_scale_image_data=True)
                if self._stream is None
                else fits.open(self._stream, do_not_scale_image_data=True)
            )
        return self._hdus

    def close(self) -> None:
        """Close what was opened for tile-compressed images."""
        if self._hdus is not None:
            with silenced():
                self._hdus.close()


@contextmanager
def opened(url: str, compression: str | None) -> Iterator[ImageFile]:
    """Open a file to read images from it."""
    if storage.is_local(url) and compression is None:
        file = ImageFile(url, compression, None)
        try:
            yield file
        finally:
            file.close()
    else:
        with storage.reading(url, compression) as stream:
            yield ImageFile(url, compression, stream)
