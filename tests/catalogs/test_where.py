"""`where` judges single rows of the catalog's own columns and can do nothing else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from catalogs import where

ROWS = pa.table({"MAG": [20.0, None, 25.0], 'a "b"': [1, 2, 3], "größe": ["x", "y", "z"]})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("MAG < 24", [True, False, False]),
        ("MAG IS NULL OR MAG > 24 -- faint", [False, True, True]),
        ('"a ""b""" >= 2', [False, True, True]),
        ("größe = 'x'", [True, False, False]),
    ],
)
def test_rows_are_selected_as_sql_says(condition, expected):
    assert set(where.columns_of(condition)) <= set(ROWS.column_names)
    where.check(condition, ROWS.schema)
    np.testing.assert_array_equal(where.selected(condition, ROWS), expected)


@pytest.mark.parametrize(
    "condition",
    [
        "MAG <",
        "MAG < 24; DROP TABLE objects",
        "1 = 1) UNION SELECT 1 --",
        "1=1\n) AS a, (2=2",
        "MAG IN (SELECT MAG FROM read_csv('/etc/passwd'))",
        "random() < 0.5",
        "row_number() OVER () < 10",
        "COPY objects TO '/tmp/stolen'",
    ],
)
def test_what_is_not_one_plain_condition_is_refused(condition):
    with pytest.raises(where.BadCondition):
        where.columns_of(condition)


@pytest.mark.parametrize(
    "condition", ["sum(MAG) > 1", "MAG + 1", "MAG < 'bright'", "read_text('/etc/passwd') = ''"]
)
def test_conditions_that_do_not_fit_the_columns_are_refused(condition):
    with pytest.raises(where.BadCondition):
        where.check(condition, ROWS.schema)
