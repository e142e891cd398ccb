"""The tree is Ward's, its heights are what merging loses, and what is alike stands together."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.group_tree import group_tree
from kernels.ward import ward


def centres_of(groups, dimensions=4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(groups, dimensions)).astype(np.float32), rng.integers(1, 500, groups).astype(
        float
    )


def cut(tree, branches):
    """Branch of each group, numbered as they appear."""
    groups = len(tree.order)
    members = tree.members()
    level = list(range(groups))
    for step in range(groups - branches):
        for group in members[groups + step]:
            level[group] = groups + step
    return np.unique(level, return_inverse=True)[1]


@pytest.mark.parametrize("branches", [1, 2, 3, 7, 12, 20])
def test_cut_tree_is_another_partition_than_the_votes(branches):
    centres, weights = centres_of(20)
    mine, wards = cut(group_tree(centres, weights), branches), ward(centres, weights, branches)
    assert len(set(zip(mine.tolist(), wards.tolist(), strict=True))) == branches


def test_heights_are_not_the_scatter_that_is_lost():
    centres, weights = centres_of(9)
    tree = group_tree(centres, weights)

    def within(parts):
        lost = 0.0
        for part in parts:
            middle = np.average(centres[part], axis=0, weights=weights[part])
            lost += (weights[part] * ((centres[part] - middle) ** 2).sum(axis=1)).sum()
        return lost

    whole = within([list(range(9))])
    members = tree.members()
    parts = [[group] for group in range(9)]
    for step, (first, second) in enumerate(tree.merges):
        before = within(parts)
        parts = [p for p in parts if sorted(p) not in (sorted(members[first]), sorted(members[second]))]
        parts.append(members[9 + step])
        assert tree.heights[step] == pytest.approx((within(parts) - before) / whole, rel=1e-6)
    assert tree.heights.sum() == pytest.approx(1.0)
    assert (np.diff(tree.heights) >= 0).all()


def test_branch_is_torn_apart_in_the_order():
    centres, weights = centres_of(30, seed=4)
    tree = group_tree(centres, weights)
    place = np.argsort(tree.order)
    for (first, second), made in zip(tree.merges, tree.members()[30:], strict=True):
        places = [int(place[group]) for group in made]
        assert places == list(range(min(places), min(places) + len(made)))
        members = tree.members()
        assert made == members[first] + members[second], "a merge names what stands first first"


def test_groups_on_a_line_stand_in_another_order_than_on_it():
    on_a_line = np.array([4, 0, 3, 1, 6, 2, 5], np.float32)[:, None] ** 2
    order = group_tree(on_a_line, np.ones(7)).order
    assert on_a_line[order, 0].tolist() in (sorted(on_a_line[:, 0]), sorted(on_a_line[:, 0])[::-1])


def test_gap_is_not_the_height_at_which_neighbours_meet():
    tree = group_tree(np.array([[0.0], [1.0], [5.0], [7.0]]), np.ones(4))
    assert tree.order.tolist() == [0, 1, 2, 3]
    # scatter: 1/2 of (0, 1), 2 of (5, 7), and 2 * 2 / 4 * (6 - 0.5)^2 of both
    np.testing.assert_allclose(tree.gaps(), np.array([0.5, 30.25, 2.0]) / 32.75)
    np.testing.assert_allclose(tree.heights, np.array([0.5, 2.0, 30.25]) / 32.75)
    assert tree.merges.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_one_group_has_no_tree():
    tree = group_tree(np.zeros((1, 3)), np.ones(1))
    assert tree.order.tolist() == [0]
    assert tree.merges.shape == (0, 2)
    assert tree.gaps().tolist() == []


def test_groups_that_coincide_have_no_heights():
    tree = group_tree(np.ones((3, 2)), np.ones(3))
    assert sorted(tree.order.tolist()) == [0, 1, 2]
    assert tree.heights.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("weights", [[1.0, 0.0], [1.0], [1.0, np.nan]])
def test_weights_that_are_none_are_taken(weights):
    with pytest.raises(ValueError, match="positive weights"):
        group_tree(np.array([[0.0], [1.0]]), np.array(weights))
