"""What an encoder learns from: every object once an epoch, nothing that is held out, labels as the release has them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from catalogs.errors import Refused
from pipeline.config.file import parse
from pipeline.training.dataset import Dataset, fold_of
from pipeline.training.encoder import EncoderTraining
from pipeline.training.group import Group
from pipeline.training.local_group import read_here
from pipeline.training.sampler import Datasets, WindowSampler
from pipeline.training.train import train
from tests.survey.conftest import write_toml


@pytest.fixture
def labelled(tiny):
    """The tiny release with labels of every kind."""
    n = len(tiny.table)
    k = np.arange(n)
    tiny.table["KIND"] = np.array(["spiral", "smooth", ""])[k % 3].astype("S6")
    tiny.table["YES"], tiny.table["NO"] = (k % 5).astype(float), np.where(k % 5, 1.0, 0.0)
    tiny.table["BAR"] = np.array([0.0, 0.5, 1.0, -1.0])[k % 4]
    tiny.table["BAR_lo"], tiny.table["BAR_hi"] = tiny.table["BAR"] - 0.1, tiny.table["BAR"] + 0.1
    tiny.write(2)
    return tiny


LABELS = {
    "classes": ["KIND"],
    "votes": [["YES", "NO"]],
    "ordinals": [{"columns": ["BAR"], "low": "{column}_lo", "high": "{column}_hi", "missing": -1.0}],
}


def dataset(tiny, **train) -> Dataset:
    config = parse(tiny.config(train=train, encode={"input": 32}), "survey.toml")
    return EncoderTraining().dataset(config, str(tiny.folder), "survey.toml", 32)


def read_all(found: Dataset) -> pa.Table:
    return pa.concat_tables([found.read(piece) for piece in found.slices()])


def test_labels_change_their_meaning(labelled):
    found = dataset(labelled, labels=LABELS)
    assert [head.name for head in found.heads] == ["KIND", "YES", "BAR"]
    assert [head.answers for head in found.heads] == [("smooth", "spiral"), ("YES", "NO"), ("0", "0.5", "1")]
    assert found.heads[2].levels == (0.0, 0.5, 1.0)
    targets = np.array(read_all(found)["targets"].to_pylist())
    assert targets.shape == (64, 2 + 2 + 3)
    np.testing.assert_array_equal(targets[:2, :2], [[0, 1], [1, 0]])
    assert np.isnan(targets[2, :2]).all()
    np.testing.assert_allclose(targets[[1, 4], 2:4], [[1, 1], [4, 1]], rtol=1e-6)
    assert np.isnan(targets[0, 2:4]).all()
    assert targets[:3, 4:].argmax(axis=1).tolist() == [0, 1, 2]
    assert np.isnan(targets[3, 4:]).all()


def test_held_out_objects_are_seen(labelled):
    ids = pa.chunked_array([pa.array(labelled.table["NUMBER"])])
    seen = [read_all(dataset(labelled, fold=fold)).num_rows for fold in range(5)]
    assert seen == [64 - int((fold_of(ids, 5) == fold).sum()) for fold in range(5)]
    assert sum(64 - n for n in seen) == 64
    assert max(seen) < 64


def test_column_that_is_no_label_is_found_out_during_training(labelled):
    labelled.table["FREE"] = np.arange(64) + 100
    labelled.table["ONE"] = np.ones(64)
    labelled.table["NUMBER2"] = np.arange(64) * 1.5
    labelled.write(2)
    with pytest.raises(Refused) as refused:
        dataset(labelled, labels={"classes": ["KINDS"]})
    assert "Did you mean 'KIND'" in str(refused.value)
    with pytest.raises(Refused, match="'ONE': has 1 levels"):
        dataset(labelled, labels={"ordinals": [{"columns": ["ONE"]}]})
    with pytest.raises(Refused, match="fold"):
        dataset(labelled, fold=5)
    with pytest.raises(Refused, match="'KIND': must be a number, not string"):
        dataset(labelled, labels={"ordinals": [{"columns": ["KIND"]}]})
    with pytest.raises(Refused, match="is not filled in"):
        dataset(labelled, labels={"ordinals": [{"columns": ["BAR"], "low": "{}_lo", "high": "{col}_hi"}]})
    with pytest.raises(Refused, match="votes"):
        dataset(labelled, labels={"votes": [["YES"]]})


def test_gaps_become_a_class(labelled):
    labelled.table["CODE"] = np.where(np.arange(64) % 4, np.arange(64) % 2, np.nan)
    labelled.write(2)
    (target,) = dataset(labelled, labels={"classes": ["CODE"]}).label_targets
    assert target.heads[0].answers == ("0.0", "1.0")


def alone() -> Group:
    return Group(0, 1, torch.device("cpu"), read_here, print)


def test_slice_without_a_usable_object_stops_the_training(labelled):
    labelled.table["RA"][:20] = np.nan
    labelled.write(2)
    found = Datasets((dataset(labelled, labels=LABELS, fold=0),))
    (window,) = WindowSampler(found, alone(), 10**9, 7).epoch(0)
    stamps, targets, order = window
    assert 0 < len(stamps) < 44
    assert targets.shape == (len(stamps), 7)
    assert len(order) == len(stamps)


def test_fold_of_a_later_config_is_ignored(labelled, tmp_path):
    first = write_toml(labelled.config(encode={"input": 32}), labelled.folder / "first.toml")
    second = write_toml(labelled.config(train={"fold": 1}), labelled.folder / "second.toml")
    with pytest.raises(Refused, match="only the first config's") as refused:
        train("encoder", [first, second], str(tmp_path / "out"))
    assert "train.fold" in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_labels_for_a_denoiser_are_ignored(labelled, tmp_path):
    config = write_toml(labelled.config(train={"labels": {"classes": ["KIND"]}}), labelled.folder / "d.toml")
    with pytest.raises(Refused, match="means nothing to denoiser training") as refused:
        train("denoiser", [config], str(tmp_path / "out"))
    assert "train.labels" in str(refused.value)


def test_more_than_the_machine_has_is_waited_for(labelled, ray_cluster, tmp_path):
    config = write_toml(
        labelled.config(train={"workers": 4, "threads": 64, "batch_size": 8}), labelled.folder / "survey.toml"
    )
    with pytest.raises(Refused, match="4 workers need 254.5 CPUs"):
        train("encoder", [config], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("memory", [10**9, pytest.param(80_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("world", [1, 2])
def test_every_object_is_learned_from_once_an_epoch_by_one_process(labelled, memory, world):
    both = Datasets((dataset(labelled, labels=LABELS), dataset(labelled, labels={"classes": ["KIND"]})))
    assert len(both.slices()) == 8
    groups = [replace(alone(), rank=rank, world=world) for rank in range(world)]
    orders = []
    for epoch in (0, 1):
        windows = [list(WindowSampler(both, group, memory, 7).epoch(epoch)) for group in groups]
        assert len({len(found) for found in windows}) == 1
        stamps = torch.cat([s[order] for found in windows for s, _, order in found])
        targets = torch.cat([t[order] for found in windows for _, t, order in found])
        assert targets.shape == (128, 7 + 2)
        # rows of the second release know nothing of the first one's heads
        assert int(targets[:, 4:7].isfinite().all(dim=1).sum()) == 48
        assert int(targets[:, 7:].isfinite().all(dim=1).sum()) == int(
            targets[:, :2].isfinite().all(dim=1).sum()
        )
        assert len(torch.unique(stamps.flatten(1), dim=0)) == 64
        orders.append(stamps)
    assert not torch.equal(orders[0], orders[1])
    again = [s[i] for group in groups for s, _, i in WindowSampler(both, group, memory, 7).epoch(1)]
    assert torch.equal(torch.cat(again), orders[1])


def test_encoder_learns_from_other_stamps_than_it_will_see(tiny):
    """Neighbours are filled, or kept, as `[encode] neighbours` says; blobs lie 40 pixels apart."""
    stamps, names = {}, {}
    for neighbours in ("fill", "keep"):
        sections = {"encode": {"input": 32, "neighbours": neighbours}, "images": {"size": 96}}
        config = parse(tiny.config(**sections), "survey.toml")
        found = EncoderTraining().dataset(config, str(tiny.folder), "survey.toml", 32)
        stamps[neighbours] = np.stack(read_all(found)["stamp"].to_pylist()).astype(np.float32)
        names[neighbours] = found.metadata["neighbours"]
    assert names == {"fill": "fill", "keep": "keep"}
    bright = {name: (values > 0.5).sum() for name, values in stamps.items()}
    assert bright["fill"] < 0.6 * bright["keep"]
