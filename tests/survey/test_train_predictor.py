"""A predictor with a network of its own, from its training to its answers in a run."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from actors.encoder import Encoder
from catalogs.errors import Refused
from kernels.heads.predictor import Predictor
from kernels.nets import create
from kernels.nets.weights import load
from pipeline.config.file import parse
from pipeline.plan.encoding import encoder_of
from pipeline.training import history, predictor_folder
from pipeline.training.train import train
from tests.conftest import TinyRelease
from tests.survey.conftest import COMMAND, Runner, objects_of, tuningfork, write_toml

EPOCHS = 3
TAUGHT = {
    "epochs": EPOCHS,
    "batch_size": 16,
    "threads": 1,
    "fold": 0,
    "labels": {"classes": ["KIND"], "values": [{"columns": ["WIDTH"]}]},
}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    tiny = TinyRelease(tmp_path_factory.mktemp("labelled") / "release")
    k = np.arange(64)
    tiny.table["KIND"] = np.array([b"round", b"flat", b"thin"])[k % 3]
    tiny.table["WIDTH"] = 2.0 + 3.0 * (k % 5) / 4
    tiny.write(2)
    values = tiny.config(train=TAUGHT, encode={"model": "galaxy-atto"})
    return tiny, values, write_toml(values, tiny.folder / "survey.toml")


@pytest.fixture(scope="module")
def trained(labelled, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "out"
    train("predictor", [labelled[2]], str(out))
    return out


def test_something_of_a_predictor_is_missing(trained):
    names = {path.name for path in trained.iterdir()}
    assert names == {*predictor_folder.FILES, history.CSV, history.CURVE, "train.json", "checkpoint.pt"}
    rows = history.from_csv((trained / history.CSV).read_bytes())
    assert len(rows) == EPOCHS
    assert all(np.isfinite(row["validation"]) for row in rows)
    predictor = Predictor.from_bytes((trained / predictor_folder.FILE).read_bytes(), "it")
    assert predictor.has_network
    assert predictor.encoder["checkpoint"] == "predictor"
    scores = list(csv.DictReader((trained / "scores.csv").read_text().splitlines()))
    assert [row["question"] for row in scores] == ["KIND", "WIDTH"]
    assert "a network of its own" in (trained / "predictor.md").read_text()


def test_its_network_is_no_encoder(labelled, trained):
    tiny, values, _ = labelled
    path = str(trained / predictor_folder.FILE)
    net = create("galaxy-atto")
    load(net, path)
    again = {**values, "encode": {**values["encode"], "checkpoint": path}}
    options = encoder_of(parse(again, "survey.toml"), str(tiny.folder), "survey.toml")
    predictor = Predictor.from_bytes((trained / predictor_folder.FILE).read_bytes(), "it")
    assert Encoder.weights_fingerprint(**options) == predictor.encoder["weights"]


def test_answers_are_not_those_of_its_network(labelled, trained, tmp_path):
    """A run with another encoder of its own: the predictor's network sees the stamps."""
    tiny, _, _ = labelled
    shutil.copy(trained / predictor_folder.FILE, tmp_path / "blobs.safetensors")
    values = tiny.config(predict={"with": [str(tmp_path / "blobs.safetensors")]})
    plan = Runner()(values, tiny.folder, tmp_path / "run")
    objects = objects_of(tmp_path / "run").to_pylist()
    predictor = Predictor.from_bytes((tmp_path / "blobs.safetensors").read_bytes(), "blobs")
    names = [column.name for column in predictor.columns("blobs")]
    assert len(objects) == 64
    assert all(row[name] is not None for row in objects for name in names)
    assert all(abs(sum(row[f"kind_{a}"] for a in ("round", "flat", "thin")) - 1) < 1e-5 for row in objects)
    assert len({row["width_predicted"] for row in objects}) > 10
    again = Runner().plan(values, tiny.folder, tmp_path / "run")
    assert [each.fingerprint for each in again.predictions] == [each.fingerprint for each in plan.predictions]


def test_stamps_of_other_bands_are_answered(trained, tmp_path):
    tiny = TinyRelease(tmp_path / "release", bands=("g", "r"))
    values = tiny.config(predict={"with": [str(trained / predictor_folder.FILE)]})
    with pytest.raises(Refused, match=r"was taught on bands \['r'\], and the release has \['g', 'r'\]"):
        Runner().plan(values, tiny.folder, tmp_path / "run")


def test_finished_training_is_done_again_or_another_mixed_in(labelled, trained):
    tiny, values, config = labelled
    before = (trained / predictor_folder.FILE).stat().st_mtime_ns
    train("predictor", [config], str(trained))
    assert (trained / predictor_folder.FILE).stat().st_mtime_ns == before
    other = {**values, "train": {**TAUGHT, "predictor": {"mixup": 0.2}}}
    path = write_toml(other, tiny.folder / "other.toml")
    with pytest.raises(Refused, match="holds another training"):
        train("predictor", [path], str(trained))


@pytest.mark.slow
def test_killed_training_ends_in_another_predictor(labelled, trained, tmp_path):
    process = subprocess.Popen(
        [COMMAND, "train", "predictor", labelled[2], "--out", tmp_path / "out"],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    limit = time.monotonic() + 200
    while not list(tmp_path.glob("out/checkpoint.pt")):
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / predictor_folder.FILE).exists()
    done = tuningfork("train", "predictor", labelled[2], "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tuningfork predict RUN" in done.stdout
    whole, killed = (out / predictor_folder.FILE for out in (trained, tmp_path / "out"))
    assert whole.read_bytes() == killed.read_bytes()


@pytest.mark.slow
def test_two_processes_learn_in_step(labelled, ray_cluster, tmp_path):
    tiny, values, _ = labelled
    two = {**values, "train": {**TAUGHT, "workers": 2, "epochs": 2}}
    config = write_toml(two, tiny.folder / "two.toml")
    train("predictor", [config], str(tmp_path / "out"))
    rows = history.from_csv((tmp_path / "out" / history.CSV).read_bytes())
    assert len(rows) == 2
    assert Predictor.from_bytes((tmp_path / "out" / predictor_folder.FILE).read_bytes(), "it").has_network


@pytest.mark.slow
def test_timm_network_of_one_band_learns_nothing(labelled, tmp_path):
    tiny, _, _ = labelled
    config = write_toml(tiny.config(train={**TAUGHT, "epochs": 2}), tiny.folder / "timm.toml")
    train("predictor", [config], str(tmp_path / "out"))
    rows = history.from_csv((tmp_path / "out" / history.CSV).read_bytes())
    assert rows[-1]["loss"] < rows[0]["loss"]
