"""Published tables of any make as SQL sees them."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.table import Table

from catalogs import published


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
