"""Simulated votes walk down the tree, follow EFIGI's attributes and depend on nothing but the galaxy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.tree_votes import TREE, draw, expected, votes
from kernels.tree_text import bundled, bundled_names

ATTRIBUTES = [
    *("bulge_to_total", "arm_strength", "arm_curvature", "arm_rotation", "bar_length", "inner_ring"),
    *("outer_ring", "pseudo_ring", "perturbation", "visible_dust", "dust_dispersion", "flocculence"),
    *("hot_spots", "inclination_elongation", "contamination", "multiplicity"),
]


def galaxies(n=60, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({name: rng.choice([-1, 0, 0.25, 0.5, 0.75, 1], n) for name in ATTRIBUTES})
    return table.assign(t_type=rng.integers(-6, 12, n), id=[f"PGC{i:07d}" for i in range(n)])


def one(**attributes):
    """A face-on Sbc without anything remarkable, but for what is given."""
    plain = dict.fromkeys(ATTRIBUTES, 0.0) | {
        "bulge_to_total": 0.25,
        "arm_strength": 0.5,
        "arm_curvature": 0.5,
    }
    return expected(pd.DataFrame([plain | {"t_type": 4.0} | attributes]))[0]


def share(fractions, name):
    return fractions[TREE.names.index(name)]


def test_fractions_of_a_question_do_not_add_up():
    given = expected(galaxies())
    assert given.shape == (60, 37)
    assert (given >= 0).all()
    for here in TREE.slices:
        np.testing.assert_allclose(given[:, here].sum(axis=1), 1)


@pytest.mark.parametrize("name", bundled_names())
def test_volunteers_answer_what_they_were_not_asked(name):
    tree = bundled(name)
    rng = np.random.default_rng(1)
    fractions = np.concatenate(
        [rng.dirichlet(np.ones(here.stop - here.start), 30) for here in tree.slices], axis=1
    )
    counts = draw(tree, fractions, np.arange(30))
    for leads, here in zip(tree.leads, tree.slices, strict=True):
        asked = counts[:, list(leads)].sum(axis=1) if leads else 40
        np.testing.assert_array_equal(counts[:, here].sum(axis=1), asked)
    assert counts.max() <= 40


def test_votes_depend_on_other_galaxies():
    table = galaxies()
    everything = votes(table)
    some = votes(table.sample(20, random_state=3))
    pd.testing.assert_frame_equal(some, everything.loc[some.index])
    assert not votes(table, seed=1).equals(everything)
    assert list(everything.columns) == ["id", *TREE.columns]


def test_many_volunteers_give_other_fractions_than_expected():
    table = galaxies(5)
    counts = votes(table, volunteers=200_000)[list(TREE.columns)].to_numpy()
    wanted = expected(table)
    for here in TREE.slices:
        asked = counts[:, here].sum(axis=1, keepdims=True)
        known = asked[:, 0] > 2000
        np.testing.assert_allclose((counts[:, here] / asked)[known], wanted[known, here], atol=0.05)


@pytest.mark.parametrize(
    ("answer", "more", "less"),
    [
        ("smooth_or_features_smooth", {"t_type": -5, "arm_strength": 0}, {}),
        ("smooth_or_features_smooth", {"t_type": 11, "arm_strength": 0}, {}),
        ("edgeon_yes", {"inclination_elongation": 1}, {}),
        ("bar_bar", {"bar_length": 0.75}, {}),
        ("spiral_spiral", {}, {"arm_strength": 0}),
        ("bulge_prominence_dominant", {"bulge_to_total": 1}, {}),
        ("odd_yes", {"perturbation": 1}, {}),
        ("odd_yes", {"t_type": 10}, {}),
        ("odd_feature_ring", {"outer_ring": 1}, {"perturbation": 1}),
        ("odd_feature_merger", {"perturbation": 1, "multiplicity": 1}, {"perturbation": 1}),
        ("odd_feature_dust_lane", {"visible_dust": 1}, {}),
        ("rounded_completely_round", {}, {"inclination_elongation": 1}),
        ("bulge_shape_no_bulge", {"bulge_to_total": 0}, {"bulge_to_total": 0.75}),
        ("arms_winding_tight", {"arm_curvature": 1}, {}),
        ("arms_number_2", {}, {"flocculence": 1}),
    ],
)
def test_an_attribute_does_not_move_its_answer(answer, more, less):
    assert share(one(**more), answer) > 1.3 * share(one(**less), answer)


def test_what_efigi_cannot_tell_is_taken_for_a_number():
    np.testing.assert_allclose(one(bar_length=-1), one(bar_length=0))
    np.testing.assert_allclose(one(arm_curvature=np.nan), one(arm_curvature=0.5))
