"""Whatever gunzip and astropy read is whole; what really is truncated is found before work starts."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from catalogs.compression import decompressed
from tests.catalogs.conftest import everything
from tests.fuzz import fuzz


def in_blocks(content: bytes, size: int = 20_000) -> bytes:
    """As bgzip writes: many members, and an empty one at the end."""
    return b"".join(
        gzip.compress(content[at : at + size]) for at in range(0, len(content), size)
    ) + gzip.compress(b"")


def zipped(content: bytes, *names: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names or ("t.fits",):
            archive.writestr(name, content)
    return sink.getvalue()


def by_compress(content: bytes) -> bytes:
    """As compress(1) would begin: nine-bit codes, a clear code before their width grows."""
    bits, codes = [], []
    for at in range(0, len(content), 127):
        codes += [*content[at : at + 127], 256]
    for at in range(
        0, len(codes), 8
    ):  # eight codes of nine bits are nine bytes, and a clear code ends a group
        bits += [*codes[at : at + 8]]
    value = sum(code << 9 * place for place, code in enumerate(bits))
    return b"\x1f\x9d\x90" + value.to_bytes(-(-9 * len(bits) // 8), "little")


WHOLE = {
    "one member": gzip.compress,
    "two members": lambda c: gzip.compress(c[:5000]) + gzip.compress(c[5000:]),
    "cut where a block of FITS ends": lambda c: gzip.compress(c[:2880]) + gzip.compress(c[2880:]),
    "blocks of bgzip": in_blocks,
    "zeros behind": lambda c: gzip.compress(c) + b"\0" * 512,
    "zeros between": lambda c: gzip.compress(c[:5000]) + b"\0" * 700 + gzip.compress(c[5000:]),
    "bytes behind": lambda c: gzip.compress(c) + b"behind",
    "one byte behind": lambda c: gzip.compress(c) + b"\x1f",
    "bzip2": bz2.compress,
    "pbzip2": lambda c: bz2.compress(c[:5000]) + bz2.compress(c[5000:]),
    "xz": lzma.compress,
    "zip": zipped,
}


@pytest.fixture(params=["padded", "without padding"])
def content(request, tiny) -> bytes:
    tile = tiny.folder / "images" / "t0_r.fits"
    whole = tile.read_bytes()
    data = fits.getdata(tile).nbytes
    end = whole.rindex(b"END ") // 2880 * 2880 + 2880 + data
    return whole if request.param == "padded" else whole[:end]


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_tile_is_never_called_truncated(look, tiny, content, kind):
    expected = everything(look(), 64)["stamp"]
    # the name says nothing: astropy and gunzip look at the first bytes
    (tiny.folder / "images" / "t0_r.fits").write_bytes(WHOLE[kind](content))
    assert everything(look(), 64)["stamp"].equals(expected)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_catalog_is_never_called_truncated(look, tiny, kind):
    tiny.write(1)
    expected = everything(look(), 64)
    shard = tiny.folder / "catalogs" / "s00.fits"
    shard.write_bytes(WHOLE[kind](shard.read_bytes()))
    assert everything(look(), 64).equals(expected)


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_tile_is_found_before_work_starts(fails, tiny, kind, keep):
    tile = tiny.folder / "images" / "t0_r.fits"
    stored = WHOLE[kind](tile.read_bytes())
    tile.write_bytes(stored[: int(len(stored) * keep)])
    problem = fails().problem
    assert any(told in problem for told in ("truncated", "damaged", "cannot be read")), problem


@pytest.mark.parametrize("kind", WHOLE)
def test_a_tile_truncated_before_it_was_compressed_is_found_before_work_starts(fails, tiny, kind):
    tile = tiny.folder / "images" / "t0_r.fits"
    tile.write_bytes(WHOLE[kind](tile.read_bytes()[:-6000]))
    assert fails().problem == "is truncated"


def test_a_tile_of_which_a_whole_member_is_missing_is_truncated(fails, tiny):
    tile = tiny.folder / "images" / "t0_r.fits"
    whole = tile.read_bytes()
    tile.write_bytes(gzip.compress(whole[: 100 * 2880]))
    assert fails().problem == "is truncated"


def test_a_catalog_whose_checksum_is_wrong_fails_when_its_end_is_read(look, tiny):
    tiny.write(1)
    shard = tiny.folder / "catalogs" / "s00.fits"
    stored = bytearray(gzip.compress(shard.read_bytes()))
    stored[-8] ^= 0xFF
    shard.write_bytes(bytes(stored))
    with pytest.raises(Exception, match="incorrect data check"):
        look()


def test_a_zip_of_two_files_is_refused_as_what_it_is(fails, tiny):
    tile = tiny.folder / "images" / "t0_r.fits"
    tile.write_bytes(zipped(tile.read_bytes(), "a.fits", "b.fits"))
    assert "zip archive of 2 files" in fails().problem


def test_what_compress_made_is_read(tmp_path):
    content = bytes(range(256)) * 40
    with decompressed(io.BytesIO(by_compress(content)), "compress") as stream:
        stream.seek(300)
        assert stream.read(20) == content[300:320]


@given(
    pieces=st.lists(st.binary(max_size=3000), min_size=1, max_size=4),
    gaps=st.lists(st.integers(0, 600), min_size=4, max_size=4),
    behind=st.binary(max_size=9).filter(lambda b: not b.lstrip(b"\0").startswith(b"\x1f\x8b\x08")),
    places=st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 4000)), max_size=6),
)
@fuzz(100)
def test_any_gzip_file_is_read_from_any_place_as_gunzip_does(pieces, gaps, behind, places):
    stored = b"".join(gzip.compress(p) + b"\0" * gap for p, gap in zip(pieces, gaps, strict=False)) + behind
    whole = b"".join(pieces)
    with decompressed(io.BytesIO(stored), "gzip") as stream:
        for place, size in places:
            stream.seek(place)
            assert stream.read(size) == whole[place : place + size]
        stream.seek(0)
        assert stream.read() == whole
        assert stream.seek(0, io.SEEK_END) == len(whole)


@given(content=st.binary(min_size=1, max_size=3000), keep=st.floats(0, 1, exclude_max=True))
@fuzz(100)
def test_a_gzip_file_cut_anywhere_never_passes_for_whole(content, keep):
    stored = gzip.compress(content)
    cut = stored[: int(len(stored) * keep)]
    with pytest.raises((EOFError, zlib.error)), decompressed(io.BytesIO(cut), "gzip") as stream:
        stream.read()


def test_a_large_tile_in_one_member_is_not_read_through_by_the_plan(look, tiny, monkeypatch):
    tile = tiny.folder / "images" / "t0_r.fits"
    tile.write_bytes(gzip.compress(tile.read_bytes()))
    from catalogs import storage

    opened, real = [], storage.reading
    monkeypatch.setattr(storage, "reading", lambda url, *rest: opened.append(url) or real(url, *rest))
    look()
    assert not [url for url in opened if Path(url) == tile]


def test_extensions_in_a_compressed_file_are_read(look, tiny, tmp_path):
    planes = np.arange(64 * 16 * 16, dtype=np.float32).reshape(64, 16, 16)
    path = tiny.folder / "catalogs" / "stamps.fit"
    fits.HDUList([fits.PrimaryHDU(), *(fits.ImageHDU(p) for p in planes)]).writeto(path)
    tiny.table["FILE"], tiny.table["HDU"] = ["stamps.fit"] * 64, np.arange(64, 0, -1)
    tiny.write(2)
    layout = {
        "layout": "extensions",
        "path": "{FILE}",
        "hdu_column": "HDU",
        "pixel_scale": "unknown",
        "size": 16,
    }
    expected = everything(look(images=layout), 64)["stamp"]
    for compress in (gzip.compress, in_blocks, bz2.compress, lzma.compress):
        stored = path.read_bytes()
        path.write_bytes(compress(stored))
        assert everything(look(images=layout), 64)["stamp"].equals(expected)
        path.write_bytes(stored)
