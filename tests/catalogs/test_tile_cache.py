"""Tiles that were decoded are not decoded again, and stamps are the same bits: whatever changes, is full or is too large."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pytest
from astropy.io import fits

from catalogs import images, pixels, tile_cache
from catalogs.errors import FileChanged

SHAPE, SIZE = (300, 200), 24
BYTES = 4 * SHAPE[0] * SHAPE[1]
RANDOM = np.random.default_rng(7)
SKY = RANDOM.normal(500, 20, SHAPE).astype(np.float32)
X, Y = RANDOM.uniform(-15, 215, 60), RANDOM.uniform(-15, 315, 60)
LOW = Y < 90
"""Stamps that need only some of the tile's rows."""


def with_nan() -> np.ndarray:
    pixels = SKY.copy()
    pixels[40:44, 50:60] = np.nan
    return pixels


def whole(kind: type) -> np.ndarray:
    pixels = np.clip(np.round(SKY), 0, 30_000).astype(kind)
    pixels[40:44, 50:60] = 7
    return pixels


def tiled(pixels: np.ndarray, codec: str, cards: dict[str, float] | None = None, **options) -> fits.HDUList:
    hdu = fits.CompImageHDU(pixels, compression_type=codec, **options)
    hdu.header.update(cards or {})
    return fits.HDUList([fits.PrimaryHDU(), hdu])


def plain(pixels: np.ndarray, **cards) -> fits.HDUList:
    hdu = fits.PrimaryHDU(pixels)
    hdu.header.update(cards)
    return fits.HDUList([hdu])


TILED: dict[str, Callable[[], fits.HDUList]] = {
    "Rice, dithered, NaN": lambda: tiled(with_nan(), "RICE_1", quantize_method=1, dither_seed=5),
    "Rice, dithered but zeros": lambda: tiled(with_nan(), "RICE_1", quantize_method=2, dither_seed=5),
    "GZIP_1, quantised": lambda: tiled(with_nan(), "GZIP_1", quantize_method=-1),
    "GZIP_2, lossless": lambda: tiled(with_nan(), "GZIP_2", quantize_level=0),
    "GZIP_2, float64": lambda: tiled(with_nan().astype(float), "GZIP_2", quantize_level=0),
    "Rice, BLANK": lambda: tiled(whole(np.int16), "RICE_1", {"BLANK": 7}),
    "Rice, uint16": lambda: tiled(whole(np.uint16), "RICE_1"),
    "Rice, scaled": lambda: tiled(whole(np.int32), "RICE_1", {"BSCALE": 0.5, "BZERO": 1000.0}),
    "GZIP_1, uint32": lambda: tiled(whole(np.uint32), "GZIP_1"),
    "HCOMPRESS": lambda: tiled(whole(np.int16), "HCOMPRESS_1"),
    "PLIO": lambda: tiled(whole(np.int16), "PLIO_1"),
    "tiles of 100 x 90": lambda: tiled(with_nan(), "RICE_1", tile_shape=(90, 100), dither_seed=5),
    "one tile": lambda: tiled(with_nan(), "RICE_1", tile_shape=SHAPE, dither_seed=5),
}
PLAIN: dict[str, Callable[[], fits.HDUList]] = {
    "float32, NaN": lambda: plain(with_nan()),
    "int16, BLANK": lambda: plain(whole(np.int16), BLANK=7),
    "uint16": lambda: plain(whole(np.uint16)),
    "scaled": lambda: plain(whole(np.int32), BSCALE=0.5, BZERO=1000.0),
    "Rice": TILED["Rice, dithered, NaN"],
}
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip, three members": lambda c: b"".join(map(gzip.compress, (c[:5000], c[5000:90_000], c[90_000:]))),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}


@pytest.fixture
def opened(tmp_path, monkeypatch) -> Iterator[list[str]]:
    """An empty cache, and the files whose pixels were opened since."""
    found: list[str] = []
    really = pixels.opened

    def told(url: str, compression: str | None):
        found.append(url)
        return really(url, compression)

    monkeypatch.setattr(pixels, "opened", told)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(scratch))
    empty()
    yield found
    assert not list(scratch.iterdir()), "files would be left behind by a process that is killed"
    empty()


def empty() -> None:
    tile_cache.resize(0)
    tile_cache.resize(tile_cache.LIMIT)
    tile_cache.begin_slice()


def written(path: Path, hdus: fits.HDUList, packed: Callable[[bytes], bytes] = bytes) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # astropy speaks of BLANK and of unsigned numbers
        hdus.writeto(path, overwrite=True)
    path.write_bytes(packed(path.read_bytes()))
    time.sleep(1.2 * tile_cache.SETTLED / 1e9)
    return str(path)


def cut(url: str, which: np.ndarray | slice = slice(None), kind: type = np.float32) -> np.ndarray:
    stamps = np.zeros((len(X[which]), SIZE, SIZE), kind)
    images.cut(images.open_image(url), X[which], Y[which], SIZE, out=stamps)
    return stamps


def same_from_the_cache(url: str, opened: list[str]) -> None:
    kinds = (np.float32, np.float64)
    tile_cache.resize(0)
    expected = [cut(url, kind=kind) for kind in kinds]
    tile_cache.resize(tile_cache.LIMIT)
    np.testing.assert_array_equal(cut(url, LOW), expected[0][LOW])
    np.testing.assert_array_equal(cut(url), expected[0])
    opened.clear()
    for kind, stamps in zip(kinds, expected, strict=True):
        found = cut(url, kind=kind)
        assert found.tobytes() == stamps.tobytes()
    assert not opened


@pytest.mark.parametrize("kind", TILED)
def test_tile_compressed_images_are_the_same_and_decoded_once(tmp_path, opened, kind):
    same_from_the_cache(written(tmp_path / "t.fits.fz", TILED[kind]()), opened)


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("kind", PLAIN)
def test_compressed_files_are_the_same_and_decompressed_once(tmp_path, opened, kind, packed):
    same_from_the_cache(written(tmp_path / "t.img", PLAIN[kind](), PACKED[packed]), opened)


@pytest.mark.parametrize("way", ["renamed over", "written over"])
def test_a_tile_that_was_replaced_is_not_served_from_the_cache(tmp_path, opened, way):
    """Even one of the same length and time."""
    url = written(tmp_path / "t.img", plain(SKY), lambda c: gzip.compress(c, 0))
    before, times = cut(url), Path(url).stat().st_mtime_ns
    other = written(tmp_path / "other", plain(SKY + 1), lambda c: gzip.compress(c, 0))
    if way == "renamed over":
        Path(other).replace(url)
    else:
        Path(url).write_bytes(Path(other).read_bytes())
    os.utime(url, ns=(times, times))
    time.sleep(1.2 * tile_cache.SETTLED / 1e9)
    opened.clear()
    after = cut(url)
    assert opened
    assert not np.array_equal(after, before, equal_nan=True)
    tile_cache.resize(0)
    np.testing.assert_array_equal(after, cut(url))


def test_rows_of_two_versions_are_never_mixed(tmp_path, opened):
    url = written(tmp_path / "t.fits.fz", tiled(SKY, "RICE_1"))
    cut(url, LOW)
    image = images.open_image(url)

    def read_both() -> None:
        with tile_cache.rows_of(image) as rows:
            written(tmp_path / "t.fits.fz", tiled(SKY + 1, "RICE_1"))
            rows.strip(200, 300)

    with pytest.raises(FileChanged, match=r"t\.fits\.fz: was replaced while it was read"):
        read_both()
    found = cut(url)
    tile_cache.resize(0)
    np.testing.assert_array_equal(found, cut(url))


def test_a_file_that_has_just_been_written_is_not_kept(tmp_path, opened):
    url = written(tmp_path / "t.fits.fz", tiled(SKY, "RICE_1"))
    os.utime(url)
    cut(url)
    opened.clear()
    cut(url)
    assert opened


def test_what_fits_stays_where_slices_need_more_than_fits(tmp_path, opened):
    urls = [written(tmp_path / f"{i}.fits.fz", tiled(SKY + i, "RICE_1")) for i in range(5)]
    tile_cache.resize(3 * BYTES)
    for _ in range(3):
        tile_cache.begin_slice()
        opened.clear()
        found = [cut(url) for url in urls]
    assert opened == urls[3:]
    tile_cache.begin_slice()
    cut(urls[4])
    tile_cache.begin_slice()
    opened.clear()
    cut(urls[4])
    assert not opened, "what was used longest ago makes room"
    tile_cache.resize(0)
    for stamps, url in zip(found, urls, strict=True):
        np.testing.assert_array_equal(stamps, cut(url))


def test_no_more_files_are_open_than_a_process_may_have(tmp_path, opened, monkeypatch):
    monkeypatch.setattr(tile_cache, "MOST", 2)
    urls = [written(tmp_path / f"{i}.fits.fz", tiled(SKY[:40], "RICE_1")) for i in range(4)]
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(2):
        for url in urls:
            tile_cache.begin_slice()
            cut(url)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 2


@pytest.mark.parametrize("broken", ["full", "missing"])
@pytest.mark.parametrize("packed", [bytes, gzip.compress])
def test_stamps_are_cut_where_temporary_files_cannot_be_written(
    tmp_path, opened, monkeypatch, broken, packed
):
    url = written(tmp_path / "t.fits.fz", tiled(SKY, "RICE_1") if packed is bytes else plain(SKY), packed)
    tile_cache.resize(0)
    expected = cut(url)
    tile_cache.resize(tile_cache.LIMIT)
    if broken == "missing":
        monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "missing"))
        np.testing.assert_array_equal(cut(url), expected)
        monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "scratch"))
        return
    cut(url, LOW)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        np.testing.assert_array_equal(cut(url), expected)
    np.testing.assert_array_equal(cut(url), expected)


def test_threads_may_share_the_cache(tmp_path, opened):
    urls = [written(tmp_path / f"{i}.fits.fz", tiled(SKY + i, "RICE_1")) for i in range(6)]
    tile_cache.resize(0)
    expected = {url: cut(url) for url in urls}
    tile_cache.resize(3 * BYTES)

    def work(turn: int) -> bool:
        tile_cache.begin_slice()
        which = LOW if turn % 3 else slice(None)
        url = urls[turn * 5 % 6]
        return np.array_equal(cut(url, which), expected[url][which], equal_nan=True)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(150)))


def test_a_tile_on_a_store_is_read_once_for_each_version(tmp_path, opened):
    store = fsspec.filesystem("memory")
    url = "memory://tiles/t.fits.gz"
    for step in range(2):
        tile = written(tmp_path / "t", plain(SKY + step), gzip.compress)
        store.pipe_file("/tiles/t.fits.gz", Path(tile).read_bytes())
        found = cut(url)
        opened.clear()
        np.testing.assert_array_equal(cut(url), found)
        assert not opened
        np.testing.assert_array_equal(cut(tile), found)
    store.rm("/tiles", recursive=True)


MANY = """
import sys
import numpy as np
from catalogs import images, tile_cache
tile_cache.resize(int(sys.argv[1]))
x = y = np.arange(50, 950, 9.0)
for _ in range(2):
    for i in range(24):
        tile_cache.begin_slice()
        images.cut(images.open_image(f"{sys.argv[2]}/{i}.img"), x, y, 32)
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def test_memory_does_not_grow_with_the_tiles_that_are_kept(tmp_path):
    """24 tiles of 4 MB: only the one at work is in the process's memory."""
    content = plain(np.resize(SKY, (1000, 1000)))
    written(tmp_path / "0.img", content, lambda c: gzip.compress(c, 1))
    for i in range(1, 24):
        (tmp_path / f"{i}.img").hardlink_to(tmp_path / "0.img")
    time.sleep(1.2 * tile_cache.SETTLED / 1e9)

    def peak(limit: int) -> int:
        command = [sys.executable, "-c", MANY, str(limit), str(tmp_path)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert peak(1 << 30) < peak(0) + 16_000
