"""What a predictor's network learns from: labelled objects alone, each in one part, and enough of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from catalogs.errors import Refused
from pipeline.config.file import parse
from pipeline.training.job import TrainingJob
from pipeline.training.predictor import PredictorTraining
from pipeline.training.sampler import Datasets
from pipeline.training.train import train
from pipeline.training.worker import batches_of
from tests.survey.conftest import write_toml

TRAINABLE = PredictorTraining()


@pytest.fixture
def labelled(tiny):
    k = np.arange(len(tiny.table))
    tiny.table["KIND"] = np.array(["spiral", "smooth", ""])[k % 3].astype("S6")
    tiny.write(2)
    return tiny


def dataset(tiny, encode=None, size=32, **train):
    values = tiny.config(
        images={"size": size},
        train={"labels": {"classes": ["KIND"]}, **train},
        encode={"model": "galaxy-atto", "neighbours": "keep", **(encode or {})},
    )
    config = TRAINABLE.settled(parse(values, "survey.toml"), str(tiny.folder), "survey.toml")
    return TRAINABLE.dataset(config, str(tiny.folder), "survey.toml", config.encode.input)


def ids_of(found) -> list[int]:
    rows = [found.usable(piece)[0] for piece in found.slices()]
    return [value for each in rows for value in each["object_id"].to_pylist()]


def test_object_is_in_two_parts_or_without_a_label(labelled):
    found = dataset(labelled, fold=0)
    parts = {name: ids_of(found.of(name)) for name in ("learned", "validation", "held out")}
    every = [number for ids in parts.values() for number in ids]
    assert sorted(every) == [n for n in range(1, 65) if (n - 1) % 3 != 2]
    assert min(map(len, parts.values())) > 3
    assert found.labelled == len(parts["learned"]) + len(parts["validation"])


def test_few_labels_leave_too_few_to_calibrate_on(labelled):
    assert dataset(labelled).validation == 0.3
    assert dataset(labelled, predictor={"validation": 0.4}).validation == 0.4


def test_ten_labels_are_refused(labelled):
    kinds = np.array(labelled.table["KIND"])
    kinds[10:] = b""
    labelled.table["KIND"] = kinds
    labelled.write(2)
    assert dataset(labelled).labelled == 7
    kinds[2:] = b""
    labelled.table["KIND"] = kinds
    labelled.write(2)
    with pytest.raises(Refused, match="has too few labels"):
        dataset(labelled)


def test_stamps_are_enlarged_before_they_are_learned_from(labelled):
    found = dataset(labelled, encode={"input": 32})
    assert found.shape == (1, 32, 32)
    assert dataset(labelled, encode={"input": 48}).shape == (1, 48, 48)
    assert dataset(labelled, encode={"input": 32}, size=64).shape == (1, 44, 44)
    stamps, targets = found.learned(*found.usable(found.slices()[0]))
    assert stamps.shape[1:] == found.shape
    assert stamps.dtype == torch.float16
    assert targets.isfinite().all()


def test_settings_of_the_config_are_forgotten(labelled, tmp_path):
    told = {"noise": 0.3, "colours": 0.2, "mixup": 0.1, "dropout": 0.4, "network_rate": 0.5}
    values = labelled.config(
        train={"labels": {"classes": ["KIND"]}, "predictor": told}, encode={"model": "galaxy-atto"}
    )
    config = TRAINABLE.settled(parse(values, "survey.toml"), str(labelled.folder), "survey.toml")
    found = Datasets((TRAINABLE.dataset(config, str(labelled.folder), "survey.toml", 32),))
    recipe = TRAINABLE.recipe(config, "float32")
    job = TrainingJob("predictor", found, config.train, recipe, str(tmp_path), "cpu")
    core = TRAINABLE.objective(job, 0)
    views, settings = core.settings.views, core.settings
    assert (views.noise, views.colours, settings.mixup, settings.network_rate) == (0.3, 0.2, 0.1, 0.5)
    assert core.net.drop.p == 0.4


def test_balance_is_forgotten(labelled):
    (head,) = dataset(labelled, predictor={"balance": True}).heads
    assert len(head.balance) == 2


@pytest.mark.parametrize(
    ("encode", "said"),
    [
        ({"model": "timm:test_convnext", "unwrap": "moments"}, "training does not unwrap"),
        ({"model": "galaxy-atto", "checkpoint": "none.safetensors"}, "no such file"),
    ],
)
def test_network_that_cannot_learn_is_found_out_late(labelled, encode, said):
    with pytest.raises(Refused, match=said):
        dataset(labelled, encode=encode)


def test_configs_that_do_not_fit_are_mixed(labelled, tmp_path):
    one, other = dataset(labelled), dataset(labelled, encode={"stretch": "linear"})
    problems = [fault.problem for fault in TRAINABLE.faults(Datasets((one, other)), "survey.toml")]
    assert any("a question of two releases" in problem for problem in problems)
    assert any("'asinh', and 'linear' in another config" in problem for problem in problems)


def test_training_without_labels_begins(labelled, tmp_path):
    config = write_toml(labelled.config(encode={"model": "galaxy-atto"}), labelled.folder / "none.toml")
    with pytest.raises(Refused, match="names no labels"):
        train("predictor", [config], str(tmp_path / "out"))
    denoised = labelled.config(denoise={}, train={"labels": {"classes": ["KIND"]}})
    config = write_toml(denoised, labelled.folder / "denoised.toml")
    with pytest.raises(Refused, match=r"Leave \[denoise\] out"):
        train("predictor", [config], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_few_objects_give_no_step():
    order = torch.randperm(10)
    batches = batches_of(order, 64, 20)
    assert [len(batch) for batch in batches] == [8] * 20
    assert torch.cat(batches).bincount().tolist() == [16] * 10
    assert [len(batch) for batch in batches_of(torch.arange(3), 64, 4)] == [3] * 4
    assert [len(batch) for batch in batches_of(torch.arange(100), 32, 0)] == [32] * 3
    assert batches_of(torch.arange(7), 8, 0) == []
    assert batches_of(torch.arange(0), 8, 5) == []
