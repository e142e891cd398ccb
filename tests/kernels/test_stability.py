"""The number of groups that is there is found, whatever the order of the objects."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import stability as module
from kernels.kmeans import kmeans
from kernels.nearest import nearest
from kernels.stability import judged, most_groups, stability


def clusters(each=200, seed=1, dimensions=3):
    """Three clear clusters, the last with half as many objects."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0, 0, 0], [10, 0, 0], [0, 14, 0]])[:, :dimensions]
    sizes = (2 * each, 2 * each, each)
    return np.concatenate(
        [centre + rng.normal(size=(size, dimensions)) for centre, size in zip(centres, sizes, strict=True)]
    ).astype(np.float32)


@pytest.fixture(scope="module")
def tried():
    return {found.groups: found for found in stability(clusters(), [2, 3, 4, 6, 9], 0)}


def test_three_clusters_are_taken_for_another_number(tried):
    three = tried.pop(3)
    assert three.agreement > 0.999
    assert three.spread < 0.001
    assert three.smallest == pytest.approx(0.2)
    assert three.jaccard.tolist() == pytest.approx([1.0] * 3, abs=0.01)
    assert all(three.agreement > other.agreement for number, other in tried.items() if number > 3)
    assert all(three.silhouette > other.silhouette for other in tried.values())
    assert all(three.davies_bouldin < other.davies_bouldin for other in tried.values())


def test_groups_that_cut_a_cluster_at_random_pass_as_stable(tried):
    assert tried[9].jaccard.min() < 0.6
    assert tried[9].agreement < 0.7


def test_order_of_the_objects_changes_the_numbers():
    codes = clusters(60)
    found, turned = (stability(rows, [3, 5], 7) for rows in (codes, codes[::-1].copy()))
    for one, other in zip(found, turned, strict=True):
        for name, value in vars(one).items():
            np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)


def test_groups_that_are_there_are_fitted_again():
    codes = clusters(40)
    far = np.array([[0, 0, 0], [10, 0, 0], [0, 14, 0], [1e3, 0, 0]], np.float32)
    three, four = stability(codes, [3, 4], 0, far)
    assert four.smallest == 0.0
    assert four.jaccard[3] == 0.0
    assert three.smallest == pytest.approx(0.2)


def test_indices_differ_from_those_by_hand():
    codes = np.arange(6, dtype=np.float32)[:, None]
    labels = np.array([0, 0, 1, 1, 1, 1], np.int32)
    one, other = np.array([1, 1, 1, 0, 0, 0], np.int32), np.array([0, 0, 1, 1, 1, 1], np.int32)
    found = judged(2, codes, labels, [(one, other), (one, one)], np.abs(codes - codes.T).astype(np.float64))
    # pairs of the 15 that are together: 6 in one, 7 in the other, 4 in both
    by_hand = (4 - 6 * 7 / 15) / ((6 + 7) / 2 - 6 * 7 / 15)
    assert found.agreement == pytest.approx((by_hand + 1) / 2)
    assert found.spread == pytest.approx((1 - by_hand) / np.sqrt(2))
    # {0, 1} has 2 of 3 in common with {0, 1, 2}, {2, 3, 4, 5} has 3 of 4 with {3, 4, 5}; the other fit has both
    assert found.jaccard.tolist() == pytest.approx([(3 * 2 / 3 + 1) / 4, (3 * 3 / 4 + 1) / 4])
    assert found.smallest == pytest.approx(2 / 6)
    # centres 0.5 and 3.5, mean distances from them 0.5 and 1
    assert found.davies_bouldin == pytest.approx((0.5 + 1.0) / 3.0)
    own = np.array([1, 1, (1 + 2 + 3) / 3, (1 + 1 + 2) / 3, (2 + 1 + 1) / 3, (3 + 2 + 1) / 3])
    next_ = np.array([3.5, 2.5, 1.5, 2.5, 3.5, 4.5])
    assert found.silhouette == pytest.approx(np.mean((next_ - own) / np.maximum(own, next_)))


def test_halves_of_few_or_of_like_objects_are_asked_for_more_groups_than_they_hold():
    codes = clusters(20)  # 100 objects
    assert most_groups(codes, 0, 60) == 10
    assert most_groups(codes, 0, 4) == 4
    assert most_groups(np.repeat(codes[:7], 50, axis=0), 0, 60) == 1
    assert most_groups(codes[:1], 0, 60) == 0
    assert stability(codes, [10], 0)[0].jaccard.shape == (10,)


def test_sample_is_of_the_first_rows(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 300)
    codes = clusters()
    (found,) = stability(codes, [3], 0)
    assert found.agreement > 0.999
    shares = np.bincount(nearest(codes, kmeans(codes, 3, 0))) / len(codes)
    assert found.smallest == pytest.approx(shares.min(), abs=0.05)


def test_codes_that_are_no_numbers_are_taken():
    codes = clusters(20)
    codes[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity in 1 of 100 rows"):
        stability(codes, [3], 0)
