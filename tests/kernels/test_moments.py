"""Moments merge exactly, and components follow from them without surprises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.moments import (
    Components,
    Moments,
    fixed_point_exponent,
    merge,
    moments,
    principal_components,
    project,
)


def embeddings(rows, dimensions=7, seed=0, offset=0.0):
    draw = np.random.default_rng(seed)
    mixing = draw.normal(size=(dimensions, dimensions))
    return (draw.normal(size=(rows, dimensions)) @ mixing + offset).astype(np.float16)


def exponent_of(values):
    return fixed_point_exponent(float(np.abs(values).max()))


def bits(found):
    return b"".join(array.tobytes() for array in found.to_arrays().values())


def twin_second(values, exponent):
    """Second moments in Python integers, which are exact at any size."""
    grid = [[round(float(x) * 2.0**exponent) for x in row] for row in values]
    size = len(grid[0])
    return [[sum(row[i] * row[j] for row in grid) for j in range(size)] for i in range(size)]


def whole(found):
    return [
        [(int(h) << 32) + int(low) for h, low in zip(hs, lows, strict=True)]
        for hs, lows in zip(found.high, found.low, strict=True)
    ]


def test_sums_equal_python_integers():
    values = embeddings(300, 4)
    exponent = exponent_of(values)
    found = moments(values, exponent)
    assert whole(found) == twin_second(values, exponent)
    assert found.first.tolist() == [
        sum(round(float(x) * 2.0**exponent) for x in column) for column in values.T
    ]


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(0, 9000), max_size=6), seed=st.integers(0, 2**32 - 1), backwards=st.booleans()
)
def test_sharding_and_order_never_change_a_bit(cuts, seed, backwards):
    values = embeddings(9000)
    exponent = exponent_of(values)
    shuffled = values[np.random.default_rng(seed).permutation(len(values))]
    parts = [moments(part, exponent) for part in np.split(shuffled, sorted(cuts))]
    if backwards:
        parts.reverse()
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    assert bits(total) == bits(moments(values, exponent))


def test_merge_tree_shape_never_changes_a_bit():
    values = embeddings(4000)
    parts = [moments(part, 10) for part in np.array_split(values, 8)]
    left = parts[0]
    for part in parts[1:]:
        left = merge(left, part)
    tree = parts
    while len(tree) > 1:
        tree = [merge(a, b) for a, b in zip(tree[::2], tree[1::2], strict=True)]
    assert bits(left) == bits(tree[0])


def test_largest_magnitudes_of_a_full_block_stay_exact():
    values = np.full((4096, 2), np.float64(2**20))
    values[::3, 1] = -(2**20) + 1
    assert whole(moments(values, 0)) == twin_second(values, 0)


def test_sums_of_ten_thousand_million_rows_do_not_overflow():
    values = np.full((4096, 2), np.float64(2**20))
    total = moments(values, 0)
    while total.count < 10**10:
        total = total + total
    assert whole(total) == [[total.count << 40] * 2] * 2
    assert total.first.tolist() == [total.count << 20] * 2


def test_stored_moments_come_back():
    found = moments(embeddings(100), 8)
    again = Moments.from_arrays({name: array.copy() for name, array in found.to_arrays().items()})
    assert bits(again) == bits(found)
    assert isinstance(again.count, int)


def test_no_rows_are_the_neutral_element():
    values = embeddings(50)
    found = moments(values, 8)
    assert bits(found + moments(values[:0], 8)) == bits(found)


@pytest.mark.parametrize("offset", [0.0, 300.0])
def test_components_agree_with_float64_twin_even_far_from_zero(offset):
    values = embeddings(5000, offset=offset)
    found = principal_components(moments(values, exponent_of(values)), 7)
    # the twin sees the same grid
    scale = 2.0 ** exponent_of(values)
    rounded = np.rint(values.astype(np.float64) * scale) / scale
    covariance = np.cov(rounded.T)
    np.testing.assert_allclose(found.mean, rounded.mean(axis=0), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(found.variances, np.linalg.eigvalsh(covariance)[::-1], rtol=1e-9)
    np.testing.assert_allclose(found.axes @ covariance @ found.axes.T, np.diag(found.variances), atol=1e-5)
    assert found.total_variance == pytest.approx(np.trace(covariance), rel=1e-12)


def test_signs_of_axes_are_fixed():
    values = embeddings(2000)
    axes = principal_components(moments(values, exponent_of(values)), 7).axes
    assert (axes[np.arange(7), np.abs(axes).argmax(axis=1)] > 0).all()


def test_share_of_variance_takes_as_few_as_needed():
    values = embeddings(3000)
    found = moments(values, exponent_of(values))
    every = principal_components(found, 7)
    shares = np.cumsum(every.variances) / every.total_variance
    for share in (0.3, 0.9, 0.999):
        assert len(principal_components(found, share).variances) == int((shares < share).sum()) + 1


def test_wrong_requests_are_refused_with_the_reason():
    values = embeddings(100)
    found = moments(values, 8)
    with pytest.raises(ValueError, match="8 components asked of embeddings that have 7"):
        principal_components(found, 8)
    with pytest.raises(ValueError, match="share"):
        principal_components(found, 1.0)
    with pytest.raises(ValueError, match="at least 2 rows, got 1"):
        principal_components(moments(values[:1], 8), 1)
    with pytest.raises(ValueError, match="no variance"):
        principal_components(moments(np.repeat(values[:1], 5, axis=0), 8), 1)
    with pytest.raises(ValueError, match="grids"):
        merge(found, moments(values, 9))
    with pytest.raises(ValueError, match="dimensions"):
        merge(found, moments(values[:, :3], 8))
    with pytest.raises(ValueError, match="largest magnitude of all"):
        moments(values, 30)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_refused_loudly(bad):
    values = embeddings(20)
    components = principal_components(moments(values, 8), 2)
    broken = values.copy()
    broken[3, 2] = bad
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 20"):
        moments(broken, 8)
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 20"):
        project(broken, components)
    with pytest.raises(ValueError):
        fixed_point_exponent(abs(bad))


@given(st.floats(min_value=1e-30, max_value=1e30))
def test_exponent_uses_the_grid_but_never_leaves_it(largest):
    scaled = np.ldexp(largest, fixed_point_exponent(largest))
    assert 2**19 <= scaled <= 2**20


def test_exponent_of_zeros_is_zero():
    assert fixed_point_exponent(0.0) == 0


def test_projection_agrees_with_twin_and_leaves_input_alone():
    values = embeddings(1000, 40)
    before = values.copy()
    components = principal_components(moments(values, exponent_of(values)), 5)
    found = project(values, components)
    expected = (values.astype(np.float64) - components.mean) @ components.axes.T
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-5)
    assert (values == before).all()
    assert project(values[:0], components).shape == (0, 5)


@pytest.mark.parametrize("dimensions", [3, 320])
def test_projection_of_a_row_ignores_its_neighbours(dimensions):
    values = embeddings(1500, dimensions)
    components = principal_components(moments(values, exponent_of(values)), 3)
    together = project(values, components)
    order = np.random.default_rng(1).permutation(len(values))
    assert (project(values[order], components) == together[order]).all()
    split = np.concatenate([project(part, components) for part in np.split(values, [1, 2, 300, 777])])
    assert (split == together).all()


def test_components_survive_being_stored():
    values = np.random.default_rng(2).normal(size=(200, 6)).astype(np.float16)
    made = principal_components(moments(values, fixed_point_exponent(float(np.abs(values).max()))), 3)
    back = Components.from_arrays(made.to_arrays())
    np.testing.assert_array_equal(project(values, back), project(values, made))
    assert (back.total_variance, back.exponent) == (made.total_variance, made.exponent)
