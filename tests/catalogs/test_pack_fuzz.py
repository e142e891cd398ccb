"""No table and no picture ends in a traceback: pack makes a release, or refuses with a remedy."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from catalogs.errors import Fault, Refused
from catalogs.inspect import inspect
from catalogs.pack import pack
from catalogs.slices import Slice
from pipeline.config.file import load
from tests.catalogs.picture_bytes import png, tiff
from tests.fuzz import fuzz

rng = np.random.default_rng(0)
GREY = rng.integers(0, 255, (9, 9), dtype=np.uint8)


def saved(form: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.dstack([GREY] * 3)).save(stream, form, **options)
    return stream.getvalue()


PICTURES = (
    png(GREY, 0),
    png(GREY.astype(np.uint16) * 200, 0),
    saved("JPEG"),
    saved("JPEG", progressive=True, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"),
    saved("TIFF", compression="tiff_lzw"),
    tiff([GREY]),
    tiff([GREY.astype(np.float32)], ">"),
    tiff([GREY.astype(np.int16)]),
)  # fmt: skip
CELLS = (
    st.sampled_from(["", "NA", "nan", "1", "-2.5", "007", "1e400", "True", "a,b", 'x"y', "two\nlines", " ", "é", "\0"])
    | st.integers(-(10**20), 10**20).map(str)
    | st.floats().map(repr)
    | st.text(max_size=5)
)  # fmt: skip
NAMES = st.sampled_from(
    ["class", "flux", "ra", "DEC", "vote_x", "id", "", "x", "IMAGE", "a as b", "größe"]
) | st.text(max_size=4)


def packed_or_refused(labels: bytes, picture: bytes, **options) -> None:
    """What the command does; anything else than `Refused` fails the test, and so does a release that plan refuses."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.png").write_bytes(picture)
        (Path(folder) / "labels.csv").write_bytes(labels)
        faults: list[Fault] = []
        try:
            pack(Path(folder) / "labels.csv", Path(folder) / "release", **options)
        except Refused as refused:
            faults = refused.faults
        assert all(fault.problem and fault.remedy and "\n" not in str(fault) for fault in faults)
        assert (Path(folder) / "release").exists() != bool(faults)
        if not faults:
            config, where = load(Path(folder) / "release" / "survey.toml")
            release = inspect(config.survey, where)
            assert release.read(Slice(0, 0, release.rows)).num_rows == release.rows


@st.composite
def changed(draw, texts):
    """Bytes with some replaced, cut or doubled."""
    data = bytearray(draw(st.sampled_from(texts)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        what = draw(st.sampled_from(["replace", "cut", "insert", "double"]))
        if what == "replace":
            data[place : place + 1] = draw(st.binary(min_size=1, max_size=2))
        elif what == "cut":
            del data[place : place + draw(st.integers(1, 50))]
        elif what == "insert":
            data[place:place] = draw(st.binary(max_size=4))
        else:
            data[place:place] = data[place : place + 12]
    return bytes(data)


@fuzz(100)
@given(picture=changed(PICTURES), fit=st.sampled_from(["pad", "resize", "galaxy"]))
def test_no_picture_ends_in_a_traceback(picture, fit):
    packed_or_refused(b"file\na.png\n", picture, size=8, fit=fit)


@st.composite
def tables(draw):
    """Tables that are nearly right: a header, some columns of cells of one kind or of many."""
    names = ["file", *draw(st.lists(NAMES, max_size=4))]
    rows = draw(st.integers(1, 3))
    lines = [names] + [["a.png", *(draw(CELLS) for _ in names[1:])] for _ in range(rows)]
    separator, end = draw(st.sampled_from([",", ";", "\t"])), draw(st.sampled_from(["\n", "\r\n", "\r"]))
    quoted = (
        '"' + cell.replace('"', '""') + '"' if draw(st.booleans()) else cell
        for line in lines
        for cell in line
    )
    cells = list(quoted)
    width = len(names)
    text = end.join(separator.join(cells[n : n + width]) for n in range(0, len(cells), width))
    return text.encode("utf-8", "surrogatepass")


@fuzz(40)
@given(labels=tables())
def test_no_table_ends_in_a_traceback(labels):
    packed_or_refused(labels, PICTURES[0], taken=["flux"])


@fuzz(40)
@given(
    labels=changed(
        (b'file,id,x\na.png,7,"a ""b"""\n', b"\xef\xbb\xbffile;x\r\na.png;1\r\n", b"file\na.png\n")
    )
)
def test_no_damaged_table_ends_in_a_traceback(labels):
    packed_or_refused(labels, PICTURES[0])


@pytest.mark.parametrize("picture", PICTURES)
def test_what_is_damaged_here_is_sound_before(tmp_path, picture):
    (tmp_path / "a.png").write_bytes(picture)
    (tmp_path / "labels.csv").write_text("file\na.png\n")
    assert pack(tmp_path / "labels.csv", tmp_path / "release").rows == 1
