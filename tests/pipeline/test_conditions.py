"""Conditions: what is wrong with one is told at once, and what is unknown stays so."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from kernels.attributes import Attribute
from pipeline.conditions import UnfitRows, chosen_rows, jittered, of_rows, parsed, settled

ATTRIBUTES = (
    Attribute("t_type", -6, 11, missing=-9),
    Attribute("arm_strength", 0, 1, missing=-1, limits=("arm_lo", "arm_hi")),
    Attribute("arm_curvature", 0, 1, needs="arm_strength"),
    Attribute("noise_r", 0.01, 10, "noise"),
    Attribute("psf", 0, 4, "psf", "pix"),
)


def row(**values: float) -> np.ndarray:
    return np.array([values.get(a.name, np.nan) for a in ATTRIBUTES], np.float32)


def test_condition_is_read_with_its_confidences():
    values, confidence, faults = parsed("t_type=-3 arm_strength=0.75@0.9  noise_r=1e-1", ATTRIBUTES)
    assert not faults
    np.testing.assert_array_equal(values, row(t_type=-3, arm_strength=0.75, noise_r=0.1))
    np.testing.assert_array_equal(confidence, np.array([1, 0.9, 1, 1, 1], np.float32))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("t_tpye=1", "key t_tpye: the model knows no such attribute. Did you mean t_type?"),
        ("nonsense=1", "There are: t_type, arm_strength"),
        ("t_type=12", "key t_type, value 12: is out of range. Give -6 to 11"),
        ("psf=inf", "value inf: is out of range. Give 0 to 4 pix"),
        ("t_type=late", "key t_type, value 'late': is not a number"),
        ("t_type=nan", "what is not named is unknown"),
        ("t_type=1 t_type=1", "key t_type, value 1: is given twice"),
        ("t_type=99 t_type=1", "key t_type, value 1: is given twice"),
        ("t_type=1@1.5", "key t_type, value '1.5': has a confidence that is none. Give 0 to 1"),
        ("t_type=1@", "has a confidence that is none"),
        ("t_type=1@nan", "has a confidence that is none"),
        ("t_type", "value 't_type': is not NAME=VALUE"),
        (
            "arm_strength=0 arm_curvature=0.5",
            "key arm_curvature, value 0.5: has no meaning where arm_strength",
        ),
    ],
)
def test_bad_conditions_are_drawn(text, told):
    _, _, faults = parsed(text, ATTRIBUTES)
    assert any(told in str(fault) for fault in faults), [str(f) for f in faults]
    assert all(fault.remedy and fault.file == "--condition" for fault in faults)


def test_all_that_is_wrong_is_told_at_once():
    _, _, faults = parsed("t_type=99 bar=1 arm_strength=x psf=1@7", ATTRIBUTES)
    assert [fault.key for fault in faults] == ["t_type", "bar", "arm_strength", "psf"]


def test_curvature_without_knowing_of_arms_is_no_contradiction():
    assert not parsed("arm_curvature=0.5", ATTRIBUTES)[2]


def test_what_nobody_could_tell_is_drawn_as_a_value():
    rows = {"t_type": [-9, None, 3], "arm_strength": [-1.0, float("nan"), 0.5], "arm_lo": [-1, -1, 0.25]}
    values, confidence = of_rows(pa.table({**rows, "arm_hi": [-1, -1, 0.5]}), ATTRIBUTES)
    np.testing.assert_array_equal(values[:, :2], [[np.nan, np.nan], [np.nan, np.nan], [3, 0.5]])
    assert np.isnan(values[:, 2:]).all()
    assert confidence[2].tolist() == [1, 0.75, 1, 1, 1]


def test_values_at_the_ends_of_a_range_survive_single_precision():
    ends = (Attribute("share", 0.1, 0.7),)
    values, _ = of_rows(pa.table({"share": pa.array([0.1, 0.7], pa.float32())}), ends)
    np.testing.assert_array_equal(values[:, 0], np.array([0.1, 0.7], np.float32))
    assert not parsed("share=0.7", ends)[2]


def test_label_out_of_its_range_is_drawn_as_its_end():
    """99 may be another survey's word for unknown; noise beyond what the model has seen is no such thing."""
    with pytest.raises(UnfitRows, match=r"2 rows are out of the range -6 to 11, row 1 \(from 0\)") as unfit:
        of_rows(pa.table({"t_type": [1, 99, -99]}), ATTRIBUTES)
    assert (unfit.value.column, unfit.value.value) == ("t_type", "99")
    values, _ = of_rows(pa.table({"noise_r": [99.0, 0.0]}), ATTRIBUTES)
    np.testing.assert_array_equal(values[:, 3], np.array([10, 0.01], np.float32))


def test_words_are_drawn_as_numbers():
    with pytest.raises(UnfitRows, match="holds string, not numbers"):
        of_rows(pa.table({"t_type": ["late"]}), ATTRIBUTES)


def test_curvature_outlives_the_arms():
    nothing = settled(np.stack([row(arm_strength=0, arm_curvature=0.5), row(arm_curvature=0.5)]), ATTRIBUTES)
    np.testing.assert_array_equal(nothing, np.stack([row(arm_strength=0), row(arm_curvature=0.5)]))


def test_jitter_depends_on_company_or_changes_what_it_must_not():
    values = np.stack([row(t_type=i % 10, arm_strength=0.5, noise_r=0.3, psf=1.5) for i in range(200)])
    values[::3, 0] = np.nan
    seeds, before = np.arange(200, dtype=np.int64) + 5, values.copy()
    near = jittered(values, ATTRIBUTES, seeds, 0.05)
    np.testing.assert_array_equal(values, before)
    np.testing.assert_array_equal(jittered(values[7:9], ATTRIBUTES, seeds[7:9], 0.05), near[7:9])
    np.testing.assert_array_equal(np.isnan(near), np.isnan(values))
    np.testing.assert_array_equal(near[:, 3:], values[:, 3:])  # in the same noise and blur
    shifts = near[:, 1] - 0.5
    assert 0.04 < shifts.std() < 0.06  # of a range of 1
    assert abs(shifts.mean()) < 0.02
    # knowing more of a galaxy shifts nothing else
    known = values.copy()
    known[:, 0] = 3
    np.testing.assert_array_equal(jittered(known, ATTRIBUTES, seeds, 0.05)[:, 1], near[:, 1])


def test_jitter_leaves_the_range_or_is_not_off_at_zero():
    values = np.stack([row(t_type=11, arm_strength=0.0, arm_curvature=np.nan)] * 50)
    near = jittered(values, ATTRIBUTES, np.arange(50), 0.5)
    assert near[:, 0].max() == 11
    assert near[:, 0].min() >= -6
    assert near[:, 1].min() == 0
    np.testing.assert_array_equal(jittered(values, ATTRIBUTES, np.arange(50), 0), values)


def test_no_row_is_taken_twice_while_there_are_others():
    seeds = np.arange(40, dtype=np.int64)
    assert chosen_rows(40, seeds).tolist() == list(range(40))
    fewer = chosen_rows(100, seeds)
    assert len(set(fewer.tolist())) == 40
    assert fewer.tolist() == sorted(fewer.tolist())
    assert fewer.max() > 60  # from the whole table
    more = chosen_rows(7, seeds)
    assert set(more.tolist()) == set(range(7))
    assert chosen_rows(7, seeds[20:]).tolist() == more[20:].tolist()  # by the stamps' own seeds
