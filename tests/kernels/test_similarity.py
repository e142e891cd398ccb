"""Similarity is a row's own, and the mean of examples points to what they share."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.anomaly import oddness_of
from kernels.moments import fixed_point_exponent, moments
from kernels.similarity import Axes, cells_for, centres_of, direction, similarity


@pytest.fixture(scope="module")
def codes():
    rng = np.random.default_rng(8)
    return (rng.normal(size=(800, 16)) * np.geomspace(4, 0.5, 16) + 5).astype(np.float16)


def test_similarity_is_not_the_cosine_seen_from_the_mean(codes):
    mean = codes.mean(axis=0, dtype=np.float64)
    wanted = direction(codes[:1], mean)
    seen = codes.astype(float) - mean
    cosine = seen @ seen[0] / np.linalg.norm(seen, axis=1) / np.linalg.norm(seen[0])
    found = similarity(codes, wanted, mean)
    assert found == pytest.approx(cosine, abs=1e-12)
    assert found[0] == pytest.approx(1, abs=1e-12)
    assert all(similarity(codes[i : i + 1], wanted, mean)[0] == found[i] for i in (0, 5, 799))


def test_points_along_the_axes_are_less_alike_than_codes(codes):
    largest = float(np.abs(codes).max())
    axes = Axes.of(oddness_of(moments(codes, fixed_point_exponent(largest)), codes, largest))
    mean = codes.mean(axis=0, dtype=np.float64)
    wanted = direction(codes[:3], mean)
    gaps = ((axes.points(codes) - axes.point(wanted)) ** 2).sum(axis=1)
    assert 1 - gaps / 2 == pytest.approx(similarity(codes, wanted, mean), abs=1e-3)  # all 16 axes are kept


def test_cells_follow_from_equal_points_alone(codes):
    points = codes.astype(np.float32)
    assert (centres_of(points, 16) == centres_of(points.copy(), 16)).all()
    assert len(centres_of(np.tile(points[:3], (50, 1)), 16)) == 3
    assert [cells_for(n) for n in (0, 1, 100, 10**6, 10**7, 10**12)] == [1, 1, 8, 1024, 4096, 32768]
