"""Published tables of any make as SQL sees them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

from catalogs import published
from catalogs.errors import Refused


@pytest.mark.parametrize("name", ["table.fits", "table.csv", "table.dat"])
def test_text_of_a_table_equals_no_text(tmp_path, name):
    """FITS texts were bytes: a condition on one selected nothing."""
    path = tmp_path / name
    form = {"fits": "fits", "csv": "ascii.csv", "dat": "ascii.basic"}[path.suffix[1:]]
    Table({"name": np.array(["alpha", "beta"]), "size": [1, 2]}).write(path, format=form)
    with published.connect({"t": str(path)}, "SELECT * FROM t", "", "test") as connection:
        assert connection.sql("SELECT size FROM objects WHERE name = 'beta'").fetchall() == [(2,)]


def test_table_in_another_encoding_is_refused(tmp_path):
    Table({"name": np.array([b"caf\xe9"]), "size": [1]}).write(tmp_path / "table.fits")
    with published.connect({"t": str(tmp_path / "table.fits")}, "SELECT * FROM t", "", "test") as connection:
        assert connection.sql("SELECT size FROM objects").fetchall() == [(1,)]


@pytest.mark.parametrize("name", ["table.fits", "table.csv", "table.parquet"])
def test_nan_of_a_published_table_passes_a_cut(tmp_path, name):
    path, values = tmp_path / name, [np.nan, 1.0, 9.0]
    if name.endswith("fits"):
        Table({"id": [1, 2, 3], "mag": values}).write(path)
    elif name.endswith("csv"):
        path.write_text("id,mag\n" + "\n".join(f"{i + 1},{v}" for i, v in enumerate(values)) + "\n")
    else:
        pq.write_table(pa.table({"id": [1, 2, 3], "mag": values}), path)
    with published.connect({"t": str(path)}, "SELECT * FROM t WHERE mag > 5", "", "test") as connection:
        assert connection.sql("SELECT id FROM objects").fetchall() == [(3,)]


@pytest.mark.parametrize("name", ["table.fits", "table.csv", "table.parquet", "table.dat"])
def test_another_column_is_read_because_its_name_differs_in_case_only(tmp_path, name):
    path = tmp_path / name
    if name.endswith("fits"):
        columns = [fits.Column(n, "D", array=[v]) for n, v in (("RA", 1.0), ("ra", 2.0), ("mag", 3.0))]
        fits.BinTableHDU.from_columns(columns).writeto(path)
    elif name.endswith("parquet"):
        pq.write_table(pa.table({"RA": [1.0], "ra": [2.0], "mag": [3.0]}), path)
    else:
        path.write_text("RA,ra,mag\n1,2,3\n" if name.endswith("csv") else "RA ra mag\n1 2 3\n")
    with published.connect({"t": str(path)}, "SELECT mag FROM t", "", "test") as connection:
        assert connection.sql("SELECT mag FROM objects").fetchall() == [(3.0,)]
    with pytest.raises(Refused, match="'RA' and 'ra', which are one name in SQL"):
        published.connect({"t": str(path)}, "SELECT ra FROM t", "", "test")


def test_table_without_a_line_of_names_loses_no_column(tmp_path):
    (tmp_path / "table.csv").write_text("1,1,a\n2,3,b\n")
    with published.connect({"t": str(tmp_path / "table.csv")}, "SELECT * FROM t", "", "test") as connection:
        assert connection.sql("SELECT * FROM objects").fetchall() == [(1, 1, "a"), (2, 3, "b")]
