"""One decoded image in a temporary file without a name: nothing is left of it when its process ends, however it ends."""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from catalogs import pixels
from catalogs.bounds import STRIP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from catalogs._types import Array
    from catalogs.image_header import ImageHeader

__all__ = ["DecodedRows", "DecodedTile", "decoded_bytes", "decoded_type", "rows_in"]

STRIPE = 64
"""Rows that are decoded together, at least."""
AT_ONCE = 64 << 20
"""Bytes of a tile-compressed image that are decoded at once, about."""


def decoded_bytes(image: ImageHeader) -> int:
    """Bytes of all pixels of an image."""
    return image.shape[0] * image.shape[1] * decoded_type(image).itemsize


def decoded_type(image: ImageHeader) -> np.dtype[np.generic]:
    """Type of the pixels of an image as its file stores them, in native byte order."""
    return _scale(image).stored.newbyteorder("=")


class DecodedTile:
    """The pixels of an image as its file stores them, as far as they have been decoded.

    Parameters
    ----------
    image : ImageHeader
    version : str
        Of the file.

    Raises
    ------
    OSError
        If no temporary file can be made.
    """

    def __init__(self, image: ImageHeader, version: str) -> None:
        self.version = version
        self.bytes = decoded_bytes(image)
        self.dtype, self.shape = decoded_type(image), image.shape
        high = int(image.header.get("ZTILE2", 1)) if image.compressed else 1
        self.stripe = -(-STRIPE // high) * high
        """Rows that are decoded together."""
        self.done = np.zeros(-(-image.shape[0] // self.stripe), bool)
        """Which of these stripes are in the file."""
        self.lock = Lock()
        """Held by who reads it."""
        self.users, self.dropped, self.last_slice = 0, False, 0
        """What the cache knows of it."""
        with tempfile.TemporaryFile(buffering=0, dir=os.environ.get("RAY_TMPDIR") or None) as file:
            os.ftruncate(file.fileno(), self.bytes)  # takes no room before something is written
            self._file = os.dup(file.fileno())

    def write(self, rows: Array, first: int) -> None:
        """Write rows from the row `first` on; raises OSError where the disk is full."""
        data = np.ascontiguousarray(rows, self.dtype).data.cast("B")
        offset = first * self.shape[1] * self.dtype.itemsize
        while data:
            # Not through memory that is mapped: a full disk would end the process.
            written = os.pwrite(self._file, data, offset)
            data, offset = data[written:], offset + written

    def pixels(self) -> Array:
        """All of them, (y, x), mapped into memory as long as the array lives; those of rows that are not done are of no meaning."""
        mapped = mmap.mmap(self._file, self.bytes, access=mmap.ACCESS_READ)
        return np.frombuffer(mapped, self.dtype).reshape(self.shape)

    def close(self) -> None:
        """Give the disk back what it takes, once no array of its pixels lives any more."""
        os.close(self._file)


class DecodedRows:
    """The rows of an image with a `DecodedTile`: those that are missing there are decoded first."""

    def __init__(self, image: ImageHeader, tile: DecodedTile, stack: ExitStack) -> None:
        self._image, self._tile, self._stack, self._scale = image, tile, stack, _scale(image)
        self._source: pixels.Rows | None = None
        self._kept = tile.pixels()
        self.random_access = self._scale.plain and bool(tile.done.all())
        self.most = tile.shape[0] if self._scale.plain else STRIP
        self.fresh = np.zeros(len(tile.done), bool)
        """Which stripes were decoded now."""
        self.full = False
        """Whether the disk was full."""

    def strip(self, first: int, last: int) -> Array:
        """See `pixels.Rows`."""
        return self._scale(self.stored(first, last))

    def stored(self, first: int, last: int) -> Array:
        """See `pixels.Rows`."""
        for stripes in self._missing(first, last):
            begin, end = stripes.start * self._tile.stripe, stripes.stop * self._tile.stripe
            decoded = self._opened().stored(begin, min(end, self._tile.shape[0]))
            try:
                self._tile.write(decoded, begin)
            except OSError:
                self.full, self._source = True, None  # the one that is open has gone further already
                break
            self.fresh[stripes] = True
        return self._opened().stored(first, last) if self.full else self._kept[first:last]

    def _missing(self, first: int, last: int) -> Iterator[slice]:
        """Runs of stripes to decode before rows can be had, in order; of a compressed file all before them, which are decompressed anyway."""
        if self.full:
            return
        stripe = self._tile.stripe
        decompressed = self._image.compression is not None and not self._image.compressed
        begin = 0 if decompressed else first // stripe
        wanted = np.arange(begin, -(-last // stripe))
        missing = wanted[~(self._tile.done | self.fresh)[wanted]]
        # astropy decodes many rows in less time than as many times a few
        high = (
            AT_ONCE // (self._tile.shape[1] * self._tile.dtype.itemsize) if self._image.compressed else STRIP
        )
        most = max(1, high // stripe)
        for run in np.split(missing, np.flatnonzero(np.diff(missing) > 1) + 1):
            for start in range(0, len(run), most):
                some = run[start : start + most]
                yield slice(int(some[0]), int(some[-1]) + 1)

    def _opened(self) -> pixels.Rows:
        if self._source is None:
            file = self._stack.enter_context(pixels.opened(self._image.url, self._image.compression))
            self._source = file.rows(self._image)
        return self._source


@contextmanager
def rows_in(image: ImageHeader, tile: DecodedTile) -> Iterator[DecodedRows]:
    """The rows of an image, whose file is open as long as it is needed."""
    with tile.lock, ExitStack() as stack:
        yield DecodedRows(image, tile, stack)


def _scale(image: ImageHeader) -> pixels.Scale:
    return pixels.Scale(image.header, "Z" if image.compressed else "")
