"""Decoded tiles, kept from slice to slice: decoding one takes longer than cutting a slice's stamps from it.

They are in temporary files, and their pages in memory only while stamps are cut from them, or as long as the system has room.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING

from catalogs import identity, pixels, storage
from catalogs.decoded_tile import DecodedTile, decoded_bytes, decoded_type, rows_in
from catalogs.errors import FileChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

    from catalogs.decoded_tile import DecodedRows
    from catalogs.image_header import ImageHeader

__all__ = ["LIMIT", "TileCache", "begin_slice", "opened", "resize", "rows_of"]

LIMIT = 2 << 30
"""Bytes of decoded tiles that a process keeps unless it is told otherwise."""
MOST = 256
"""Tiles that it keeps: each has an open file."""
HEADERS = 1024
"""Headers of compressed files that it keeps."""
SETTLED = 50_000_000
"""Nanoseconds after its last change before a file is kept: changes within one tick of the file system's clock look like one."""


class TileCache:
    """Decoded tiles of one process; that which no slice has used for longest makes room for others.

    What the slice at work has used stays: it uses its tiles in the same order as the one before, and would remove each just before it is
    wanted again where they don't all fit. Any number of threads may use it.

    Parameters
    ----------
    limit : int
        Bytes of all tiles together.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._slice = limit, 0
        self._lock = Lock()
        self._tiles: OrderedDict[Hashable, DecodedTile] = OrderedDict()
        self._headers: OrderedDict[Hashable, tuple[str, ImageHeader]] = OrderedDict()

    @property
    def bytes(self) -> int:
        """Of the tiles that are kept, as if they were decoded whole."""
        return sum(tile.bytes for tile in self._tiles.values())

    def resize(self, limit: int) -> None:
        """Keep no more than so many bytes from now on; 0 keeps nothing."""
        with self._lock:
            self._limit = limit
            self._remove([key for key, tile in self._tiles.items() if not tile.users], 0)

    def begin_slice(self) -> None:
        """Say that another slice is read from now on."""
        with self._lock:
            self._slice += 1

    def opened(
        self, url: str, hdu: int | str | None, read: Callable[[str, int | str | None], ImageHeader]
    ) -> ImageHeader:
        """What `read` says of an image; of a compressed file of this machine, which it may have to decompress, once for each version."""
        version = _version(url) if storage.is_local(url) else None
        with self._lock:
            known, image = self._headers.get((url, hdu), ("", None))
        if image is not None and known == version:
            return replace(image)  # with a WCS of its own: wcslib's are not for several threads
        image = read(url, hdu)
        if image.compression is not None and version is not None and version == _version(url):
            with self._lock:
                self._headers[url, hdu] = version, image
                while len(self._headers) > HEADERS:
                    self._headers.popitem(last=False)
        return image

    @contextmanager
    def rows_of(self, image: ImageHeader) -> Iterator[pixels.Rows]:
        """The rows of an image, decoded only where they are not kept.

        Raises
        ------
        FileChanged
            If the file was replaced meanwhile, and rows of both versions may have been read.
        """
        tile = self._take(image)
        if tile is None:
            with pixels.opened(image.url, image.compression) as file:
                yield file.rows(image)
            return
        try:
            with rows_in(image, tile) as rows:
                yield rows
                if rows.fresh.any() or rows.full:
                    self._settle(image, tile, rows)
        finally:
            with self._lock:
                tile.users -= 1
                _close_unused(tile)

    def _take(self, image: ImageHeader) -> DecodedTile | None:
        """The place where an image is kept; None where it is none to keep, or there is no room."""
        if storage.is_local(image.url) and not (image.compressed or image.compression):
            return None
        version = _version(image.url)
        dtype = decoded_type(image)
        # all that matters of a header that may be another version's than the pixels
        key = (image.url, image.hdu, image.offset, image.shape, image.compressed, dtype)
        with self._lock:
            tile = self._tiles.get(key)
            if tile is not None and tile.version != version:
                self._drop(key)
                tile = None
            if tile is None and version is not None and self._make_room(decoded_bytes(image)):
                try:
                    tile = self._tiles[key] = DecodedTile(image, version)
                except OSError:
                    return None
            if tile is not None:
                self._tiles.move_to_end(key)
                tile.users, tile.last_slice = tile.users + 1, self._slice
            return tile

    def _make_room(self, needed: int) -> bool:
        """Remove tiles until so many bytes fit, if that can be."""
        idle = [key for key, tile in self._tiles.items() if not tile.users and tile.last_slice < self._slice]
        least = self.bytes - sum(self._tiles[key].bytes for key in idle)
        if least + needed > self._limit or len(self._tiles) - len(idle) >= MOST:
            return False
        self._remove(idle, needed)
        return True

    def _remove(self, keys: list[Hashable], needed: int) -> None:
        for key in keys:
            if self.bytes + needed <= self._limit and len(self._tiles) < MOST:
                break
            self._drop(key)

    def _drop(self, key: Hashable) -> None:
        tile = self._tiles.pop(key)
        tile.dropped = True
        _close_unused(tile)

    def _settle(self, image: ImageHeader, tile: DecodedTile, rows: DecodedRows) -> None:
        """Count rows as decoded if they are of the tile's version, and could be written."""
        changed = _version(image.url) != tile.version
        if not changed and not rows.full:
            tile.done |= rows.fresh
            return
        with self._lock:
            for key in [key for key, other in self._tiles.items() if other is tile]:
                self._drop(key)
        if changed and tile.done.any():
            raise FileChanged(f"{image.url}: was replaced while it was read. Run the same command again.")


def _close_unused(tile: DecodedTile) -> None:
    if tile.dropped and not tile.users:
        tile.close()


def _version(url: str) -> str | None:
    """Which version of a file is there, told more strictly than by a plan; None where nothing tells, or it has just changed."""
    try:
        if not storage.is_local(url):
            found = identity.identity(url)
            return None if found.endswith("@") else found
        info = storage.local_path(url).stat()
    except OSError:
        return None
    if time.time_ns() - info.st_ctime_ns < SETTLED:
        return None
    return f"{info.st_dev} {info.st_ino} {info.st_size} {info.st_mtime_ns} {info.st_ctime_ns}"


_ours = TileCache(LIMIT)
resize, begin_slice, opened, rows_of = _ours.resize, _ours.begin_slice, _ours.opened, _ours.rows_of
