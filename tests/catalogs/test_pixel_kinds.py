"""The same galaxies in every way that FITS can hold them are the same stamps: what astropy reads is what is encoded."""

from __future__ import annotations

import bz2
import gzip
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn

from catalogs.pixels import Scale
from tests.catalogs.conftest import everything

SIDE = 32
BAD = np.s_[30:34, 50:60]
"""Pixels that hold nothing, in the kinds that can say so."""


def whole_numbers(tile: Path) -> np.ndarray:
    return np.clip(np.round(fits.getdata(tile) * 10 + 500), 0, 30_000)


def image(pixels: np.ndarray, **cards) -> Callable[[fits.Header], fits.HDUList]:
    def made(header: fits.Header) -> fits.HDUList:
        hdu = fits.PrimaryHDU(pixels, header)
        hdu.header.update(cards)
        return fits.HDUList([hdu])

    return made


def tiled(pixels: np.ndarray, codec: str, **cards) -> Callable[[fits.Header], fits.HDUList]:
    def made(header: fits.Header) -> fits.HDUList:
        hdu = fits.CompImageHDU(pixels, header, compression_type=codec, quantize_level=0)
        hdu.header.update(cards)
        return fits.HDUList([fits.PrimaryHDU(), hdu])

    return made


def scaled(pixels: np.ndarray, codec: str | None = None) -> Callable[[fits.Header], fits.HDUList]:
    """As survey pipelines store floats: int16 with BSCALE and BZERO."""
    stored = ((pixels - 1000) / 0.5).astype(np.int32)

    def made(header: fits.Header) -> fits.HDUList:
        plain = (
            fits.PrimaryHDU(stored, header)
            if codec is None
            else fits.CompImageHDU(stored, header, compression_type=codec)
        )
        plain.header["BSCALE"], plain.header["BZERO"] = 0.5, 1000.0
        return fits.HDUList([plain] if codec is None else [fits.PrimaryHDU(), plain])

    return made


def blank(pixels: np.ndarray, kind: type) -> np.ndarray:
    stored = pixels.astype(kind)
    stored[BAD] = -32768
    return stored


KINDS = {
    "float64": lambda p: image(p.astype(np.float64)),
    "little-endian float32": lambda p: image(p.astype("<f4")),
    "uint16": lambda p: image(p.astype(np.uint16)),
    "uint32": lambda p: image(p.astype(np.uint32)),
    "int64": lambda p: image(p.astype(np.int64)),
    "scaled": scaled,
    "Rice, uint16": lambda p: tiled(p.astype(np.uint16), "RICE_1"),
    "Rice, scaled": lambda p: scaled(p, "RICE_1"),
    "gzip tiles, int32": lambda p: tiled(p.astype(np.int32), "GZIP_2"),
    "gzip tiles, uint16": lambda p: tiled(p.astype(np.uint16), "GZIP_1"),
    "hcompress, int16": lambda p: tiled(p.astype(np.int16), "HCOMPRESS_1"),
    "lossless floats in gzip tiles": lambda p: tiled(p.astype(np.float32), "GZIP_2"),
}  # fmt: skip
WITH_BLANK = {
    "int16": lambda p: image(blank(p, np.int16), BLANK=-32768),
    "int32": lambda p: image(blank(p, np.int32), BLANK=-32768),
    "Rice, int16": lambda p: tiled(blank(p, np.int16), "RICE_1", BLANK=-32768),
    "gzip tiles, int32": lambda p: tiled(blank(p, np.int32), "GZIP_1", BLANK=-32768),
}  # fmt: skip
STORED = {"": lambda c: c, "gzip": gzip.compress, "gzip, two members": lambda c: gzip.compress(c[:9999]) + gzip.compress(c[9999:]), "bzip2": bz2.compress}  # fmt: skip


@pytest.fixture
def tile(tiny) -> Path:
    return tiny.folder / "images" / "t0_r.fits"


def write(tile: Path, made: Callable[[fits.Header], fits.HDUList], stored: str = "") -> None:
    header = fits.getheader(tile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy speaks of BLANK and of unsigned numbers
        made(header).writeto(tile, overwrite=True)
    tile.write_bytes(STORED[stored](tile.read_bytes()))


@pytest.mark.parametrize("kind", KINDS)
def test_a_tile_of_any_numbers_gives_the_same_objects(look, tile, kind):
    pixels = whole_numbers(tile)
    write(tile, image(pixels.astype(np.float32)))
    expected = everything(look(), 64)
    write(tile, KINDS[kind](pixels))
    assert everything(look(), 64).equals(expected)


@pytest.mark.parametrize("stored", ["gzip", "gzip, two members", "bzip2"])
@pytest.mark.parametrize("kind", ["uint16", "scaled", "Rice, uint16"])
def test_a_compressed_file_of_any_numbers_gives_the_same_objects(look, tile, kind, stored):
    pixels = whole_numbers(tile)
    write(tile, image(pixels.astype(np.float32)))
    expected = everything(look(), 64)
    write(tile, KINDS[kind](pixels), stored)
    assert everything(look(), 64).equals(expected)


@pytest.mark.parametrize("kind", WITH_BLANK)
def test_blank_pixels_are_not_numbers(look, tile, kind):
    pixels = whole_numbers(tile)
    missing = pixels.astype(np.float32)
    missing[BAD] = np.nan
    write(tile, image(missing))
    expected = everything(look(), 64)
    assert sum(flags & 4 for flags in expected["flags"].to_pylist())
    write(tile, WITH_BLANK[kind](pixels))
    assert everything(look(), 64).equals(expected)


def stamps_of(tile: Path, tiny) -> np.ndarray:
    pixels = whole_numbers(tile)
    # the pixel with the object's centre is the middle one of a side of 32: number 16
    corners = zip(np.array(tiny.table["Y_IMAGE"]), np.array(tiny.table["X_IMAGE"]), strict=True)
    return np.stack([pixels[int(y) - 17 : int(y) + 15, int(x) - 17 : int(x) + 15] for y, x in corners])


@pytest.mark.parametrize(
    "kind", ["float32", "uint8", "uint16", "int16 with nulls", "scaled", "uint16 with astropy's nulls"]
)
def test_a_vector_column_of_any_numbers_gives_the_same_stamps(look, tile, tiny, kind):
    layout = {"layout": "column", "column": "STAMP", "pixel_scale": 0.2, "path": None}
    stamps = stamps_of(tile, tiny)
    if kind == "uint8":
        stamps = np.clip(stamps - 400, 0, 255)
    missing = np.zeros(stamps.shape, bool)
    if "nulls" in kind:
        missing[:, :3, 4] = True
    values = np.where(missing, np.nan, stamps).astype(np.float32)

    def put(column) -> None:
        tiny.table["STAMP"] = column
        tiny.write(2)

    put(values)
    expected = everything(look(images=layout), 64)["stamp"]
    if kind == "scaled":
        tiny.table.remove_column("STAMP")
        tiny.write(1)
        shard = tiny.folder / "catalogs" / "s00.fits"
        with fits.open(shard) as file:
            stored = ((stamps - 1000) / 0.5).astype(np.int32).reshape(64, -1)
            column = fits.Column("STAMP", f"{SIDE * SIDE}J", dim=f"({SIDE},{SIDE})", array=stored)
            made = fits.BinTableHDU.from_columns([*file[1].columns, column])
            made.header[f"TSCAL{len(made.columns)}"], made.header[f"TZERO{len(made.columns)}"] = 0.5, 1000.0
            made.writeto(shard, overwrite=True)
    else:
        whole = stamps.astype(kind.split()[0] if kind != "float32" else np.float32)
        put(MaskedColumn(whole, mask=missing) if missing.any() else whole)
    assert everything(look(images=layout), 64)["stamp"].equals(expected)


def as_extension(hdu: fits.PrimaryHDU | fits.CompImageHDU) -> fits.ImageHDU | fits.CompImageHDU:
    if isinstance(hdu, fits.CompImageHDU):
        return hdu
    made = fits.ImageHDU(hdu.data)
    made.header.update({key: hdu.header[key] for key in ("BSCALE", "BZERO") if key in hdu.header})
    return made


@pytest.mark.parametrize("kind", [k for k in KINDS if "float64" not in k])
def test_extensions_of_any_numbers_give_the_same_stamps(look, tile, tiny, kind):
    layout = {"layout": "extensions", "path": "stamps.fit", "hdu_column": "HDU", "pixel_scale": 0.2}
    stamps = stamps_of(tile, tiny)[:12]
    tiny.table = tiny.table[:12]
    tiny.table["HDU"] = np.arange(12) + 1
    tiny.write(1)
    path = tiny.folder / "catalogs" / "stamps.fit"

    def put(make) -> list[float]:
        hdus = [as_extension(make(stamp)(fits.Header())[-1]) for stamp in stamps]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
        return everything(look(images=layout), 64)["stamp"].to_pylist()

    expected = put(lambda stamp: image(stamp.astype(np.float32)))
    assert put(KINDS[kind]) == expected


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("ZCMPTYPE", "RICE_9", "RICE_9"),
        ("BZERO", "much", "BZERO = 'much' is not a number"),
        ("ZVAL2", 3, "BYTEPIX (ZVAL2) = 3 is none of (1, 2, 4, 8)"),
        ("ZVAL1", 2**30, "BLOCKSIZE (ZVAL1) = 1073741824 is none of (16, 32)"),
        ("THEAP", -(2**31), "THEAP = -2147483648 is not between the table's rows and its end"),
        ("THEAP", 2**31, "THEAP = 2147483648 is not between"),
        ("ZVAL1", True, "BLOCKSIZE (ZVAL1) = True is none of"),
    ],
)
def test_a_tile_that_cannot_be_decoded_is_refused_by_the_plan(fails, tile, key, value, told):
    write(tile, tiled(whole_numbers(tile).astype(np.uint16), "RICE_1"))
    with fits.open(tile, mode="update", disable_image_compression=True) as file:
        file[1].header[key] = value
    fault = fails()
    assert told in fault.problem
    assert fault.file == str(tile)


def test_pixels_that_bscale_makes_infinite_come_without_a_warning():
    header = fits.Header([("BITPIX", -32), ("BSCALE", 1e306), ("BZERO", 1.0)])
    found = Scale(header)(np.array([0.0, 1e5, -1e5, np.nan], np.float32))
    np.testing.assert_array_equal(found, [1.0, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("stored", ["floats", "integers", "Rice"])
def test_asinh_magnitudes_are_taken_for_fluxes(look, tiny, stored):
    tile = tiny.folder / "images" / "t0_r.fits"
    flux, header = fits.getdata(tile, header=True)
    expected = everything(look(), 64)
    offset, softening = 7.172, 221.886
    scaled = 2.5 * np.log10(np.e) * np.arcsinh((flux - offset) / (2 * softening))
    if stored != "floats":
        header["BSCALE"], header["BZERO"] = 1e-5, 0.1
        scaled = np.round((scaled - 0.1) / 1e-5).astype(np.int32)
    cards = {"BSOFTEN": softening, "BOFFSET": offset}
    if stored == "Rice":
        plain = fits.CompImageHDU(scaled, header)
        plain.header.update(cards | {"BSCALE": 1e-5, "BZERO": 0.1})
        fits.HDUList([fits.PrimaryHDU(), plain]).writeto(tile, overwrite=True)
    else:
        plain = fits.PrimaryHDU(scaled, header)
        plain.header.update(cards | ({} if stored == "floats" else {"BSCALE": 1e-5, "BZERO": 0.1}))
        plain.writeto(tile, overwrite=True)
    release = look()
    assert [note for note in release.notes if "asinh magnitudes (BSOFTEN, BOFFSET)" in note]
    stamps = [
        np.stack(found["stamp"].to_numpy(zero_copy_only=False))
        for found in (expected, everything(release, 64))
    ]
    np.testing.assert_allclose(*stamps, atol=0.02)
