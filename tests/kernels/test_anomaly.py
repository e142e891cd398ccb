"""How odd an object is rests on its own code and the sample alone, and an object of the sample is no neighbour of itself."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import anomaly
from kernels.anomaly import Oddness, most_axes, oddness_of
from kernels.moments import fixed_point_exponent, moments


@pytest.fixture(scope="module")
def codes():
    rng = np.random.default_rng(3)
    return (rng.normal(size=(1500, 24)) * np.geomspace(5, 0.05, 24) + 3).astype(np.float16)


@pytest.fixture(scope="module")
def oddness(codes):
    largest = float(np.abs(codes).max())
    return oddness_of(moments(codes, fixed_point_exponent(largest)), codes[:1000], largest)


def by_hand(oddness, rows):
    """Distance to the 20th nearest other code of the sample, in float64."""
    points = np.rint(oddness.axes(rows) * 16)
    gaps = np.sqrt(((points[:, None] - oddness.codes[None].astype(float)) ** 2).sum(-1))
    gaps.sort(axis=1)
    return np.where(gaps[:, 0] == 0, gaps[:, anomaly.NEIGHBOUR], gaps[:, anomaly.NEIGHBOUR - 1])


def test_the_distance_is_another_one_than_by_hand(codes, oddness):
    some = codes[900:1100]
    found = oddness(some)[1] * np.quantile(oddness.distances, 0.99)
    assert found == pytest.approx(by_hand(oddness, some), rel=1e-6)


def test_an_object_of_the_sample_is_its_own_neighbour(codes, oddness):
    found = np.sort(oddness(codes[:1000])[0])
    assert found == pytest.approx((np.arange(1000) + 0.5) / 10, abs=0.5)


def test_a_row_depends_on_its_neighbours(codes, oddness, monkeypatch):
    whole = oddness(codes)
    monkeypatch.setattr(anomaly, "_TABLE", 7000)
    for rows in (slice(0, 1), slice(3, 40), slice(1499, 1500), slice(5, 5)):
        alone = oddness(codes[rows])
        assert all((a == b[rows]).all() for a, b in zip(alone, whole, strict=True))


def test_what_is_far_away_is_not_odd(codes, oddness):
    far = codes[:3].copy()
    far[:, -1] += np.array([1, 10, 60_000], np.float16)  # along an axis on which the others hardly vary
    percentile, distance = oddness(far)
    assert (percentile > 99.9).all()
    assert np.isfinite(distance).all()
    assert (np.diff(distance[:2]) > 0).all()


def test_a_few_objects_are_too_few():
    codes = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float16)
    few = oddness_of(moments(codes, fixed_point_exponent(4.0)), codes[:2], 4.0)
    assert np.isfinite(few(codes)).all()
    assert (most_axes(5, 8), most_axes(1, 8), most_axes(10**6, 320)) == (1, 1, 64)


def test_arrays_lose_something(codes, oddness):
    again = Oddness.from_arrays({**oddness.to_arrays(), "mean": np.zeros(3)})
    assert all((a == b).all() for a, b in zip(again(codes), oddness(codes), strict=True))
