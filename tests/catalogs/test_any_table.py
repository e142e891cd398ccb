"""Whatever astropy writes is read back the same, and whatever is written over it is read or refused."""

from __future__ import annotations

import re
import string
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from catalogs import images, tables
from catalogs.errors import TuningforkError
from catalogs.image_header import NotAnImage
from catalogs.tables import NotATable, open_table
from tests.fuzz import fuzz

QUICK = fuzz(60)

# What a FITS header can hold; trailing blanks are not part of a name.
NAMES = st.text(
    string.ascii_letters + string.digits + " _-'\"{}()[].:;,/&%$#", min_size=1, max_size=30
).filter(
    # astropy itself reads the card of a name with '/ in it as a value and a comment
    lambda name: name == name.strip() and not re.search("' */", name)
)
NUMBERS = {"B": "u1", "I": "i2", "J": "i4", "K": "i8", "E": "f4", "D": "f8", "L": "bool"}


@st.composite
def columns(draw, rows: int) -> fits.Column:
    """One column with its values; `null` is set for some of the integer ones."""
    letter = draw(st.sampled_from([*NUMBERS, "A", "U"]))
    if letter == "A":
        width = draw(st.integers(1, 12))
        texts = st.text("abc é星'\"\\", max_size=width)
        values = [t.encode()[:width] for t in draw(st.lists(texts, min_size=rows, max_size=rows))]
        values = [v.decode("utf-8", "ignore").encode().rstrip(b" ") for v in values]
        return fits.Column("", f"{width}A", array=np.array(values, f"S{width}"))
    if letter == "U":  # unsigned: stored with an offset
        code, kind, zero = draw(st.sampled_from([("I", "u2", 2**15), ("J", "u4", 2**31)]))
        return fits.Column("", code, bzero=zero, array=draw(npst.arrays(kind, rows)))
    kind = np.dtype(NUMBERS[letter])
    shape = draw(st.sampled_from([(), (), (3,), (2, 3)]))
    array = draw(npst.arrays(kind, (rows, *shape)))
    null = draw(st.sampled_from([None, int(array[0])])) if kind.kind in "iu" and not shape else None
    length = int(np.prod(shape, dtype=int))
    dim = str(tuple(reversed(shape))).replace(" ", "") if len(shape) > 1 else None
    return fits.Column("", f"{length if shape else ''}{letter}", array=array, null=null, dim=dim)


@st.composite
def written(draw) -> tuple[fits.BinTableHDU, int]:
    rows = draw(st.integers(1, 9))
    made = draw(st.lists(columns(rows), min_size=1, max_size=5))
    names = draw(st.lists(NAMES, min_size=len(made), max_size=len(made), unique_by=str.lower))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerifyWarning)  # names that the standard advises against
        for column, name in zip(made, names, strict=True):
            column.name = name
        return fits.BinTableHDU.from_columns(made), rows


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("any") / "t.fits"


@given(table=written(), data=st.data())
@QUICK
def test_any_table_that_astropy_writes_is_read_back(path, table, data):
    made, rows = table
    made.writeto(path, overwrite=True)
    start = data.draw(st.integers(0, rows))
    stop = data.draw(st.integers(start, rows))
    opened = open_table(str(path))
    schema = opened.empty.schema
    assert schema.names == made.columns.names
    found = opened.read(start, stop, data.draw(st.permutations(made.columns.names)))
    assert found.num_rows == stop - start
    for column in made.columns:
        if stop > start:
            assert schema.field(column.name).type == found.schema.field(column.name).type
        expected = np.asarray(column.array)[start:stop]
        values = found[column.name].to_pylist()
        if expected.dtype.kind == "S":
            assert values == [text.decode() for text in expected]
        elif column.null is not None:
            assert values == [None if v == column.null else v for v in expected.tolist()]
        else:
            read = np.array(values, expected.dtype).reshape(expected.shape)
            np.testing.assert_array_equal(read, expected)


def refused_or_read(path: Path) -> None:
    """Open a file as a catalog and as an image, and read what there is; only errors of ours may come."""
    told = []
    try:
        opened = open_table(str(path))
        opened.read(0, min(opened.rows, 50), opened.empty.column_names)
    except (NotATable, TuningforkError) as error:
        told.append(str(error))
    try:
        image = images.open_image(str(path))
        assert image.wcs is None or image.wcs.has_celestial
        images.cut(image, np.array([3.0]), np.array([3.0]), 8)
    except (NotAnImage, TuningforkError) as error:
        told.append(str(error))
    assert all(text and "\n" not in text for text in told)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    from tests.conftest import wcs_header

    path = tmp_path_factory.mktemp("whole") / "t.fits"
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("ID", "K", array=np.arange(20), null=3),
            fits.Column("V", "6E", dim="(2,3)", array=np.zeros((20, 6), np.float32)),
            fits.Column("S", "5A", array=["abc"] * 20),
        ]
    )
    pixels = np.arange(2048, dtype=np.float32).reshape(32, 64)
    fits.HDUList([fits.PrimaryHDU(pixels, wcs_header(64, 32)), table]).writeto(path)
    return path.read_bytes()


@pytest.mark.parametrize("third", [0x30, 0xF0, 0x91, 0x9F, 0x90, 0x00])
def test_bytes_of_compress_end_in_a_warning_or_a_traceback(path, whole, third):
    path.write_bytes(bytes([0x1F, 0x9D, third]) + whole[3:])
    refused_or_read(path)


@given(data=st.data())
@QUICK
def test_any_bytes_written_over_a_file_are_read_or_refused(path, whole, data):
    content = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        patch = data.draw(
            st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"-1", b"99999999", b"'", b"END"]))
        )
        # Headers are what matters: data may be anything.
        at = data.draw(st.one_of(st.integers(0, 2879), st.integers(len(whole) - 5760, len(whole) - 2880)))
        content[at : at + len(patch)] = patch
    path.write_bytes(bytes(content))
    refused_or_read(path)


@given(data=st.data())
@QUICK
def test_any_value_of_a_header_card_is_read_or_refused(path, whole, data):
    cards = [at for at in range(0, len(whole) - 80, 80) if whole[at + 8 : at + 10] == b"= "]
    at = data.draw(st.sampled_from(cards))
    value = data.draw(
        st.one_of(
            st.integers(-(2**70), 2**70).map(str),
            st.floats().map(str),
            st.sampled_from(
                [
                    "T",
                    "'P'",
                    "'1PE(3)'",
                    "''",
                    "'(2,3)'",
                    "'RA---TAN'",
                    "'999999999E'",
                    "'-1E'",
                    "'0J'",
                    "",
                    "/",
                ]
            ),
        )
    )
    content = whole[: at + 10] + value.rjust(20).encode()[:70].ljust(70) + whole[at + 80 :]
    path.write_bytes(content)
    refused_or_read(path)


@given(cut=st.integers(0, 14_000))
@QUICK
def test_a_file_cut_anywhere_is_read_or_refused(path, whole, cut):
    assume(cut < len(whole))
    path.write_bytes(whole[:cut])
    refused_or_read(path)
    data_end = whole.index(b"XTENSION") + 2880 + 20 * (8 + 24 + 5)
    if cut < data_end:
        with pytest.raises(NotATable):
            tables.open_table(str(path))
