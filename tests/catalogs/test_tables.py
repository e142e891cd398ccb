"""Rows read by their bytes must be the rows that astropy reads."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from hypothesis import given, settings
from hypothesis import strategies as st

from catalogs.tables import NotATable, open_table


@pytest.fixture(scope="module")
def table() -> Table:
    n = 500
    rng = np.random.default_rng(3)
    made = Table(
        {
            "NUMBER": np.arange(n, dtype=np.int64),
            'my "odd" col': rng.normal(size=n).astype(np.float32),
            "unsigned": np.arange(n).astype(np.uint16),
            "even": np.arange(n) % 2 == 0,
            "vector": rng.normal(size=(n, 3, 2)),
            "name": np.array([f"galaxy {i}" for i in range(n)]),
        }
    )
    made["masked"] = MaskedColumn(np.arange(n), mask=np.arange(n) % 3 == 0)
    made["NUMBER"].unit = "m"
    return made


@pytest.fixture(scope="module")
def file(table, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "t.fits"
    table.write(path)
    return path


@given(start=st.integers(0, 500), length=st.integers(0, 500))
@settings(max_examples=25, deadline=None)
def test_any_run_of_rows_is_what_astropy_reads(table, file, start, length):
    stop = min(start + length, 500)
    opened = open_table(str(file))
    rows = opened.read(start, stop, table.colnames)
    assert rows.num_rows == stop - start
    for name in table.colnames:
        expected = table[name][start:stop]
        if name == "masked":
            assert rows[name].to_pylist() == [None if m else int(v) for v, m in zip(expected, expected.mask)]
        elif name == "vector":
            flat = np.asarray(rows[name].to_pylist()).reshape(-1, 3, 2)
            np.testing.assert_array_equal(flat, np.asarray(expected).reshape(-1, 3, 2))
        else:
            assert rows[name].to_pylist() == expected.tolist()


def test_types_units_and_dims_are_known_without_reading_a_row(file):
    schema = open_table(str(file)).empty.schema
    assert str(schema.field("unsigned").type) == "uint16"
    assert schema.field("NUMBER").metadata[b"unit"] == b"m"
    assert schema.field("vector").metadata[b"dim"] == b"(2,3)"


def test_reading_few_rows_touches_few_bytes(file, monkeypatch):
    opened = open_table(str(file))
    read = []

    from catalogs import storage

    real = storage.reading

    class Counting:
        def __init__(self, url, compression):
            self._context = real(url, compression)

        def __enter__(self):
            stream = self._context.__enter__()
            plain = stream.read

            class Proxy:
                seek = stream.seek

                @staticmethod
                def read(size):
                    read.append(size)
                    return plain(size)

            return Proxy

        def __exit__(self, *error):
            return self._context.__exit__(*error)

    monkeypatch.setattr(storage, "reading", Counting)
    opened.read(100, 110, ["NUMBER"])
    assert sum(read) == 10 * opened.row_bytes


def test_gzipped_catalog_reads_like_the_plain_one(file, tmp_path):
    path = tmp_path / "t.fits.gz"
    path.write_bytes(gzip.compress(file.read_bytes()))
    plain, zipped = open_table(str(file)), open_table(str(path))
    assert zipped.read(40, 60, ["NUMBER", "name"]).equals(plain.read(40, 60, ["NUMBER", "name"]))


@pytest.mark.parametrize("kind", ["plain", "gz"])
def test_truncated_catalog_is_refused_when_it_is_opened(file, tmp_path, kind):
    whole = file.read_bytes() if kind == "plain" else gzip.compress(file.read_bytes())
    path = tmp_path / ("t.fits" if kind == "plain" else "t.fits.gz")
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(NotATable):
        open_table(str(path))


def test_what_is_no_fits_table_says_so(tmp_path):
    path = tmp_path / "t.fits"
    path.write_text("NUMBER,RA\n1,2\n")
    with pytest.raises(NotATable, match="not a FITS file"):
        open_table(str(path))


def test_latin1_and_utf8_names_survive(tmp_path):
    path = tmp_path / "u.fits"
    Table({"id": np.array(["naïve".encode(), "Å".encode("latin-1")])}).write(path)
    assert open_table(str(path)).read(0, 2, ["id"])["id"].to_pylist() == ["naïve", "Å"]
