"""The headers of a FITS file, one after the other, without touching the data between them."""

from __future__ import annotations

from io import BytesIO
from math import prod
from typing import IO, TYPE_CHECKING, Any, TypeVar

from astropy.io import fits

from catalogs import storage
from catalogs.silence import silenced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

T = TypeVar("T")

BLOCK = 2880
END = b"END     "
LONGEST_HEADER = 4_000_000
LARGEST_HDU = 1 << 42
"""Bytes of an HDU's data that a header may promise; file systems refuse to seek much further."""
DEFLATE = 1032
"""Bytes that a byte of a deflate stream can become at most (zlib's own documentation)."""
SYNTHETIC = "SYNTH"
"""Keyword that is true in the headers of synthetic shards: see `catalogs.synthetic`."""
BITS = (8, 16, 32, 64, -32, -64)
"""What BITPIX may be (FITS standard 4.0, section 4.4.1.1)."""


MALFORMED = (
    *(OSError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError),
    *(OverflowError, AssertionError, MemoryError, fits.VerifyError),
)
"""What astropy and our own parsing raise over headers that are not what the standard says."""


class NotFits(ValueError):
    """The file is no FITS file, or ends where it must not."""


def first_line(error: BaseException) -> str:
    """What an error says, in one line; KeyError's quotes and wcslib's traces add nothing."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    # wcslib's first line says where in its source the fault is, the next one what it is.
    messages = [line for line in lines if not line.startswith("ERROR ")] or lines
    return messages[0].rstrip(".") if messages else type(error).__name__


def _whole(text: bytes) -> tuple[fits.Header, int]:
    """A header with all of its cards, and the bytes of its data."""
    with silenced():
        header = fits.Header.fromfile(BytesIO(text), padding=True)
        return header, data_bytes(header)


def walk(stream: IO[bytes]) -> Iterator[tuple[int, fits.Header, int]]:
    """Every HDU's number, header and the byte at which its data begin.

    Raises
    ------
    NotFits
        If the stream does not begin like a FITS file, ends where it must not, or has a header that makes no sense.
    """
    return walk_as(_whole, stream)


def walk_as(parse: Callable[[bytes], tuple[T, int]], stream: IO[bytes]) -> Iterator[tuple[int, T, int]]:
    """`walk` with parsed headers: `parse` takes a header's text, and also returns the number of bytes of the data."""
    if stream.read(6) != b"SIMPLE":
        msg = "is not a FITS file"
        raise NotFits(msg)
    stream.seek(0)
    number, position = 0, 0
    while (text := _header_text(stream)) is not None:
        try:
            header, length = parse(text)
        except MALFORMED as error:
            msg = f"the header of HDU {number} is damaged ({first_line(error)})"
            raise NotFits(msg) from error
        offset = position + len(text)
        yield number, header, offset
        if length:
            stream.seek(offset + length - 1)
            if not stream.read(1):
                msg = f"is truncated: it ends inside HDU {number}"
                raise NotFits(msg)
        number, position = number + 1, offset + length + -length % BLOCK
        stream.seek(position)


def data_bytes(header: Mapping[str, Any]) -> int:
    """Bytes that the data of an HDU take in the file, without the padding up to the next multiple of 2880."""
    axes = [int(header[f"NAXIS{i + 1}"]) for i in range(int(header["NAXIS"]))]
    bits, groups, heap = int(header["BITPIX"]), int(header.get("GCOUNT", 1)), int(header.get("PCOUNT", 0))
    if bits not in BITS or min([groups, heap, *axes]) < 0:
        msg = f"BITPIX = {bits}, axes {axes}, PCOUNT = {heap} and GCOUNT = {groups} describe no data"
        raise NotFits(msg)
    values = prod(axes) if axes else 0
    length = abs(bits) // 8 * groups * (heap + values)
    if length > LARGEST_HDU:
        msg = f"BITPIX = {bits}, axes {axes}, PCOUNT = {heap} and GCOUNT = {groups} promise {length} bytes"
        raise NotFits(msg)
    return length


def is_complete(url: str, needed: int, compression: str | None) -> bool:
    """Whether a file holds at least `needed` (decompressed) bytes.

    A gzip file of one member ends with its decompressed length, which for FITS is a multiple of 2880. Where those four
    bytes are something else, the file was cut off, has several members, lacks its padding or has something behind it: then it is
    read through to see, and so is what other compressions made.

    Raises
    ------
    OSError
        If the compressed stream is damaged.
    """
    if compression is None:
        return storage.size(url) >= needed
    if compression == "gzip" and _length_fits(url, needed):
        return True
    try:
        with storage.reading(url, compression) as stream:
            stream.seek(needed - 1)
            return bool(stream.read(1))
    except OSError as error:
        if isinstance(error.__cause__, EOFError):
            return False
        raise


def _length_fits(url: str, needed: int) -> bool:
    """Whether the last four bytes of a gzip file are a length that FITS files have, and enough."""
    stored = storage.size(url)
    if stored * DEFLATE < needed:
        return False
    length = int.from_bytes(storage.tail(url, 4), "little")
    wraps = range(needed >> 32, (needed >> 32) + 2)
    return any((length + (n << 32)) >= needed and (length + (n << 32)) % BLOCK == 0 for n in wraps)


def _header_text(stream: IO[bytes]) -> bytes | None:
    text = b""
    while len(text) < LONGEST_HEADER:
        block = stream.read(BLOCK)
        if not block and not text:
            return None
        if len(block) < BLOCK:
            msg = "is truncated: it ends inside a header"
            raise NotFits(msg)
        text += block
        end = block.find(END)
        while end % 80 and end >= 0:
            end = block.find(END, end + 1)
        if end >= 0:
            return text
    msg = "has no END in its header"
    raise NotFits(msg)
