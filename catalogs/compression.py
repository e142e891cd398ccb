"""Compressed files as streams of what is in them, whatever compresses FITS: gzip, bzip2, xz, zip and compress."""

from __future__ import annotations

import bz2
import io
import lzma
import zipfile
import zlib
from typing import IO, TYPE_CHECKING, cast

from uncompresspy import LZWFile

if TYPE_CHECKING:
    from collections.abc import Callable

MAGIC = {
    b"\x1f\x8b\x08": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"PK\x03\x04": "zip",
    b"\x1f\x9d": "compress",
}
"""What compressed files begin with. A file's name says nothing: servers unpack, and forget to rename."""
LONGEST_MAGIC = max(map(len, MAGIC))
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
"""What decompressors raise, beside OSError."""
CHUNK = 1 << 16
LZW_UNKNOWN, LZW_WIDTH, LZW_WIDEST = 0x60, 0x1F, 16
"""Of the third byte that compress(1) writes: bits without a meaning, those of the widest code, and the most that these may be."""


def compression_of(head: bytes) -> str | None:
    """What a file is compressed with, by its first bytes; None where it is not."""
    return next((kind for magic, kind in MAGIC.items() if head.startswith(magic)), None)


def decompressed(stream: IO[bytes], kind: str) -> IO[bytes]:
    """A seekable stream of what is in a compressed one; seeking backwards starts anew.

    Raises
    ------
    OSError
        If a zip archive holds more than one file, or cannot be read.
    """
    openers: dict[str, Callable[[IO[bytes]], IO[bytes]]] = {
        "gzip": lambda raw: io.BufferedReader(GzipMembers(raw), CHUNK),
        "bzip2": lambda raw: cast("IO[bytes]", bz2.BZ2File(raw)),
        "xz": lambda raw: cast("IO[bytes]", lzma.LZMAFile(raw)),  # noqa: SIM115 - whoever asked closes it
        "zip": _only_file_in,
        "compress": _lzw,
    }
    return openers[kind](stream)


def _lzw(stream: IO[bytes]) -> IO[bytes]:
    header = stream.read(3)
    stream.seek(0)
    # Of other flags the library would warn and go on, and wider codes would take any amount of memory.
    if len(header) == 3 and (header[2] & LZW_UNKNOWN or header[2] & LZW_WIDTH > LZW_WIDEST):
        raise ValueError(f"its third byte is {header[2]:#04x}, which compress(1) does not write")
    return cast("IO[bytes]", LZWFile(stream, warn_truncation=False))


class GzipMembers(io.RawIOBase):
    """What gunzip makes of a file: all of its members, and nothing of what is behind them.

    Python's own `gzip` takes bytes behind the last member for a damaged one; tapes and some archives leave such.
    The checksum of a member is compared when its end is read.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self._begin()

    def _begin(self) -> None:
        self._stream.seek(0)
        self._inflate = zlib.decompressobj(wbits=31)
        self._left, self._position, self._fresh, self._over = b"", 0, True, False

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """It can be sought in."""
        return True

    def tell(self) -> int:
        """Bytes before the next one."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte, no further than to the end; the end is found by reading on to it."""
        if whence == io.SEEK_END:
            while self.read(CHUNK):
                pass
        target = offset + (0 if whence == io.SEEK_SET else self._position)
        if target < self._position:
            self._begin()
        while self._position < target and self.read(min(CHUNK, target - self._position)):
            pass
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill a buffer as far as one step of inflating goes; 0 at the end."""
        while not self._over and len(buffer):
            if self._inflate.eof and not self._next_member():
                break
            data = self._left or self._stream.read(CHUNK)
            if not data:
                if self._fresh and self._position:
                    break
                raise EOFError("it ends before its end-of-stream mark")
            self._fresh = False
            found = self._inflate.decompress(data, len(buffer))
            self._left = self._inflate.unconsumed_tail or self._inflate.unused_data
            if found:
                buffer[: len(found)] = found
                self._position += len(found)
                return len(found)
        return 0

    def _next_member(self) -> bool:
        """Whether another member follows; zeros may stand between, all else is not the file's."""
        left = self._left.lstrip(b"\0")
        while len(left) < LONGEST_MAGIC and (more := self._stream.read(CHUNK)):
            left = (left + more).lstrip(b"\0")
        self._over = compression_of(left) != "gzip"
        self._inflate, self._left, self._fresh = zlib.decompressobj(wbits=31), left, True
        return not self._over


def _only_file_in(stream: IO[bytes]) -> IO[bytes]:
    archive = zipfile.ZipFile(stream)
    names = archive.namelist()
    if len(names) != 1:
        raise OSError(f"it is a zip archive of {len(names)} files, not of one")
    try:
        return archive.open(names[0])
    except (NotImplementedError, RuntimeError) as error:  # another method of compression, or a password
        raise OSError(f"its zip archive cannot be read ({error})") from error
