"""What an order means stamp by stamp, and orders that would be nonsense: nothing is drawn here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from catalogs.inspect import inspect
from catalogs.slices import slices_of
from kernels.nets.weights import bundled
from kernels.stretch import noise_level
from pipeline.config.file import load
from pipeline.synthesis.requests import Order
from tests.conftest import TinyRelease
from tests.pipeline.requested import ATTRIBUTES, asked, refused, write_model, write_table
from tests.survey.conftest import write_toml


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture(scope="module")
def order(model, tmp_path_factory):
    table = write_table(tmp_path_factory.mktemp("rows") / "rows.csv")
    return Order(str(model), "out", 20, like=str(table), seed=100, steps=2)


def test_two_galaxies_of_one_seed_have_one_id(model):
    orders = [
        Order(str(model), "out", 1, wanted) for wanted in ("t_type=-3", "t_type=6", "t_type=6@0.1", None)
    ]
    orders += [replace(orders[0], **other) for other in ({"seed": 1}, {"steps": 7}, {"guidance": 2.0})]
    ids = [asked(order)["id"][0].as_py() for order in orders]
    assert len(set(ids)) == len(orders)
    assert ids[0] == asked(orders[0])["id"][0].as_py()


def test_condition_is_overridden_by_the_rows_or_jittered(order):
    found = asked(replace(order, condition="t_type=5@0.5 arm_strength=0", jitter=0.3))
    assert set(found["t_type"].to_pylist()) == {5}
    assert set(found["t_type_confidence"].to_pylist()) == {0.5}
    assert set(found["arm_strength"].to_pylist()) == {0}
    assert found["arm_curvature"].null_count == 20  # the rows had some


def test_nothing_said_is_everything_unknown(model):
    found = asked(Order(str(model), "out", 3))
    assert all(found[a.name].null_count == 3 for a in ATTRIBUTES)
    assert found["like"].to_pylist() == ["", "", ""]


def test_release_keeps_its_noise_for_itself(model, tmp_path):
    tiny = TinyRelease(tmp_path / "release")
    tiny.table["t_type"] = np.where(np.arange(64) == 3, -9, np.arange(64) % 12)
    tiny.write(2)
    config = write_toml(tiny.config(), tiny.folder / "survey.toml")
    found = asked(Order(str(model), "out", 64, like=str(config), jitter=0))
    release = inspect(load(config)[0].survey, str(tiny.folder))
    pieces = [release.read(piece) for piece in slices_of(release.shards, 16)]
    stamps = np.concatenate([np.array(piece["stamp"].to_pylist(), np.float32) for piece in pieces])
    levels = noise_level(torch.from_numpy(stamps.reshape(64, 1, 32, 32))).numpy()[:, 0]
    np.testing.assert_array_equal(found["noise_r"].to_numpy(), levels)
    assert found["like"].to_pylist() == [str(i + 1) for i in range(64)]
    assert found["t_type"].to_pylist()[3:5] == [None, 4]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"condition": "t_tpye=1"}, ["key t_tpye: the model knows no such attribute. Did you mean t_type"]),
        ({"condition": "t_type=99"}, ["Give -6 to 11"]),
        ({"count": 0}, ["--count, value 0: is out of range. Give 1 to"]),
        ({"count": None}, ["--count: is missing"]),
        (
            {"count": -1, "steps": 0, "condition": "t_type=x"},
            ["--condition, key t_type", "--count", "--steps"],
        ),
        ({"guidance": float("nan")}, ["--guidance, value nan: is out of range"]),
        ({"model": "absent.safetensors"}, ["absent.safetensors: no such file. Give a .safetensors file"]),
        ({"model": "andromeda"}, ["andromeda: no weights of diffusion-andromeda come with the package"]),
        ({"jitter": 0.1}, ["--jitter, value 0.1: there is nothing to scatter around"]),
        ({"shard_rows": 1 << 20}, ["--shard-rows, value 1048576: a shard would hold 4096 MiB"]),
        ({"like": "absent.csv"}, ["--like, value", "absent.csv: cannot be read (it does not exist)"]),
        ({"again": "x.fits"}, ["--count, value 20: does not go with --again", "--again, value"]),
    ],
)
def test_bad_orders_are_refused_and_leave_nothing(model, tmp_path, changes, told):
    order = Order(str(model), str(tmp_path / "out"), 20)
    faults = refused(replace(order, **changes))
    for words in told:
        assert any(words in fault for fault in faults), faults


def test_order_for_a_gpu_waits_for_ever(model, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (fault,) = refused(Order(str(model), str(tmp_path / "out"), 1, gpus=1))
    assert "--gpus, value 1: this machine shows no GPU" in fault


def test_weights_of_another_network_are_refused(tmp_path):
    (fault,) = refused(Order(str(bundled("denoiser")), str(tmp_path / "out"), 1))
    assert "no weights of a diffusion model" in fault


def test_tables_that_say_nothing_are_refused(model, order, tmp_path):
    bare = Order(str(model), str(tmp_path / "out"), 3)
    (tmp_path / "other.csv").write_text("id,mass\n1,2\n", encoding="utf-8")
    (fault,) = refused(replace(bare, like=str(tmp_path / "other.csv")))
    assert (
        "other.csv: has none of the model's attributes. Rename its columns: the model knows t_type" in fault
    )
    (tmp_path / "far.csv").write_text("id,t_type\n1,99\n", encoding="utf-8")
    (fault,) = refused(replace(bare, like=str(tmp_path / "far.csv")))
    assert "column 't_type', value 99: 1 rows are out of the range -6 to 11" in fault
    (fault,) = refused(replace(bare, count=None, again=order.like))
    assert "has no column seed, model, steps, guidance, rescale" in fault


def test_release_of_other_stamps_is_refused(model, tmp_path):
    tiny = TinyRelease(tmp_path / "release", bands=("g", "i"))
    config = write_toml(tiny.config(images={"size": 24}), tiny.folder / "survey.toml")
    faults = refused(Order(str(model), str(tmp_path / "out"), 3, like=str(config)))
    assert len(faults) == 2
    assert "key survey.images.bands, value g, i: the model draws bands r" in faults[0]
    assert "key survey.images.size, value 24: the model draws stamps of 32 pixels a side" in faults[1]
