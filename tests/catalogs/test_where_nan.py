"""What was not measured passes no cut: NaN, which DuckDB holds for larger than every number, is compared as a missing value."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from catalogs import where

NAN = float("nan")
A = np.array([NAN, 4.0, 6.0, 0.0, -1.0, np.inf, -np.inf, 5.0])
B = np.array([1.0, NAN, 2.0, 0.0, 3.0, np.inf, 1.0, 5.0])
RNG = np.random.default_rng(3)
V = np.where(RNG.random((8, 2)) < 0.4, NAN, RNG.normal(5, 3, (8, 2)))
ROWS = pa.table(
    {
        "SNR": A,
        "B": B,
        "F": A.astype(np.float32),
        "N": pa.array([None, 4, 6, 0, -1, None, 7, 5], pa.int32()),
        "T": ["nan", "a", None, "b", "c", "d", "e", "f"],
        "V": pa.FixedSizeListArray.from_arrays(pa.array(V.reshape(-1)), 2),
    }
)
D2 = duckdb.__version__ >= "2"

with np.errstate(all="ignore"):
    AS_NUMPY = {
        "SNR > 5": A > 5,
        "SNR >= 5": A >= 5,
        "SNR < 5": A < 5,
        "SNR <= 5": A <= 5,
        "SNR = 5": A == 5,
        "SNR = SNR": ~np.isnan(A),
        "5 < SNR": A > 5,
        "SNR > B": A > B,
        "B < SNR": A > B,
        "SNR >= B": A >= B,
        "SNR = B": A == B,
        "F > 5": A > 5,
        "F > SNR - 1": A > A - 1,
        "-SNR < -5": -A < -5,
        "SNR + 1 > 5": A + 1 > 5,
        "abs(SNR) > 3": np.abs(A) > 3,
        "SNR / B > 1": A / B > 1,
        "SNR - B >= 0": A - B >= 0,
        "SNR * 0 >= 0": A * 0 >= 0,
        "SNR % B >= 0": np.fmod(A, B) >= 0,
        "sqrt(abs(SNR)) > 2": np.sqrt(np.abs(A)) > 2,
        "power(SNR, 0.3) > 1": A**0.3 > 1,
        "SNR BETWEEN 4 AND 100": (A >= 4) & (A <= 100),
        "4 BETWEEN B AND SNR": (B <= 4) & (A >= 4),
        "SNR IN (4, 6)": np.isin(A, [4, 6]),
        "V[1] > 5": V[:, 0] > 5,
        "V[1] > V[2]": V[:, 0] > V[:, 1],
        "SNR > 5 OR B > 2": (A > 5) | (B > 2),
        "SNR > 5 AND B < 100": (A > 5) & (B < 100),
        "CASE WHEN SNR > 5 THEN true ELSE false END": A > 5,
        "coalesce(SNR > 5, false)": A > 5,
        "isnan(SNR)": np.isnan(A),
        "NOT isnan(SNR)": ~np.isnan(A),
        "isnan(SNR / B)": np.isnan(A / B),
        "isfinite(SNR)": np.isfinite(A),
        "NOT isfinite(SNR)": ~np.isfinite(A),
        "isinf(SNR)": np.isinf(A),
        "NOT isinf(SNR)": ~np.isinf(A),
        "isnan(SNR) OR SNR > 5": np.isnan(A) | (A > 5),
        "try_cast(T AS DOUBLE) > 5": np.zeros(8, bool),
    }
    AS_MISSING = {
        # Neither a comparison with NaN nor its negation is true: SQL knows a third answer, and NumPy does not.
        "NOT (SNR > 5)": A <= 5,
        "NOT (SNR <= 5)": A > 5,
        "SNR <> 5": ~np.isnan(A) & (A != 5),
        "SNR <> SNR": np.zeros(8, bool),
        "SNR NOT IN (4, 6)": ~np.isnan(A) & ~np.isin(A, [4, 6]),
        "SNR NOT BETWEEN 4 AND 100": (A < 4) | (A > 100),
        "(SNR > 5) IS NULL": np.isnan(A),
        "SNR IS NULL": np.isnan(A),
        "SNR IS NOT NULL": ~np.isnan(A),
        "SNR / B IS NULL": np.isnan(A / B),
        "coalesce(SNR, 10) > 5": np.where(np.isnan(A), 10, A) > 5,
        "greatest(SNR, B) > 5": np.fmax(A, B) > 5,
        "least(SNR, B) < 2": np.fmin(A, B) < 2,
        "greatest(greatest(SNR / B, SNR), B) > 5": np.fmax(np.fmax(A / B, A), B) > 5,
        "SNR IS DISTINCT FROM 5": A != 5,
        "SNR::VARCHAR = 'nan'": np.zeros(8, bool),
        "try_cast(SNR AS INTEGER) > 3": np.isin(np.arange(8), [1, 2, 7]),
        "T = 'nan'": np.arange(8) == 0,
        "N > 5": np.isin(np.arange(8), [2, 6]),
        "NOT (N > 5)": np.isin(np.arange(8), [1, 3, 4, 7]),
    }


@pytest.mark.parametrize(("condition", "expected"), [*AS_NUMPY.items(), *AS_MISSING.items()])
def test_row_without_a_value_passes_a_cut(condition, expected):
    where.check(condition, ROWS.schema)
    np.testing.assert_array_equal(where.selected(condition, ROWS), expected)


@pytest.mark.skipif(not D2, reason="DuckDB 1 refuses a logarithm of what has none")
def test_function_without_a_value_passes_a_cut():
    assert where.selected("log10(SNR) > -99", ROWS).tolist() == [
        False,
        True,
        True,
        False,
        False,
        True,
        False,
        True,
    ]


@pytest.mark.parametrize(
    "condition", ["SNR = 'nan'", "SNR <> 'NaN'", "SNR IN (1, 'nan')", "SNR > 'nan'::DOUBLE"]
)
def test_a_comparison_with_the_word_nan_holds_for_nothing(condition):
    with pytest.raises(where.BadCondition, match="isnan"):
        where.check(condition, ROWS.schema)


def test_nested_expressions_take_a_time_that_doubles_with_each_level():
    deep = "SNR"
    for _ in range(40):
        deep = f"(greatest({deep} / B, B) + 1)"
    where.check(f"{deep} > 5", ROWS.schema)
    assert where.selected(f"{deep} > 5", ROWS).shape == (8,)


def test_rows_that_were_read_in_several_pieces_are_all_judged():
    rows = pa.concat_tables([ROWS.slice(3), ROWS.slice(0, 3)])
    assert where.selected("V[2] > 5 OR SNR > 5", rows).tolist() == (
        np.roll((V[:, 1] > 5) | (A > 5), -3).tolist()
    )


def test_objects_without_a_value_are_published_and_nan_is_a_number_in_the_catalog(tiny, look, objects):
    snr = np.linspace(1, 20, 64)
    snr[::4] = NAN
    tiny.table["SNR"] = snr
    tiny.table["FLUX"] = np.stack([snr, snr + 1], axis=1).astype(np.float32)
    tiny.write(2)
    assert look(survey={"where": "SNR > 5"}).selected == int((snr > 5).sum())
    found = objects(survey={"where": "SNR > 5 OR isnan(SNR)", "keep": ["SNR", "FLUX"]})
    expected = snr[(snr > 5) | np.isnan(snr)]
    assert found["SNR"].to_pylist() == [None if np.isnan(v) else v for v in expected]
    assert found["FLUX"][0].as_py() == [None, None]
    assert found["FLUX"].type == pa.list_(pa.float32(), 2)
