"""The tree in characters has the lines of the tree."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.group_tree import group_tree
from pipeline.cli.tree_text import draw


def tree_of(*places: float):
    return group_tree(np.array(places, float)[:, None], np.ones(len(places)))


def test_lines_join_other_groups_than_merge():
    # scatter 0.5, 2 and 30.25: 2 is at 0.34 of the way from ln 0.5 to ln 30.25
    assert draw(tree_of(0, 1, 5, 7), 22) == [
        "───┬─────────────────┐",
        "───┘                 │",
        "─────────┬───────────┘",
        "─────────┘            ",
    ]


def test_merges_too_low_for_the_scale_are_lost():
    assert draw(tree_of(0.0, 1.0, 2.1, 500.0), 8) == [
        "───┐    ",
        "───┼───┐",
        "───┘   │",
        "───────┘",
    ]


def test_groups_that_coincide_have_no_line():
    assert draw(tree_of(1, 1), 6) == ["─────┐", "─────┘"]


@pytest.mark.parametrize("groups", [1, 2, 3, 20, 57])
@pytest.mark.parametrize("width", [2, 5, 30])
def test_line_is_missing_or_too_long(groups, width):
    rng = np.random.default_rng(groups)
    lines = draw(group_tree(rng.normal(size=(groups, 3)), np.ones(groups)), width)
    assert len(lines) == groups
    assert {len(line) for line in lines} == {width}
    assert all(line[0] in "─┬┤┐┘┴" for line in lines), "every group's line begins beside its row"
