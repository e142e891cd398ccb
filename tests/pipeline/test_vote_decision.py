"""Which objects are kept: so many as were asked for, or those above the threshold; and which class they get."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from kernels.confidence import Calibration, branches, level_share
from kernels.members import fit_member
from kernels.vote import align, ensemble, kept, vote
from pipeline.config.classes import Split
from pipeline.config.file import parse
from pipeline.config.fit import Vote
from pipeline.plan.config_faults import vote_faults
from pipeline.stages.object_classes import ObjectClasses, class_level, decide
from pipeline.stages.vote import decision
from tests.pipeline.test_config import changed

OBJECTS = 1000


@pytest.fixture(scope="module")
def voted():
    rng = np.random.default_rng(0)
    pilot = (rng.normal(size=(5, 3)) * 2)[rng.integers(5, size=OBJECTS)] + rng.normal(size=(OBJECTS, 3))
    pilot = pilot.astype(np.float32)
    reference = fit_member("kmeans", pilot, 5, 0)
    members = [fit_member("kmeans", pilot[bag::3], 5, bag, bag) for bag in range(3)]
    return pilot, ensemble(align(members, reference, pilot), reference)


@pytest.mark.parametrize(("rule", "of"), [("branches", "branches"), ("confidence", "groups")])
@pytest.mark.parametrize("keep", [0.2, 0.6, 1.0])
def test_a_wanted_share_is_what_is_kept(voted, rule, of, keep):
    pilot, members = voted
    decided = decision(Vote(rule=rule, keep=keep), members, pilot)
    confidence = Calibration.from_arrays(decided[of])(vote(pilot, members))
    assert kept(confidence, rule, decided["threshold"]).sum() == pytest.approx(keep * OBJECTS, abs=5)


def test_thresholds_are_those_of_the_config(voted):
    pilot, members = voted
    assert decision(Vote(rule="branches", threshold=0.8), members, pilot)["threshold"] == 0.8
    assert decision(Vote(rule="agreement"), members, pilot)["threshold"] == 0.6
    assert decision(Vote(rule="unanimous"), members, pilot)["threshold"] == 1.0


def test_rules_say_in_words_what_they_keep():
    told = [Vote(), Vote(threshold=0.9), Vote(rule="agreement"), Vote(rule="confidence", keep=0.5)]
    assert [settings.in_words for settings in told] == [
        "share 0.66, by class share",
        "class share >= 0.9",
        "agreement >= 0.6",
        "share 0.5, by confidence",
    ]


@pytest.mark.parametrize(
    ("rule", "refused"),
    [("branches", True), ("confidence", True), ("agreement", False), ("classes", False)],
)
def test_one_bag_is_refused_by_the_rules_that_compare_bags(rule, refused):
    config = parse(changed({"fit.bags": 1, "vote.rule": rule}), "survey.toml")
    faults = vote_faults(config, "survey.toml")
    assert bool(faults) == refused
    for fault in faults:
        assert fault.key == "vote.rule"
        assert '"unanimous"' in fault.remedy


def votes_of(ballot, kept=False):
    shares = pa.FixedSizeListArray.from_arrays(pa.array(ballot.shares.astype(np.float16).ravel()), 5)
    return pa.table({"group": ballot.group, "kept": np.full(len(ballot.group), kept), "shares": shares})


@pytest.mark.parametrize("keep", [0.3, 0.66, 1.0])
def test_a_wanted_share_is_kept_by_the_share_of_the_class(voted, keep):
    pilot, members = voted
    decided = decide(Vote(keep=keep), ["SPH", "LTD", "SPH", None, None], [], members, pilot)
    found = decided.columns(pa.table({"x": np.zeros(OBJECTS)}), votes_of(vote(pilot, members)))
    assert found["kept"].to_numpy().sum() == pytest.approx(keep * OBJECTS, abs=5)
    share = found["class_share"].to_pandas()
    known = found["kept"].to_pandas()[share.notna()]
    assert share[share.notna()][known].min() >= np.float32(decided.threshold)
    if keep < 1:
        assert share[share.notna()][~known].max() < np.float32(decided.threshold)


def test_without_names_the_rule_of_classes_keeps_what_the_vote_kept(voted):
    pilot, members = voted
    ballot = vote(pilot, members)
    decided = decide(Vote(), [None] * 5, [], members, pilot)
    found = decided.columns(pa.table({"x": np.zeros(OBJECTS)}), votes_of(ballot))
    options = decision(Vote(), members, pilot)
    share = level_share(ballot.shares, ballot.group, branches(members, pilot, 6))
    np.testing.assert_array_equal(found["kept"].to_numpy(), kept(share, "classes", options["threshold"]))
    assert found["class_share"].null_count == OBJECTS


@pytest.mark.parametrize("was_kept", [True, False])
def test_other_rules_leave_what_is_kept_to_the_vote(voted, was_kept):
    pilot, members = voted
    decided = decide(Vote(rule="agreement"), ["SPH"] * 5, [], members, pilot)
    found = decided.columns(pa.table({"x": np.zeros(OBJECTS)}), votes_of(vote(pilot, members), was_kept))
    assert set(found["kept"].to_pylist()) == {was_kept}
    assert set(found["class"].to_pylist()) == {"SPH" if was_kept else "UNC"}


def test_groups_of_one_class_count_as_one_and_nameless_ones_by_their_branch():
    level = class_level(["SPH", None, "SPH", None, "LTD", None], np.array([0, 0, 1, 1, 1, 0]))
    assert level[0] == level[2]
    assert level[1] == level[5]
    assert len(set(level.tolist())) == 4


def few_votes():
    shares = [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.0, 0.25, 0.75], None]
    group, kept = pa.array([0, 1, 2, None], pa.int16()), pa.array([True, False, True, None])
    return pa.table({"group": group, "kept": kept, "shares": pa.array(shares, pa.list_(pa.float16(), 3))})


def given(names, threshold=None, split=(), **columns):
    objects = pa.table({"n": pa.array([1.0, 2.0, 3.0, 4.0]), **columns})
    return ObjectClasses(names, class_level(names, np.arange(3)), threshold, list(split)).columns(
        objects, few_votes()
    )


def test_votes_for_groups_of_one_class_count_together():
    assert given(["SPH", "LTD", "SPH"])["class_share"].to_pylist() == [0.75, 0.5, 0.75, None]
    assert given(["SPH", None, "SPH"])["class_share"].to_pylist() == [0.75, None, 0.75, None]


def test_class_column_tells_unnamed_from_unclassified_from_unusable():
    assert given(["SPH", "LTD", None])["class"].to_pylist() == ["SPH", "UNC", None, None]
    assert given([None] * 3)["class"].type == pa.string()
    assert given(["SPH", "LTD", "SPH"], 0.6)["class"].to_pylist() == ["SPH", "UNC", "SPH", None]
    assert given(["SPH", "LTD", "SPH"], 0.5)["class"].to_pylist() == ["SPH", "LTD", "SPH", None]


def test_a_split_moves_kept_objects_of_its_class_for_which_it_holds_and_no_others():
    def moved(*rules, **columns):
        split = [Split.model_validate({"class": c, "when": w, "into": i}) for c, w, i in rules]
        return given(["SPH", "SPH", "LTD"], split=split, **columns)["class"].to_pylist()

    assert moved(("SPH", "n < 9", "ETD")) == ["ETD", "UNC", "LTD", None]
    assert moved(("SPH", "n > 2", "ETD"), ("LTD", "n > 2", "EDGE")) == ["SPH", "UNC", "EDGE", None]
    assert moved(("LTD", "n > 2", "A"), ("LTD", "n > 1", "B")) == ["SPH", "UNC", "A", None]
    assert moved(("SPH", "m < 1", "ETD"), m=pa.array([np.nan, 0, 0, 0])) == ["SPH", "UNC", "LTD", None]
    assert moved(("SPH", "m < 1", "ETD"), m=pa.array([None, 0, 0, 0])) == ["SPH", "UNC", "LTD", None]
    # A rule goes by the class of the group, not by what an earlier rule made of it.
    assert moved(("SPH", "n < 2", "LTD"), ("LTD", "n < 2", "C")) == ["LTD", "UNC", "LTD", None]
