"""Pictures made byte by byte, so that what they hold is known without the reader that is tested."""

from __future__ import annotations

import struct
import zlib

import numpy as np

LETTERS = {1: "B", 2: "s", 3: "H", 4: "I", 12: "d"}


def tiff(pages: list[np.ndarray], order: str = "<", **tags: object) -> bytes:
    """An uncompressed TIFF: (y, x) or (y, x, sample) pages; `tags` (t262=0) replace or add tags of the pages."""
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0))
    link = 4
    for page in pages:
        samples = page.shape[2] if page.ndim == 3 else 1
        data = page.astype(page.dtype.newbyteorder(order)).tobytes()
        place = len(out)
        out += data + b"\0" * (len(data) % 2)
        kind = {"u": 1, "i": 2, "f": 3}[page.dtype.kind]
        found = {
            256: page.shape[1],
            257: page.shape[0],
            258: (8 * page.dtype.itemsize,) * samples,
            259: 1,
            262: 1 if samples < 3 else 2,
            273: place,
            277: samples,
            278: page.shape[0],
            279: len(data),
            339: (kind,) * samples,
            **{int(name[1:]): value for name, value in tags.items()},
        }
        entries, beyond = bytearray(), bytearray()
        start = len(out) + 2 + 12 * len(found) + 4
        for tag, value in sorted(found.items()):
            if isinstance(value, str):
                code, count, packed = 2, len(value) + 1, value.encode() + b"\0"
            else:
                values = value if isinstance(value, tuple) else (value,)
                code, count = 4 if max(values) > 65535 else 3, len(values)
                packed = struct.pack(f"{order}{count}{LETTERS[code]}", *values)
            if len(packed) > 4:
                where = struct.pack(order + "I", start + len(beyond))
                beyond += packed + b"\0" * (len(packed) % 2)
            else:
                where = packed.ljust(4, b"\0")
            entries += struct.pack(order + "HHI", tag, code, count) + where
        out[link : link + 4] = struct.pack(order + "I", len(out))
        link = len(out) + 2 + len(entries)
        out += struct.pack(order + "H", len(found)) + entries + struct.pack(order + "I", 0) + beyond
    return bytes(out)


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(rows: np.ndarray, colour: int, *more: bytes, level: int = 6) -> bytes:
    """A PNG of (y, x) or (y, x, sample) uint8 or uint16; `more` are chunks before the pixels."""
    bits = 8 * rows.dtype.itemsize
    head = struct.pack(">IIBBBBB", rows.shape[1], rows.shape[0], bits, colour, 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in rows)
    data = chunk(b"IDAT", zlib.compress(lines, level))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(more) + data + chunk(b"IEND", b"")
