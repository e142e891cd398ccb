"""Answers of heads mean what they say: probabilities, Dirichlet fractions, levels and values; columns; and a tree's nulls."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from kernels.heads.answers import LEAST_ASKED, Calibration, applies, interval, moments, probabilities
from kernels.heads.columns import answer_columns, column_name, columns_of, in_order, share_columns, values_of
from kernels.heads.head import Head
from kernels.transforms import transformed, untransformed

BAR = Head("bar", "classes", ("no", "yes"))
ARMS = Head("arms", "ordinal", ("0", "0.5", "1"), (0.0, 0.5, 1.0))
SIZE = Head("R 50", "value", transform="log", shift=1.0, scale=0.5)
SMOOTH = Head("smooth", "votes", ("yes", "disk"))
SPIRAL = Head("spiral", "votes", ("yes", "no"), asked=(("smooth", "disk"),))
WINDING = Head("winding", "votes", ("tight", "loose", "medium"), asked=(("spiral", "yes"),))


def test_probabilities_are_not_those_of_divided_logits():
    logits = np.array([[0.0, 2.0, -1.0], [900.0, -900.0, 0.0]])
    found = probabilities(logits, Calibration(temperature=2.0))
    expected = np.exp(logits[0] / 2) / np.exp(logits[0] / 2).sum()
    assert found[0] == pytest.approx(expected)
    assert np.isfinite(found).all()
    assert found.sum(axis=1) == pytest.approx(1)


def test_fractions_are_not_those_of_scipys_dirichlet():
    outputs = np.array([[0.3, 1.1, -2.0], [4.0, 4.0, 4.0]])
    mean, spread = moments(WINDING, outputs, Calibration())
    for row in range(2):
        expected = stats.dirichlet(np.exp(outputs[row]))
        assert mean[row] == pytest.approx(expected.mean())
        assert spread[row] == pytest.approx(np.sqrt(expected.var()))
    _, wider = moments(WINDING, outputs, Calibration(spread=0.25))
    assert (wider > spread).all(), "fewer votes' worth is a wider spread"
    assert np.isfinite(moments(WINDING, outputs * 1e4, Calibration())[1]).all()


def test_levels_and_values_leave_their_scale_or_lose_their_unit():
    mean, low, high = interval(ARMS, np.array([[9.0, -9.0, -9.0], [0.0, 0.0, 0.0]]), Calibration(spread=3.0))
    assert mean == pytest.approx([0, 0.5], abs=1e-4)
    assert low.min() == 0.0
    assert high.max() == 1.0
    assert (low <= mean).all()
    assert (mean <= high).all()
    assert high[0] > 0, "a level that is certain has an interval too"
    mean, low, high = interval(SIZE, np.array([[1.0, 0.0]]), Calibration(spread=2.0))
    assert np.log([mean[0], low[0], high[0]]) == pytest.approx([1.5, 0.5, 2.5])
    for each in interval(SIZE, np.array([[1e6, 50.0], [-1e6, 50.0]]), Calibration()):
        assert np.isfinite(each).all()


@pytest.mark.parametrize("how", ["none", "log", "log1p", "asinh"])
def test_a_transform_is_not_undone_by_its_inverse(how):
    values = np.array([0.5, 3.0, 1e6])
    assert untransformed(transformed(values, how), how) == pytest.approx(values)
    assert np.isnan(transformed(np.array([-5.0, np.nan, np.inf]), "log")).all()
    assert np.isfinite(untransformed(np.array([1e6]), how)).all()


def test_a_question_is_asked_by_less_or_more_than_the_answers_that_lead_to_it():
    fractions = {("smooth", "disk"): np.array([0.25, 0.75])}
    assert applies(SPIRAL, fractions, 2) == pytest.approx([0.25, 0.75])
    assert (applies(SMOOTH, {}, 2) == 1).all()
    both = Head("odd", "votes", ("yes", "no"), asked=(("smooth", "disk"), ("smooth", "yes")))
    assert applies(both, {**fractions, ("smooth", "yes"): np.array([0.9, 0.25])}, 2) == pytest.approx([1, 1])


def test_a_trees_fractions_are_null_where_nobody_is_asked_and_there_alone():
    n = 200
    rng = np.random.default_rng(0)
    each = [(head, rng.normal(0, 2, (n, head.width)), Calibration()) for head in (WINDING, SPIRAL, SMOOTH)]
    found = values_of(each, np.zeros(n, np.float32), "tree")
    asked = found["smooth_disk"].data.astype(float)
    assert found["spiral_applies"] == pytest.approx(asked, abs=1e-6)
    assert not np.ma.getmaskarray(found["smooth_yes"]).any()
    along = asked * found["spiral_yes"].data
    assert found["winding_applies"] == pytest.approx(along, abs=1e-6)
    clear = np.abs(along - LEAST_ASKED) > 1e-6
    for name in ("winding_tight", "winding_tight_err", "winding_loose"):
        assert (np.ma.getmaskarray(found[name]) == (along < LEAST_ASKED))[clear].all()
    assert 0 < np.ma.getmaskarray(found["winding_tight"]).sum() < n


def test_columns_and_values_name_different_things():
    heads = (BAR, ARMS, SIZE, SMOOTH, SPIRAL)
    each = [(head, np.zeros((3, head.width)), Calibration()) for head in heads]
    distance = np.array([0.5, 1.0, 1.5], np.float32)
    found = values_of(each, distance, "My File")
    described = columns_of(heads, "My File")
    assert sorted(found) == sorted(column.name for column in described)
    assert all(column.description and column.ucd for column in described)
    assert found["my_file_outside"].tolist() == [False, False, True]
    assert found["bar_predicted"].tolist() == ["no", "no", "no"]
    kinds = {"text": object, "flag": np.bool_, "number": np.float32}
    assert all(found[column.name].dtype == kinds[column.kind] for column in described)
    assert share_columns(BAR) == answer_columns(BAR) == ["bar_no", "bar_yes"]
    assert share_columns(ARMS) == []
    assert answer_columns(SIZE) == ["r_50_predicted"]
    assert column_name("R-50", "Ünit?") == "r_50_nit"


def test_questions_are_answered_before_those_that_lead_to_them():
    assert in_order([WINDING, SPIRAL, SMOOTH]) == [2, 1, 0]
    with pytest.raises(ValueError, match="wait for each other"):
        in_order(
            [Head("a", "votes", ("x",), asked=(("b", "x"),)), Head("b", "votes", ("x",), asked=(("a", "x"),))]
        )
    with pytest.raises(ValueError, match="not there"):
        in_order([SPIRAL])
