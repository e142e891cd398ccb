"""Files from strangers that ask for all memory there is: how they are made, and what looking at each of them takes.

Run as a script, with a folder: every bomb is set off in a process of its own, whose memory and time are limited.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import sys
import traceback
import zlib
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from tests.conftest import TinyRelease

ROOM = 3 << 30
"""Address space beyond what the imports take: the largest thing that is allowed at once, and its copies."""
SECONDS = 100
PIXEL = {"position": "pixel", "pixel_scale": 0.2}
BARE = {"ra": None, "dec": None, "keep": []}
HDUS = {"layout": "extensions", "path": "images/{TILE}.fits", "hdu_column": "NUMBER", "pixel_scale": 0.2}


def header(**cards: Any) -> bytes:
    """A header's blocks; astropy would refuse to write some of them."""
    lines = [f"{key:<8}= {_value(value):>20}" for key, value in cards.items()]
    text = "".join(line.ljust(80) for line in [*lines, "END"])
    return text.ljust(-(-len(text) // 2880) * 2880).encode()


def _value(value: Any) -> str:
    return (
        ("T" if value else "F")
        if isinstance(value, bool)
        else f"'{value}'"
        if isinstance(value, str)
        else str(value)
    )


PRIMARY = header(SIMPLE=True, BITPIX=8, NAXIS=0, EXTEND=True)


def image(bits: int, columns: int, rows: int, **more: Any) -> bytes:
    return header(SIMPLE=True, BITPIX=bits, NAXIS=2, NAXIS1=columns, NAXIS2=rows, **more)


def table(row: int, rows: int, form: str, heap: int = 0, **more: Any) -> bytes:
    keys = {"XTENSION": "BINTABLE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": row, "NAXIS2": rows, "PCOUNT": heap}
    return PRIMARY + header(
        **keys, GCOUNT=1, TFIELDS=1, TTYPE1=more.pop("name", "NUMBER"), TFORM1=form, **more
    )


def compressed(
    columns: int, rows: int, tile: tuple[int, int], cell: bytes = b"", kind: str = "GZIP_1"
) -> bytes:
    z = {"ZIMAGE": True, "ZCMPTYPE": kind, "ZBITPIX": 16, "ZNAXIS": 2, "ZNAXIS1": columns, "ZNAXIS2": rows}
    z |= {"ZTILE1": tile[0], "ZTILE2": tile[1]}
    descriptor = np.array([len(cell), 0], ">i4").tobytes()
    text = table(8, 1, f"1PB({len(cell)})", len(cell), name="COMPRESSED_DATA", **z)
    return padded(text + descriptor + cell)


def padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 2880)


def zeros(count: int) -> bytes:
    """So many zero bytes as a gzip stream, which takes a thousandth of them; its checksum is none."""
    deflate = zlib.compressobj(9, wbits=31)
    start = deflate.compress(b"") + deflate.flush(zlib.Z_FULL_FLUSH)
    block = deflate.compress(bytes(1 << 24)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return start + block * (count >> 24) + deflate.flush()


def sparse(path: Path, start: bytes, size: int) -> None:
    """A file that promises to be long, and takes a few blocks of the disk."""
    with path.open("wb") as stream:
        stream.write(start)
        stream.truncate(size)


class Bombs:
    """Each method turns a tiny release into a bomb and returns what its config needs."""

    def __init__(self, release: TinyRelease) -> None:
        self.release = release
        self.tile = release.folder / "images" / "t0_r.fits"
        self.shard = release.folder / "catalogs" / "s00.fits"

    def _compressed(self, data: bytes) -> dict[str, Any]:
        Path(f"{self.tile}.fz").write_bytes(data)
        return {"images": {**PIXEL, "path": "images/{TILE}_{band}.fits.fz"}}

    def _gzipped(self, data: bytes) -> dict[str, Any]:
        Path(f"{self.tile}.gz").write_bytes(data)
        return {"images": {**PIXEL, "path": "images/{TILE}_{band}.fits.gz"}}

    def image_of_a_yottabyte(self) -> dict[str, Any]:
        self.tile.write_bytes(image(-64, 10**12, 10**12))
        return {"images": PIXEL}

    def image_of_many_rows(self) -> dict[str, Any]:
        self.tile.write_bytes(image(-32, 1000, 10**15))
        return {"images": PIXEL}

    def gzip_that_promises_terabytes(self) -> dict[str, Any]:
        return self._gzipped(gzip.compress(image(-32, 100_000, 10_000_000) + bytes(28_800)))

    def gzip_of_long_rows(self) -> dict[str, Any]:
        return self._gzipped(gzip.compress(image(-32, 2**28, 3) + bytes(28_800)))

    def one_compression_tile_for_all(self) -> dict[str, Any]:
        return self._compressed(compressed(100_000, 100_000, (100_000, 100_000)))

    def compressed_rows_of_a_gigapixel(self) -> dict[str, Any]:
        return self._compressed(compressed(2**30, 2, (2**30, 1), kind="RICE_1"))

    def compression_tile_of_nothing(self) -> dict[str, Any]:
        return self._compressed(compressed(64, 64, (0, 0)))

    def compressed_tile_that_inflates(self) -> dict[str, Any]:
        return self._compressed(compressed(80, 80, (80, 80), zeros(8 << 30)))

    def distortions_of_a_high_order(self) -> dict[str, Any]:
        with fits.open(self.tile, mode="update") as file:
            for axis in "AB":
                file[0].header[f"{axis}_ORDER"] = 100_000
            file[0].header["CTYPE1"], file[0].header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
        return {}

    def header_without_end(self) -> dict[str, Any]:
        self.tile.write_bytes(
            b"SIMPLE  =                    T".ljust(80) + b"COMMENT x".ljust(80) * 1_000_000
        )
        return {"images": PIXEL}

    def header_without_end_in_gzip(self) -> dict[str, Any]:
        card = b"SIMPLE  =                    T".ljust(80)
        return self._gzipped(gzip.compress(card) + zeros(4 << 30))

    def row_of_terabytes(self) -> dict[str, Any]:
        self.shard.write_bytes(table(4 * 10**12, 0, "1000000000000E"))
        return {}

    def row_of_gigabytes_that_is_there(self) -> dict[str, Any]:
        start = table(8 << 30, 1, f"{1 << 30}K")
        sparse(self.shard, start, len(start) + (8 << 30))
        return {}

    def rows_of_no_length(self) -> dict[str, Any]:
        self.shard.write_bytes(table(0, 10**15, "0A"))
        return {}

    def rows_without_number(self) -> dict[str, Any]:
        self.shard.write_bytes(table(8, 10**15, "K") + bytes(2880))
        return {}

    def rows_without_number_in_gzip(self) -> dict[str, Any]:
        self.shard.unlink()
        Path(f"{self.shard}.gz").write_bytes(gzip.compress(table(8, 10**12, "K") + bytes(2880)))
        return {"survey": {"catalogs": "catalogs/*.fits.gz"}}

    def heap_of_an_exabyte(self) -> dict[str, Any]:
        # Of the HDU before the table: its own heap is never read.
        self.shard.write_bytes(header(SIMPLE=True, BITPIX=8, NAXIS=1, NAXIS1=1, PCOUNT=10**18) + bytes(2880))
        return {}

    def scaled_image_of_gigabytes(self) -> dict[str, Any]:
        start = image(16, 20_000, 20_000, BSCALE=2.0)
        sparse(self.tile, start, len(start) + 2 * 20_000**2 + 2880)
        return {"images": PIXEL}

    def thin_rows(self) -> dict[str, Any]:
        start = table(1, 10**8, "B")
        sparse(self.shard, start, len(start) + 10**8 + 2880)
        self.tile.rename(self.tile.with_name("whole.fits"))
        return {
            "images": {**PIXEL, "path": "images/whole.fits", "x": "NUMBER", "y": "NUMBER"},
            "survey": BARE,
        }

    def _stamps(self, *hdus: bytes) -> dict[str, Any]:
        (self.release.folder / "catalogs" / "images").mkdir()
        self.stamps = self.release.folder / "catalogs" / "images" / "t0.fits"
        self.stamps.write_bytes(PRIMARY + b"".join(hdus))
        return {"images": HDUS}

    def stamp_of_ten_gigapixels(self) -> dict[str, Any]:
        keys = {"XTENSION": "IMAGE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": 100_000, "NAXIS2": 100_000}
        told = self._stamps(header(**keys, PCOUNT=0, GCOUNT=1))
        sparse(self.stamps, self.stamps.read_bytes(), 10**10 + 5760)
        return told

    def compressed_stamp_of_ten_gigapixels(self) -> dict[str, Any]:
        return self._stamps(compressed(100_000, 100_000, (100_000, 1))[len(PRIMARY) :])

    def stamp_that_inflates(self) -> dict[str, Any]:
        return self._stamps(compressed(80, 80, (80, 80), zeros(8 << 30))[len(PRIMARY) :])


BOMBS = sorted(name for name in vars(Bombs) if not name.startswith("_"))


def set_off(name: str, folder: Path) -> dict[str, Any]:
    """Look at a release with a bomb in it, read it where the plan lets it pass, and say what came of it."""
    from catalogs.errors import CorruptFile, Refused
    from catalogs.inspect import inspect
    from catalogs.slices import slices_of
    from catalogs.survey import Survey

    release = TinyRelease(folder / name, shards=1, per_side=2)
    if "stamp" in name:
        release.table = release.table[:1]
        release.write(1)
    config = release.config(**getattr(Bombs(release), name)())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    address_space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (address_space + ROOM,) * 2)
    told: dict[str, Any] = {"kind": "passed", "faults": []}
    try:
        found = inspect(Survey.model_validate(config["survey"]), str(release.folder))
        for piece in islice(slices_of(found.shards, 16), 2):
            found.read(piece)
    except Refused as refused:
        told = {"kind": "refused", "faults": [vars(fault) for fault in refused.faults]}
    except CorruptFile as error:
        told = {"kind": "corrupt", "faults": [str(error)]}
    except Exception:  # noqa: BLE001 - whatever it is, the test shows it
        told = {"kind": "broke", "faults": traceback.format_exc().splitlines()[-8:]}
    return told | {"mebibytes": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def main(folder: Path, names: list[str]) -> None:
    """Set off every bomb in a fork of this process, which has the libraries loaded, one after the other."""
    import catalogs.inspect

    for name in names:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            signal.alarm(SECONDS)
            (folder / f"{name}.json").write_text(json.dumps(set_off(name, folder)))
            os._exit(0)
        os.waitpid(child, 0)
    assert catalogs.inspect


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or BOMBS)
