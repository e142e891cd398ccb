"""Balanced bags are planned, refused and shared out as the config says; without them a run is what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from catalogs.errors import Fault, Refused
from kernels import bags
from kernels.attributes import Attribute
from kernels.diffusion_model import untrained
from pipeline.config.augment import Augment
from pipeline.config.file import parse
from pipeline.plan.make_plan import make_plan
from pipeline.plan.plan import Plan
from pipeline.stages.balance import PIECE, pieces, shortfall, summary

MAG, LOST = Attribute("MAG", 20, 21), Attribute("bar_length", 0, 1)
NET = {"width": 32, "depth": 1, "patch": 4, "skin": 4}


@pytest.fixture
def model(tiny) -> Path:
    """A small model of the tiny release's stamps, beside its config."""
    path = tiny.folder / "tiny.safetensors"
    untrained(("r",), 32, (MAG, LOST, Attribute("noise_r", 0.1, 10, kind="noise")), **NET).save(path)
    return path


@pytest.fixture
def plan(tiny, model):
    """`plan(guidance=3.0)` plans the tiny release with balanced bags and some keys of `[augment]` changed."""

    def plan(**augment: Any) -> Plan:
        keys = {"balance": True, "model": model.name, **augment}
        config = parse(tiny.config(augment=keys), "survey.toml")
        return make_plan(config, str(tiny.folder), "survey.toml", str(tiny.folder.parent / "run"))

    return plan


def fault_of(plan, **augment: Any) -> Fault:
    with pytest.raises(Refused) as refused:
        plan(**augment)
    (fault,) = refused.value.faults
    assert fault.remedy
    return fault


def counts(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_rare_groups_are_filled_to_their_share_and_others_get_nothing():
    wanted = shortfall(counts(900, 90, 10), counts(600, 50, 5), Augment(), bag_rows=100_000)
    assert wanted.tolist() == [0, 0, 15]  # 2 % of 1000 usable ones is 20, of which 5 are there


def test_a_group_that_keeps_nothing_has_nothing_to_draw_like():
    assert shortfall(counts(990, 10), counts(600, 0), Augment(), 100_000).tolist() == [0, 0]
    values = {"synthetic": 0, "groups": [{"group": 1, "kept": 0, "synthetic": 0}]}
    assert "no group is under-populated" in summary(values)
    assert "Nothing is kept in 1" in summary(values)


def test_a_large_release_needs_fewer_since_its_bags_hold_a_smaller_share_of_it():
    objects, kept = counts(9_990_000, 10_000), counts(5_000_000, 10_000)
    settings = Augment(most=1_000_000)
    small, whole = shortfall(objects, kept, settings, 100_000), shortfall(objects, kept, settings, 10**9)
    assert whole[1] == 190_000
    # in a bag of 100,000, the group's own 100 and the synthetic ones that enter make up 2 %
    assert small[1] * bags.FRACTION + 100 == pytest.approx(2000, abs=1)


def test_everything_in_one_bag_takes_every_synthetic_object_too():
    wanted = shortfall(counts(990, 10), counts(990, 10), Augment(), 100, resampled=False)
    assert wanted.tolist() == [0, 10]


def test_too_many_are_shared_out_within_the_limit():
    settings = Augment(most=30, rare=0.5, fill=0.4)
    wanted = shortfall(counts(800, 100, 0, 100), counts(800, 100, 0, 50), settings, 100_000)
    assert wanted.sum() <= 30
    assert wanted.tolist() == [0, 13, 0, 16]  # of 300 and 350


def test_pieces_cover_every_synthetic_object_once():
    cut = pieces(2 * PIECE + 1)
    assert [piece.rows for piece in cut] == [PIECE, PIECE, 1]
    assert len({piece.name for piece in cut}) == 3
    assert pieces(0) == []


def test_without_balance_a_run_is_what_it_was(tiny, plan):
    def prints(**augment: Any) -> dict[str, str]:
        config = parse(tiny.config(augment=augment), "survey.toml")
        return make_plan(config, str(tiny.folder), "survey.toml", "run").fingerprints

    plain = prints()
    assert list(plain) == ["encode", "reduce", "fit", "vote", "classify", "publish"]
    assert prints(guidance=3.0, model="absent.safetensors") == plain
    balanced = plan().fingerprints
    assert [stage for stage in balanced if balanced[stage] == plain.get(stage)] == ["encode", "reduce"]


def test_what_is_drawn_is_fingerprinted_and_who_draws_it_is_not(plan, model):
    first = plan().fingerprints
    assert plan(workers=5, threads=2).fingerprints == first
    stages = ("augment", "fit", "vote")
    for keys in ({"guidance": 3.0}, {"seed": 1}, {"rare": 0.1}):
        changed = plan(**keys).fingerprints
        assert [s for s in first if first[s] != changed[s]][:3] == list(stages)
    untrained(("r",), 32, (MAG,), seed=1, **NET).save(model)
    assert plan().fingerprints["augment"] != first["augment"]
    assert plan().fingerprints["first_vote"] == first["first_vote"]


def test_a_plan_says_what_neighbours_share_and_what_nobody_knows(plan):
    note = next(note for note in plan().notes if "neighbours" in note)
    assert "in MAG." in note
    assert "No column gives bar_length" in note


def test_balance_without_a_model_is_refused(tiny):
    with pytest.raises(Refused, match=r"augment.*needs model"):
        parse(tiny.config(augment={"balance": True}), "survey.toml")


@pytest.mark.parametrize(
    ("key", "value"), [("guidance", -1.0), ("rescale", 1.5), ("steps", 0), ("rare", 0.0), ("most", 0)]
)
def test_numbers_out_of_range_are_refused(tiny, key, value):
    with pytest.raises(Refused, match=f"augment.{key}"):
        parse(tiny.config(augment={key: value}), "survey.toml")


def test_a_model_that_is_not_there_is_named(plan, tiny):
    fault = fault_of(plan, model="absent.safetensors")
    assert (fault.key, fault.value) == ("augment.model", "'absent.safetensors'")
    assert f"{tiny.folder}/absent.safetensors: no such file" in fault.problem


def test_a_bundled_model_that_there_is_none_of(plan):
    assert "no weights of diffusion-nebula come with the package" in fault_of(plan, model="nebula").problem


def test_weights_of_another_network_are_no_diffusion_model(plan):
    from kernels.nets.weights import bundled

    fault = fault_of(plan, model=str(bundled("denoiser")))
    assert "no weights of a diffusion model" in fault.problem


def test_a_model_of_other_stamps_is_refused_with_both(plan, model):
    untrained(("g", "r"), 16, (MAG,), **NET).save(model)
    problem = fault_of(plan).problem
    assert "16 px in bands g, r" in problem
    assert "32 px in bands r" in problem


def test_a_model_that_knows_none_of_the_columns_is_refused(plan, model):
    untrained(("r",), 32, (LOST,), **NET).save(model)
    fault = fault_of(plan)
    assert "none of its attributes is a column" in fault.problem
    assert "bar_length" in fault.problem


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_refused(plan):
    assert fault_of(plan, gpus=1.0).key == "augment.gpus"
