"""Limits on the memory for a FITS file: a header that needs more is refused before anything is allocated."""

from __future__ import annotations

import zlib
from typing import IO

import numpy as np
from astropy.io import fits

from catalogs import headers, storage
from catalogs.silence import silenced

LARGEST = 1 << 30
"""Bytes that a strip of an image may take at once."""
LARGEST_ROW = 64 << 20
"""Bytes of one row of a table."""
LARGEST_STAMP = 1 << 26
"""Pixels of an image that is one stamp."""
LARGEST_FILE = 4 << 30
"""Bytes of the data of an HDU that is read whole."""
STRIP = 512
"""Rows of an image that are decoded at once."""
MOST_ORDER = 9
"""Order of SIP polynomials (Shupe et al. 2005); astropy allocates its square."""
WIDTH = {"B": 1, "I": 2, "J": 4}
"""Bytes of an element of a compressed cell, by its letter in TFORM."""
PIECE = 1 << 20


class TooLarge(headers.NotFits):
    """A header needs more memory than a run allows; `remedy` says what to do."""

    def __init__(self, hdu: int, problem: str, remedy: str) -> None:
        super().__init__(f"HDU {hdu} asks for too much memory: {problem}")
        self.remedy = remedy


def check_image(hdu: int, header: fits.Header) -> None:
    """Refuse an image whose rows or compression tiles do not fit into memory a strip at a time.

    Raises
    ------
    TooLarge
        Naming the HDU, the key and its value.
    """
    compressed = bool(header.get("ZIMAGE", False))
    z = "Z" if compressed else ""
    columns, rows = int(header[f"{z}NAXIS1"]), int(header[f"{z}NAXIS2"])
    bytes_each = max(4, abs(int(header[f"{z}BITPIX"])) // 8)
    high = STRIP
    problem = f"{z}NAXIS1 = {columns}"
    if compressed:
        tile = [int(header.get("ZTILE1", columns)), int(header.get("ZTILE2", 1))]
        if min(tile) < 1:
            msg = f"the header of HDU {hdu} is damaged (ZTILE1 = {tile[0]}, ZTILE2 = {tile[1]})"
            raise headers.NotFits(msg)
        table = int(header["NAXIS1"]) * int(header["NAXIS2"])
        if table > LARGEST:
            problem = (
                f"NAXIS1 = {header['NAXIS1']}, NAXIS2 = {header['NAXIS2']}: {_size(table)} of descriptors"
            )
            raise TooLarge(hdu, problem, "Fetch the file again, from where you trust it")
        high += 2 * tile[1]
        problem += f", ZTILE2 = {tile[1]}"
    taken = columns * min(high, rows) * bytes_each
    if taken > LARGEST:
        remedy = "Cut the image into narrower ones" + (
            ", or compress it in smaller tiles" if compressed else ""
        )
        raise TooLarge(hdu, f"{problem}: {_size(taken)} at once, more than {_size(LARGEST)}", remedy)
    for key in ("A_ORDER", "B_ORDER", "AP_ORDER", "BP_ORDER"):
        if int(header.get(key, 0)) > MOST_ORDER:
            raise TooLarge(hdu, f"{key} = {header[key]}, more than {MOST_ORDER}", "Mend the WCS")


def check_stamp(hdu: int, header: fits.Header) -> None:
    """Refuse an image that is too large to be one stamp; it is held whole."""
    check_image(hdu, header)
    z = "Z" if header.get("ZIMAGE", False) else ""
    columns, rows = int(header[f"{z}NAXIS1"]), int(header[f"{z}NAXIS2"])
    if columns * rows > LARGEST_STAMP:
        problem = f"{z}NAXIS1 = {columns}, {z}NAXIS2 = {rows}: a stamp of more than {LARGEST_STAMP:,} pixels"
        raise TooLarge(hdu, problem, 'Use layout = "tiles" for survey images')


def check_row(hdu: int, row_bytes: int, rows: int) -> None:
    """Refuse a table whose rows are too long to be held, or of no length at all and so of any number."""
    remedy = "Leave the file out of [survey] catalogs, or store images in files of their own"
    if row_bytes > LARGEST_ROW:
        problem = f"NAXIS1 = {row_bytes}: {_size(row_bytes)} a row, more than {_size(LARGEST_ROW)}"
        raise TooLarge(hdu, problem, remedy)
    if row_bytes == 0 and rows:
        raise TooLarge(hdu, f"NAXIS1 = 0, but NAXIS2 = {rows}", remedy)


def check_cells(url: str, number: int, data: int) -> None:
    """Refuse a tile-compressed image with a gzipped tile that inflates beyond bounds.

    Parameters
    ----------
    url : str
    number : int
        Of the image's HDU.
    data : int
        Byte at which its data begin.

    Raises
    ------
    TooLarge
    """
    with (
        silenced(),
        storage.reading(url) as opened,
        fits.open(opened, memmap=False, disable_image_compression=True) as hdus,
    ):
        hdu = hdus[number]
        header, long = hdu.header, _long_cells(hdu)
    heap = data + int(header.get("THEAP", int(header["NAXIS1"]) * int(header["NAXIS2"])))
    for name, row, offset, length in long:
        with storage.reading(url) as stream:
            stream.seek(heap + offset)
            if _inflated(stream, length) > LARGEST:
                problem = f"{name} of row {row + 1} inflates to more than {_size(LARGEST)}"
                raise TooLarge(number, problem, "Fetch the file again, from where you trust it")


def _long_cells(hdu: fits.BinTableHDU) -> list[tuple[str, int, int, int]]:
    """Column, row, offset in the heap and bytes of gzipped cells that could inflate beyond bounds."""
    found = []
    for column in hdu.columns:
        always = column.name == "COMPRESSED_DATA" and str(hdu.header.get("ZCMPTYPE")).startswith("GZIP")
        if always or column.name == "GZIP_COMPRESSED_DATA":
            each = WIDTH[str(column.format).lstrip("1")[1]]
            length, offset = hdu.data.view(np.ndarray)[column.name].reshape(-1, 2).astype(np.int64).T
            rows = np.flatnonzero(length * each > LARGEST // headers.DEFLATE)
            found += [(column.name, int(row), int(offset[row]), int(length[row]) * each) for row in rows]
    return found


def check_file(url: str) -> None:
    """Refuse a FITS file of which astropy, once it opens it whole, could take more than `LARGEST_FILE`."""
    with storage.glancing(url) as (stream, _):
        for number, header, offset in headers.walk(stream):
            taken = headers.data_bytes(header)
            if taken > LARGEST_FILE:
                raise TooLarge(number, f"its data take {_size(taken)}", "Convert it to Parquet")
            if header.get("ZIMAGE", False):
                check_stamp(number, header)
                check_cells(url, number, offset)


def _inflated(stream: IO[bytes], length: int) -> int:
    """Bytes that a gzip stream of some length becomes, counted in pieces and no further than beyond bounds."""
    found, left = 0, length
    inflate = zlib.decompressobj(wbits=31)
    while left > 0 and found <= LARGEST:
        piece = stream.read(min(PIECE, left))
        if not piece:
            break
        left -= len(piece)
        while piece and found <= LARGEST:
            try:
                found += len(inflate.decompress(piece, PIECE))
            except zlib.error:
                return found  # astropy says what is wrong with it
            piece = inflate.unconsumed_tail
            if inflate.eof:
                piece = inflate.unused_data.lstrip(b"\0")
                inflate = zlib.decompressobj(wbits=31)
    return found


def _size(count: int) -> str:
    return f"{count / 2**30:,.1f} GiB" if count >= 2**30 else f"{count / 2**20:,.0f} MiB"
