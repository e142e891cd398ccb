"""Medians by counting are NumPy's medians within their promise, and the same bits however the values were cut up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from kernels.medians import Tally

GROUPS = 5


def values_and_groups(seed: int, n: int = 3001):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0, 3, n // 2), rng.lognormal(2, 4, n - n // 2)]).astype(np.float32)
    return rng.permutation(values), rng.integers(0, GROUPS - 1, n).astype(np.int16)


def test_medians_are_numpy_s_within_a_two_thousandth():
    values, groups = values_and_groups(0)
    found = Tally.of(groups, values).medians(GROUPS)
    expected = [np.median(values[groups == group]) for group in range(GROUPS - 1)]
    np.testing.assert_allclose(found[:-1], expected, rtol=2**-11)
    assert np.isnan(found[-1])


def test_neither_order_nor_cuts_change_a_bit():
    values, groups = values_and_groups(1)
    whole = Tally.of(groups, values)
    rng = np.random.default_rng(2)
    order = rng.permutation(len(values))
    pieces = np.array_split(order, [1, 7, 7, 900, 2000])
    summed = Tally.of(groups[:0], values[:0])
    for piece in rng.permutation(len(pieces)):
        summed += Tally.of(groups[pieces[piece]], values[pieces[piece]])
    np.testing.assert_array_equal(summed.codes, whole.codes)
    np.testing.assert_array_equal(summed.counts, whole.counts)
    assert summed.medians(GROUPS).tobytes() == whole.medians(GROUPS).tobytes()


@given(
    arrays(np.float32, st.integers(1, 9), elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
)
@settings(max_examples=200, deadline=None)
def test_the_middle_value_is_found_whatever_the_values(values):
    values = values[: len(values) - 1 + len(values) % 2]
    found = Tally.of(np.zeros(len(values), np.int16), values).medians(1)[0]
    tiny = float(np.finfo(np.float32).tiny)
    assert found == pytest.approx(float(np.median(values)), rel=2**-10, abs=tiny)


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([3.0, -2.0, 7.0], 3.0),
        ([-2.0, -3.0, 0.0, -0.0], -1.0),
        ([1.0, 2.0], 1.5),
        ([np.nan, np.inf, -np.inf, 2047.0], 2047.0),
        ([1e300, 0.5], 0.5),
        ([np.finfo(np.float32).max], 3.4e38),
    ],
)
def test_integers_are_exact_and_what_is_no_number_is_left_out(values, median):
    found = Tally.of(np.zeros(len(values), int), np.array(values)).medians(1)[0]
    assert found == pytest.approx(median, rel=2**-10) if median > 1e30 else found == median


def test_input_is_not_changed():
    values, groups = values_and_groups(3)
    before = values.copy(), groups.copy()
    Tally.of(groups, values)
    np.testing.assert_array_equal(values, before[0])
    np.testing.assert_array_equal(groups, before[1])
