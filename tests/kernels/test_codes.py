"""Codes with columns beside the components: a wild or missing value moves nobody else, and no column outweighs what it is given."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.codes import LIMIT, Codes, NoSpread, scales_of
from kernels.moments import fixed_point_exponent, moments, principal_components, project


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(3)
    values = (rng.normal(size=(500, 12)) * np.arange(1, 13)).astype(np.float16)
    components = principal_components(moments(values, fixed_point_exponent(float(np.abs(values).max()))), 4)
    numbers = np.stack([rng.normal(7, 0.1, 500), rng.lognormal(3, 1, 500), rng.random(500) * 1e9], axis=1)
    return values, components, numbers


def test_without_columns_codes_are_the_components(sample):
    values, components, numbers = sample
    codes = Codes(components, scales_of(numbers[:, :0], components, 0.5))
    assert (codes(values, numbers[:, :0]) == project(values, components)).all()
    assert codes.to_arrays().keys() == components.to_arrays().keys()


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_columns_vary_alike_and_together_as_much_as_they_weigh(sample, weight):
    values, components, numbers = sample
    codes = Codes(components, scales_of(numbers, components, weight))(values, numbers)
    assert (codes[:, :4] == project(values, components)).all()
    low, high = np.percentile(codes[:, 4:], (16, 84), axis=0)
    spread = (high - low) / 2
    assert spread == pytest.approx(np.full(3, spread[0]), rel=1e-5)
    assert (spread**2).sum() == pytest.approx(weight * components.variances.sum(), rel=1e-5)


def test_a_wild_or_unknown_value_stays_within_three_sigma(sample):
    _, components, numbers = sample
    scales = scales_of(numbers, components, 0.5)
    wild = np.array([[1e300, -1e300, 0.0], [np.nan, np.inf, -np.inf]])
    found = scales(wild) / scales.unit
    assert found[0, :2].tolist() == pytest.approx([LIMIT, -LIMIT])
    assert found[1].tolist() == [0, 0, 0]
    broken = numbers.copy()
    broken[::50] = np.nan
    kept = np.delete(numbers, np.s_[::50], axis=0)
    assert (scales_of(broken, components, 0.5).medians == np.median(kept, axis=0)).all()


def test_a_row_rests_on_its_own_values(sample):
    values, components, numbers = sample
    codes = Codes(components, scales_of(numbers, components, 0.5))
    whole, order = codes(values, numbers), np.random.default_rng(0).permutation(500)
    assert (codes(values[order], numbers[order]) == whole[order]).all()
    assert (codes(values[7:8], numbers[7:8]) == whole[7:8]).all()
    assert codes(values[:0], numbers[:0]).shape == (0, 7)


def test_arrays_bring_back_the_same(sample):
    values, components, numbers = sample
    codes = Codes(components, scales_of(numbers, components, 0.5))
    again = Codes.from_arrays({**codes.to_arrays(), "pilot": values})
    assert (again(values, numbers) == codes(values, numbers)).all()
    with pytest.raises(ValueError, match="2 columns, and scales of 3"):
        again(values, numbers[:, :2])


@pytest.mark.parametrize(
    "column", [np.full(500, 4.0), np.full(500, np.nan), np.where(np.arange(500) < 50, 1.0, 0.0)]
)
def test_a_column_that_tells_nothing_apart_is_named(sample, column):
    _, components, numbers = sample
    with pytest.raises(NoSpread) as error:
        scales_of(np.column_stack([numbers, column]), components, 0.5)
    assert error.value.column == 3
