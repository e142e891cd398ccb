"""A confidence is what it says it is: how often other bags put the objects into the same group, or onto the same branch."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.bags import bag_masks, canonical_order, inclusion, stratify
from kernels.confidence import Calibration, branches, calibrate, share_of
from kernels.families import FAMILIES
from kernels.members import Member, fit_member
from kernels.vote import align, ensemble, vote

GROUPS, BAGS, OBJECTS = 8, 8, 3000


def overlapping(rows):
    """Codes of groups that run into each other, (rows, 4) float32."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(GROUPS, 4)) * 1.0
    return (centres[rng.integers(GROUPS, size=rows)] + rng.normal(size=(rows, 4))).astype(np.float32)


@pytest.fixture(scope="module")
def drawn():
    """Codes in canonical order, and an ensemble for each of five seeds of the bags, all with one reference."""
    ids = np.arange(OBJECTS)
    codes = overlapping(OBJECTS)[canonical_order(ids, 0)]
    strata = stratify(codes)
    rates = inclusion(strata.shares, OBJECTS, OBJECTS)
    reference = fit_member("kmeans", codes, GROUPS, 0)

    def draw(seed):
        masks = bag_masks(ids, codes, strata, rates, BAGS, seed)
        members = [
            fit_member(family, codes[mask], GROUPS, seed + 1 + bag, bag)
            for bag, mask in enumerate(masks)
            for family in FAMILIES
        ]
        return ensemble(align(members, reference, codes), reference)

    return codes, [draw(100 * seed) for seed in range(5)]


@pytest.mark.parametrize("of", ["groups", "branches"])
def test_in_ten_bins_confidence_is_the_share_that_other_bags_put_into_the_same_place(drawn, of):
    codes, (first, *others) = drawn
    level = np.arange(GROUPS) if of == "groups" else branches(first, codes, 3)
    ballot = vote(codes, first)
    (calibration,) = calibrate(codes, first, [level])
    confidence = calibration(ballot)
    same = np.mean([level[vote(codes, other).group] == level[ballot.group] for other in others], axis=0)
    bins = np.minimum((confidence * 10).astype(int), 9)
    full = [b for b in range(10) if (bins == b).sum() >= 100]
    assert len(full) >= 2
    for b in full:
        assert abs(confidence[bins == b].mean() - same[bins == b].mean()) <= 0.05, b / 10


def test_more_of_the_votes_is_always_more_confidence(drawn):
    codes, (first, *_) = drawn
    ballot = vote(codes, first)
    level = np.arange(GROUPS)
    (calibration,) = calibrate(codes, first, [level])
    shares, confidence = share_of(ballot, level), calibration(ballot)
    order = np.argsort(shares)
    assert (np.diff(confidence[order]) >= 0).all()
    assert 0 <= confidence.min() < confidence.max() <= 1
    # none are so many that the ranks are lost
    assert np.unique(confidence, return_counts=True)[1].max() < 0.01 * OBJECTS


def test_a_branch_is_never_less_sure_than_its_groups_share(drawn):
    codes, (first, *_) = drawn
    ballot, level = vote(codes, first), branches(first, codes, 3)
    assert sorted(set(level.tolist())) == [0, 1, 2]
    own, branch = share_of(ballot, np.arange(GROUPS)), share_of(ballot, level)
    assert (branch >= own).all()
    np.testing.assert_allclose(ballot.shares.sum(axis=1), 1.0, atol=1e-6)


def test_confidence_of_an_object_is_the_same_in_any_batch(drawn):
    codes, (first, *_) = drawn
    (calibration,) = calibrate(codes, first, [np.arange(GROUPS)])
    whole = calibration(vote(codes, first))
    pieces = [calibration(vote(codes[part], first)) for part in np.array_split(np.arange(OBJECTS), 7)]
    assert (np.concatenate(pieces) == whole).all()
    again = Calibration.from_arrays({name: array.copy() for name, array in calibration.to_arrays().items()})
    assert (again(vote(codes, first)) == whole).all()


def test_one_bag_has_no_confidence(drawn):
    codes, _ = drawn
    reference = fit_member("kmeans", codes, GROUPS, 0)
    with pytest.raises(ValueError, match="draw 2 or more"):
        calibrate(codes, ensemble([reference], reference), [np.arange(GROUPS)])


def test_an_object_on_a_centre_has_all_of_its_distances_share_there():
    def at(*places, bag=0):
        points = np.array(places, np.float32)[:, None]
        return Member("kmeans", bag, points, np.arange(len(places), dtype=np.int32))

    ballot = vote(np.array([[0.0], [4.0], [2.0]]), ensemble([at(0, 4), at(0, 4, bag=1)], at(0, 4)))
    np.testing.assert_allclose(ballot.shares, [[1, 0], [0, 1], [0.625, 0.375]])
