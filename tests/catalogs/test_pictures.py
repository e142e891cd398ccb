"""Pictures of all kinds give the pixels that they mean, or are refused as what they are."""

from __future__ import annotations

import gzip
import io
import struct

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from catalogs.pictures import Unfit, look, pixels
from tests.catalogs.picture_bytes import chunk, png, tiff

rng = np.random.default_rng(0)
U8 = rng.integers(0, 255, (12, 10), dtype=np.uint8)
RGB = rng.integers(0, 255, (12, 10, 3), dtype=np.uint8)
WIDE = np.array([[-40000, -1, 0, 7], [30000, 2**24 - 1, -(2**24), 1]])


def at(tmp_path, data: bytes):
    path = tmp_path / "picture"
    path.write_bytes(data)
    return path


def saved(image: Image.Image, form: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("values", "tags"),
    [
        (U8, {}),
        (255 - U8, {"t262": 0}),
        (RGB, {}),
        (np.array([[0, 1, 40000, 65535]], np.uint16), {}),
        (np.array([[-32768, -72, 0, 32767]], np.int16), {}),
        (WIDE.astype(np.int32), {}),
        (np.array([[0, 1, 2**31, 2**32 - 256]], np.uint32), {}),
        (np.array([[np.nan, -1.5, 3e30, np.inf]], np.float32), {}),
    ],
    ids=lambda value: str(value.dtype) + "x" * value.ndim if isinstance(value, np.ndarray) else "",
)
def test_tiffs_of_all_numbers_keep_them(tmp_path, order, values, tags):
    path = at(tmp_path, tiff([values], order, **tags))
    if (order, values.dtype) == (">", np.uint32):
        with pytest.raises(Unfit, match="TIFF of 32-bit unsigned integers in 1 bands that cannot be read"):
            look(path)
        return
    found = pixels(path)
    expected = 255 - values if tags else values
    assert found.dtype == (np.uint8 if values.dtype == np.uint8 else np.float32)
    np.testing.assert_array_equal(found, expected.astype(found.dtype))
    assert look(path).deep == (values.dtype != np.uint8)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("values", [U8, RGB, U8.astype(np.float32) - 3.5, U8.astype(np.int32) - 128])
def test_compressed_tiffs_hold_the_same_pixels(tmp_path, compression, values):
    data = saved(Image.fromarray(values), "TIFF", compression=compression)
    np.testing.assert_array_equal(pixels(at(tmp_path, data)), values)


def animated(form: str) -> bytes:
    frames = [Image.fromarray(U8 // n) for n in (1, 2, 3)]
    return saved(frames[0], form, save_all=True, append_images=frames[1:])


CUBE = np.stack([U8, U8 // 2, U8 // 3, U8 // 4, U8 // 5], axis=-1)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff([U8, U8, U8]), "TIFF of 3 pages"),
        (animated("PNG"), "PNG of 3 frames"),
        (animated("GIF"), "is GIF"),
        (tiff([CUBE], t338=(0, 0)), "TIFF of 5 planes"),
        (tiff([CUBE[..., :2]], t338=0), "TIFF of 2 planes"),
        (tiff([CUBE[..., :4]], t338=0), "TIFF of 4 planes"),
        (tiff([U8], t270="ImageJ=1.53\nimages=7\nslices=7\n"), "TIFF of 7 planes"),
        (tiff([U8], t270='{"shape": [4, 12, 10], "truncated": true}'), "TIFF of 4 planes"),
        (tiff([U8.view(np.int8)]), "signed numbers of 8 bits"),
        (tiff([U8.astype(np.uint16)], t262=0), "from white to black"),
        (tiff([U8.astype(np.float32)], t262=0), "from white to black"),
        (tiff([RGB.astype(np.uint16)]), "16-bit colours"),
        (tiff([RGB.astype(np.float32)]), "TIFF of 32-bit floats in 3 bands that cannot be read"),
        (tiff([U8.astype(np.float16)]), "TIFF of 16-bit floats"),
        (tiff([U8.astype(np.float64)]), "TIFF of 64-bit floats"),
        (png(RGB.astype(np.uint16) * 257, 2), "16-bit colours"),
        (png(CUBE[..., :2].astype(np.uint16) * 257, 4), "16-bit colours"),
        (saved(Image.fromarray(RGB).convert("CMYK"), "JPEG"), "CMYK"),
        (saved(Image.fromarray(RGB).convert("CMYK"), "TIFF"), "CMYK"),
        (saved(Image.fromarray(RGB).convert("LAB"), "TIFF"), "LAB"),
        (saved(Image.fromarray(RGB).convert("YCbCr"), "TIFF"), "YCbCr"),
        (png(CUBE[..., :4], 6), "transparent"),
        (png(CUBE[..., :2], 4), "transparent"),
        (tiff([CUBE[..., :2]], t338=2), "transparent"),
        (tiff([CUBE[..., :2]], t338=1), "transparent"),
        (png(U8, 0, chunk(b"tRNS", struct.pack(">H", U8[3, 3]))), "transparent"),
        (png(U8.astype(np.uint16), 0, chunk(b"tRNS", struct.pack(">H", U8[3, 3]))), "transparent"),
        (png(RGB, 2, chunk(b"tRNS", struct.pack(">HHH", *RGB[3, 3]))), "transparent"),
        (saved(Image.fromarray(RGB), "WEBP"), "is WebP"),
        (saved(Image.fromarray(RGB), "BMP"), "is BMP"),
        (saved(Image.fromarray(RGB), "JPEG2000"), "is JPEG 2000"),
        (gzip.compress(b"x", mtime=0), "is gzip"),
        (b"", "is empty"),
        (b"\0" * 5000, "holds zeros"),
        (b"<!DOCTYPE HTML><html>404</html>", "is HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"galaxy", "is no JPEG, PNG or TIFF"),
    ],
)
def test_what_would_lose_or_change_pixels_is_refused_as_what_it_is(tmp_path, data, words):
    path = at(tmp_path, data)
    with pytest.raises(Unfit, match=words) as refused:
        pixels(path)
    assert refused.value.remedy
    if "transparent" not in words:  # all else is seen before anything is decoded
        with pytest.raises(Unfit, match=words):
            look(path)


def unsigned(values):
    return fits.PrimaryHDU(values.astype(np.uint16))


@pytest.mark.parametrize(
    "hdu",
    [
        fits.PrimaryHDU(WIDE.astype(np.int16)),
        fits.PrimaryHDU(WIDE.astype(np.float32)),
        unsigned(WIDE),
        fits.PrimaryHDU(np.ones((3, 8, 8), np.float32)),
    ],
)
def test_fits_is_no_picture(tmp_path, hdu):
    """Pillow's reader forgets BZERO, BSCALE, signs and planes."""
    path = tmp_path / "named.png"
    hdu.writeto(path)
    with pytest.raises(Unfit, match="is FITS") as refused:
        look(path)
    assert "end in .fits" in refused.value.remedy


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_opaque_pictures_and_palettes_keep_their_colours(tmp_path, form):
    opaque = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(pixels(at(tmp_path, saved(Image.fromarray(opaque), form))), RGB)
    grey = np.dstack([U8, np.full_like(U8, 255)])
    np.testing.assert_array_equal(pixels(at(tmp_path, saved(Image.fromarray(grey), form))), U8)
    few = Image.fromarray(RGB // 100 * 100).convert("P", palette=Image.Palette.ADAPTIVE, colors=256)
    path = at(tmp_path, saved(few, form))
    assert look(path).bands == 3
    np.testing.assert_array_equal(pixels(path), RGB // 100 * 100)


def test_bits_and_16_bit_greys_of_pngs_keep_their_values(tmp_path):
    deep = rng.integers(0, 65535, (5, 4), dtype=np.uint16)
    np.testing.assert_array_equal(pixels(at(tmp_path, png(deep, 0))), deep.astype(np.float32))
    bits = U8 > 128
    np.testing.assert_array_equal(pixels(at(tmp_path, saved(Image.fromarray(bits), "PNG"))), 255 * bits)


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: a.T[:, ::-1],
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: a.T[::-1],
}
"""EXIF 2.3, tag 274: where the first row and column of what is stored belong."""


@pytest.mark.parametrize("turn", UPRIGHT)
def test_pictures_stand_upright(tmp_path, turn):
    exif = Image.Exif()
    exif[274] = turn
    expected = UPRIGHT[turn](U8)
    np.testing.assert_array_equal(
        pixels(at(tmp_path, saved(Image.fromarray(U8), "PNG", exif=exif))), expected
    )
    np.testing.assert_array_equal(pixels(at(tmp_path, tiff([U8], t274=turn))), expected)
    blocks = np.kron(np.array([[0, 255, 0], [255, 255, 0]], np.uint8), np.ones((16, 16), np.uint8))
    found = pixels(at(tmp_path, saved(Image.fromarray(blocks), "JPEG", exif=exif, quality=100)))
    assert np.abs(found.astype(int) - UPRIGHT[turn](blocks)).max() < 3


def test_first_picture_of_an_mpo_is_the_jpeg(tmp_path):
    first, second = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    path = at(tmp_path, saved(first, "MPO", save_all=True, append_images=[second]))
    assert look(path).several
    np.testing.assert_array_equal(pixels(path), np.asarray(Image.open(io.BytesIO(saved(first, "JPEG")))))


@pytest.mark.parametrize("level", [0, 9])
def test_one_wrong_bit_of_a_png_is_found(tmp_path, level):
    data = bytearray(png(U8, 0, level=level))
    data[60] ^= 4
    path = at(tmp_path, bytes(data))
    look(path)
    with pytest.raises(Unfit, match="damaged"):
        pixels(path)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize("filling", [b"", b"\0"])
def test_jpegs_without_their_end_are_damaged(tmp_path, progressive, share, filling):
    large = rng.integers(0, 255, (90, 90, 3), dtype=np.uint8)
    thumbnail = b"Exif\0\0" + saved(Image.fromarray(U8), "JPEG")
    whole = saved(Image.fromarray(large), "JPEG", progressive=progressive, exif=thumbnail)
    expected = pixels(at(tmp_path, whole))
    np.testing.assert_array_equal(pixels(at(tmp_path, whole + b"\xff\xda what cameras append")), expected)
    cut = int(len(whole) * share)
    path = at(tmp_path, whole[:cut] + filling * (len(whole) - cut))
    look(path)
    with pytest.raises(Unfit, match="damaged"):
        pixels(path)


def test_half_of_the_limit_of_pixels_is_no_warning(tmp_path, monkeypatch):
    path = at(tmp_path, png(U8, 0))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    np.testing.assert_array_equal(pixels(path), U8)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(Unfit, match="120 pixels"):
        look(path)
