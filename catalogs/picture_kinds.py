"""The format of a picture from its first bytes: its name may be wrong."""

from __future__ import annotations

HEAD = 512
"""Leading bytes that are looked at."""
FITS_REMEDY = "Let its name end in .fits"
CONVERT = "Save it as JPEG, PNG or TIFF, or drop its row"
UNPACK = "Unpack it, or drop its row"
FETCH = "Fetch it again, or drop its row"

_KINDS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"SIMPLE  =", "FITS", FITS_REMEDY),
    (0, b"XTENSION=", "FITS", FITS_REMEDY),
    (0, b"GIF8", "GIF", CONVERT),
    (0, b"BM", "BMP", CONVERT),
    (0, b"%PDF", "PDF", CONVERT),
    (0, b"%!PS", "PostScript", CONVERT),
    (8, b"WEBP", "WebP", CONVERT),
    (4, b"ftypavif", "AVIF", CONVERT),
    (4, b"ftyp", "HEIF", CONVERT),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000", CONVERT),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000", CONVERT),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL", CONVERT),
    (0, b"\xff\x0a", "JPEG XL", CONVERT),
    (0, b"\x76\x2f\x31\x01", "OpenEXR", CONVERT),
    (0, b"8BPS", "Photoshop", CONVERT),
    (0, b"\x93NUMPY", "NumPy", CONVERT),
    (0, b"\x89HDF", "HDF5", CONVERT),
    (0, b"XISF0100", "XISF", CONVERT),
    (0, b"\x1f\x8b", "gzip", UNPACK),
    (0, b"BZh", "bzip2", UNPACK),
    (0, b"\xfd7zXZ", "xz", UNPACK),
    (0, b"PK\x03\x04", "zip", UNPACK),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the picture itself", "Fetch it with git lfs pull"),
)  # fmt: skip
_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)


def picture_format(head: bytes) -> str | None:
    """JPEG, PNG or TIFF, if the bytes begin like one."""
    return next((name for signature, name in _SIGNATURES if head.startswith(signature)), None)


def kind(head: bytes) -> tuple[str, str]:
    """What a file is that is no JPEG, PNG or TIFF, and what to do about it.

    Parameters
    ----------
    head : bytes
        The file's first `HEAD` bytes.
    """
    if not head:
        return "is empty", FETCH
    for offset, signature, name, remedy in _KINDS:
        if head[offset:].startswith(signature):
            return f"is {name}", remedy
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "is HTML, as servers send it in place of a file that they lack", FETCH
    if start.startswith((b"<?xml", b"<svg", b"<")):
        return "is XML", FETCH
    if not head.strip(b"\0"):
        return "holds zeros", FETCH
    return "is no JPEG, PNG or TIFF", CONVERT
