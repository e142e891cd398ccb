"""Stamps with extents in everything that reads stamps: plans, trials, trainings, reports; and where they cannot be right, they are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from actors.segmenter import Segmenter
from actors.stamps import stamps_of
from catalogs.errors import Refused
from catalogs.identity import Watched
from kernels.attributes import Attribute
from kernels.diffusion_model import untrained
from kernels.resample import resample
from kernels.training.prepare import prepare
from pipeline.config.file import parse
from pipeline.plan import config_faults, run_time
from pipeline.plan.make_plan import make_plan
from pipeline.plan.plan import Plan
from pipeline.report.stamps import _shown
from pipeline.synthesis.exemplars import exemplars
from pipeline.training.diffusion_dataset import diffusion_dataset
from pipeline.training.encoder import EncoderTraining
from tests.actors.test_encoder import table
from tests.conftest import TinyRelease
from tests.survey.conftest import write_toml

EXTENT = {"extent": "RADIUS * 8"}


@pytest.fixture
def sized(tiny) -> TinyRelease:
    tiny.table["RADIUS"] = np.tile([2.0, 5.0, 6.5, 9.0], 16)
    tiny.write(2)
    return tiny


def planned(tiny: TinyRelease, **sections: Any) -> Plan:
    sections = {**sections, "images": {**EXTENT, **sections.get("images", {})}}
    config = parse(tiny.config(**sections), "survey.toml")
    return make_plan(config, str(tiny.folder), "survey.toml", str(tiny.folder.parent / "run"))


def test_memory_of_a_slice_is_that_of_its_own_stamps(sized):
    plan = planned(sized)
    stamps = max(plan.release.read(piece)["stamp"].nbytes for piece in plan.slices())
    assert stamps <= plan.slice_bytes < 1.05 * stamps + 300 * 16
    assert plan.slice_bytes < 16 * config_faults.stamp_bytes(plan.config)


def test_slices_too_large_for_their_extents_are_refused_with_what_would_do(sized, monkeypatch):
    monkeypatch.setattr(config_faults, "LARGEST_SLICE", 500_000)
    with pytest.raises(Refused) as refused:
        planned(sized, run={"slice_rows": 32})
    (fault,) = refused.value.faults
    assert fault.key == "run.slice_rows"
    rows = int(fault.remedy.rsplit(" ", 1)[-1])
    assert planned(sized, run={"slice_rows": rows}).slice_bytes <= 500_000


def test_extent_is_part_of_what_encoding_rests_on(sized):
    prints = [
        planned(sized, images=keys).fingerprints["encode"]
        for keys in ({}, {"extent": "9 * RADIUS"}, {"extent_window": 1.5})
    ]
    assert len(set(prints)) == 3


def test_plan_names_the_columns_and_counts_the_stamps(sized):
    plan = planned(sized)
    assert {"stamp_side", "stamp_extent"} <= set(plan.schema.names)
    assert any("16 of 48 px, 16 of 64 px, 16 of 96 px, of 64" in note for note in plan.notes)


def test_trial_measures_every_side(sized):
    plan = planned(sized, measure={"quantities": ["gini"]})
    rates = run_time._rates(plan, list(plan.slices()), 1.0)
    assert rates.measure > 0
    assert rates.encode > 0


def test_encoder_learns_from_what_would_be_encoded(sized):
    config = parse(sized.config(images=EXTENT, encode={"input": 32}), "survey.toml")
    found = EncoderTraining().dataset(config, str(sized.folder), "survey.toml", 32)
    piece = found.slices()[0]
    learned = np.stack(found.read(piece)["stamp"].to_pylist())
    rows = found.release.read(piece)
    row = 3  # 96 pixels, with the neighbours 40 pixels away
    pixels = np.asarray(rows["stamp"][row].as_py(), np.float32).reshape(1, 1, 96, 96)
    alone = table(pixels, ids=rows["object_id"].to_numpy()[row : row + 1])
    segmenter = Segmenter(bands=1, size=96)
    filled = stamps_of(segmenter.filled(alone, segmenter(alone))["stamp"], 1, 96)
    assert not np.array_equal(filled, pixels)
    expected = prepare(torch.from_numpy(resample(filled, np.array([72.0]), 32)), 32, "asinh")
    assert np.array_equal(learned[row], expected.numpy().ravel())


def test_report_shows_what_is_encoded(sized):
    release = planned(sized).release
    rows = release.shards[0].table.read(0, 8, release.columns.names)
    watched = Watched(release.images, "time", release.folder)
    shown = _shown(release, rows, watched)
    assert shown.shape == (8, 1, 32, 32)
    columns, _ = release.stamps(rows, watched)
    side = columns["stamp_side"][3].as_py()
    pixels = np.asarray(columns["stamp"][3].as_py(), np.float32).reshape(1, 1, side, side)
    assert np.array_equal(shown[3], resample(pixels, np.array([72.0]), 32)[0])
    assert np.array_equal(shown[0].ravel(), columns["stamp"][0].as_py())


def test_diffusion_is_not_learned_of_many_scales(sized):
    config = parse(sized.config(images=EXTENT), "survey.toml")
    with pytest.raises(Refused, match="learns stamps of one pixel scale") as refused:
        diffusion_dataset(config, str(sized.folder), "survey.toml")
    assert len(refused.value.faults) == 1


def test_bags_are_not_balanced_with_stamps_of_one_scale(sized):
    model = sized.folder / "model.safetensors"
    untrained(("r",), 32, (Attribute("MAG", 20, 21),), width=32, depth=1, patch=4, skin=4).save(model)
    with pytest.raises(Refused, match="draws stamps of one pixel scale") as refused:
        planned(sized, augment={"balance": True, "model": model.name})
    assert len(refused.value.faults) == 1


def test_galaxies_drawn_like_a_release_have_the_noise_of_its_own_pixels(sized):
    model = untrained(
        ("r",), 32, (Attribute("noise_r", 0.1, 10, kind="noise"),), width=32, depth=1, patch=4, skin=4
    )
    with_extents = write_toml(sized.config(images=EXTENT), sized.folder / "extents.toml")
    without = write_toml(sized.config(), sized.folder / "plain.toml")
    found, expected = exemplars(str(with_extents), model), exemplars(str(without), model)
    assert np.array_equal(found.values, expected.values)
    assert found.names == expected.names


def test_stamps_without_extents_are_read_as_before(tiny):
    plan = make_plan(
        parse(tiny.config(), "survey.toml"), str(tiny.folder), "survey.toml", str(tiny.folder.parent / "run")
    )
    found = plan.release.read(next(plan.slices()))
    assert stamps_of(found["stamp"], 1, 32).shape == (16, 1, 32, 32)
    assert "stamp_side" not in plan.schema.names
