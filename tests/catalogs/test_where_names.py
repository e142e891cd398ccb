"""Columns whose names differ in case only are different columns, whatever DuckDB takes them for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from astropy.table import MaskedColumn

from catalogs import where
from catalogs.errors import Refused

NAMES = pa.table({"RA": [1.0, 2.0, 3.0], "ra": [3.0, -99.0, 1.0], "ra_1": [0.0, 0.0, 9.0], "Z": [1, 2, 3]})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('"ra" > -90', [True, False, True]),
        ('"RA" > 1', [False, True, True]),
        ("ra < 2", [False, True, True]),
        ("RA < ra", [True, False, False]),
        ("ra_1 > 1 AND ra = 1", [False, False, True]),
        ("objects.ra = 1", [False, False, True]),
        ("z >= 2", [False, True, True]),  # there is no other that it could be
    ],
)
@pytest.mark.parametrize("order", [1, -1])
def test_another_column_is_read_because_its_name_differs_in_case_only(condition, expected, order):
    rows = NAMES.select(NAMES.column_names[::order])
    where.check(condition, rows.schema)
    assert where.selected(condition, rows).tolist() == expected


@pytest.mark.parametrize("name", ["Ra", "rA"])
def test_a_name_that_may_be_either_of_two_is_refused_with_both(name):
    with pytest.raises(where.BadCondition, match="'RA' or 'ra'"):
        where.check(f"{name} > 1", NAMES.schema)
    with pytest.raises(where.BadCondition, match="no column 'dec'"):
        where.check("dec > 1", NAMES.schema)


def test_a_column_of_another_table_is_no_column():
    with pytest.raises(where.BadCondition, match="column's name alone"):
        where.check("other.ra > 1", NAMES.schema)


@pytest.fixture
def matched(tiny):
    """As TOPCAT leaves a match of two surveys; the second one's names are in lower case."""
    number = np.arange(64)
    tiny.table["ra"] = np.where(number % 4 == 0, -99.0, np.asarray(tiny.table["RA"]))
    tiny.table["number"] = 64 - number
    tiny.table["Mag"] = MaskedColumn(number.astype(np.int32), mask=number == 3)
    tiny.write(2)
    return tiny


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('"ra" > -90', [n for n in range(1, 65) if n % 4 != 1]),
        ('"number" <= 10', list(range(55, 65))),
        ("number <= 10 AND NUMBER < 60", list(range(55, 60))),
        ('"Mag" IS NULL AND "MAG" > 20.0', [4]),
    ],
)
def test_wrong_rows_are_published_because_two_names_differ_in_case_only(
    matched, look, objects, condition, expected
):
    assert look(survey={"where": condition}).selected == len(expected)
    assert objects(survey={"where": condition})["object_id"].to_pylist() == expected


def test_kept_column_is_the_one_that_is_named(matched, objects):
    found = objects(survey={"keep": ["ra as other_ra", "number as other", "Mag"]})
    assert found["other"].to_pylist() == list(range(64, 0, -1))
    assert found["other_ra"].to_pylist()[:2] == [-99.0, matched.table["ra"][1]]
    assert found["ra"].to_pylist() == matched.table["RA"].tolist()
    assert found["Mag"].to_pylist()[:5] == [0, 1, 2, None, 4]


def test_position_and_id_are_the_ones_that_are_named(matched, objects):
    found = objects(survey={"id": "number", "ra": "ra", "where": '"ra" >= 0'})
    assert found["object_id"].to_pylist() == [65 - n for n in range(1, 65) if n % 4 != 1]
    assert found["ra"].to_pylist() == [r for r in matched.table["ra"] if r >= 0]


def test_refusals_name_both_columns_that_may_be_meant(matched, look, fails):
    for sections in ({"where": "Number > 1"}, {"keep": ["Number"]}):
        remedy = fails(survey=sections).remedy
        assert "'NUMBER' or 'number'" in remedy or "'number' or 'NUMBER'" in remedy
    with pytest.raises(Refused, match="'MAG' and 'Mag', which are one name in SQL"):
        look(survey={"keep": ["MAG", "Mag"]})
