"""Which objects a vote keeps: so many as were asked for, or those above the threshold; and what one bag can't decide."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from kernels.confidence import Calibration
from kernels.members import fit_member
from kernels.vote import align, ensemble, kept, vote
from pipeline.config.file import parse
from pipeline.config.fit import Vote
from pipeline.plan.class_rules import class_share
from pipeline.plan.config_faults import vote_faults
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
        "share 0.66, by branch confidence",
        "branch confidence >= 0.9",
        "agreement >= 0.6",
        "share 0.5, by confidence",
    ]


@pytest.mark.parametrize(
    ("rule", "refused"), [("branches", True), ("confidence", True), ("agreement", False)]
)
def test_one_bag_is_refused_by_the_rules_that_compare_bags(rule, refused):
    config = parse(changed({"fit.bags": 1, "vote.rule": rule}), "survey.toml")
    faults = vote_faults(config, "survey.toml")
    assert bool(faults) == refused
    for fault in faults:
        assert fault.key == "vote.rule"
        assert '"unanimous"' in fault.remedy


def test_votes_for_groups_of_one_class_count_together():
    shares = pa.array(
        [[0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.0, 0.25, 0.75], None], pa.list_(pa.float16(), 3)
    )
    votes = pa.table({"group": pa.array([0, 1, 2, None], pa.int16()), "shares": shares})
    assert class_share(votes, ["SPH", "LTD", "SPH"]).to_pylist() == [0.75, 0.5, 0.75, None]
    assert class_share(votes, ["SPH", None, "SPH"]).to_pylist() == [0.75, None, 0.75, None]
