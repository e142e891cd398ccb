"""Training as a user types it: killed and continued it ends where an undisturbed one does; its weights go into a run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import torch

from catalogs.errors import Refused
from kernels.diffusion_model import DiffusionModel
from kernels.nets import create
from kernels.nets.weights import half_precision, load
from pipeline.training import history
from pipeline.training.train import train
from tests.conftest import TinyRelease
from tests.survey.conftest import COMMAND, objects_of, tuningfork, typed, write_toml

EPOCHS = 4


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """A config whose objects say what they are."""
    tiny = TinyRelease(tmp_path_factory.mktemp("labelled") / "release")
    tiny.table["KIND"] = np.array([b"round", b"flat", b"thin"])[np.arange(64) % 3]
    tiny.write(2)
    train = {"epochs": EPOCHS, "batch_size": 16, "labels": {"classes": ["KIND"]}}
    return tiny, write_toml(tiny.config(train=train), tiny.folder / "survey.toml")


@pytest.fixture(scope="module")
def trained(labelled, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "out"
    done = tuningfork("train", "encoder", labelled[1], "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done.stdout


def losses(out) -> list[float]:
    return [row["loss"] for row in history.from_csv((out / history.CSV).read_bytes())]


def test_training_leaves_weights_metrics_and_a_curve(trained):
    out, said = trained
    assert len(losses(out)) == EPOCHS
    assert (out / history.CURVE).read_bytes().startswith(b"\x89PNG")
    assert f'checkpoint = "{out}/encoder.safetensors"' in said


def test_ray_trains_other_weights(labelled, trained, ray_cluster, tmp_path):
    tiny, config = labelled
    ray = tiny.folder / "ray.toml"
    ray.write_text(config.read_text().replace("[run]\n", '[run]\nengine = "ray"\n'))
    train("encoder", [ray], str(tmp_path / "out"))
    names = {path.name for path in trained[0].iterdir()}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert losses(tmp_path / "out") == losses(trained[0])
    weights = [out / "encoder.safetensors" for out in (trained[0], tmp_path / "out")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
def test_trained_weights_go_into_a_run(labelled, trained, runner, tmp_path):
    tiny, _ = labelled
    encode = {"model": "galaxy-atto", "checkpoint": str(trained[0] / "encoder.safetensors")}
    plan = runner(tiny.config(encode=encode), tiny.folder, tmp_path / "run")
    assert plan.config.encode.unwrap == "none"
    assert not any("UNTRAINED" in note for note in plan.notes)
    assert objects_of(tmp_path / "run")["group"].null_count == 0


@pytest.mark.slow
def test_denoiser_learns_nothing(labelled, tmp_path):
    tiny, _ = labelled
    config = write_toml(tiny.config(train={"epochs": EPOCHS, "batch_size": 8}), tiny.folder / "denoiser.toml")
    done = tuningfork("train", "denoiser", config, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f'[denoise]\n  checkpoint = "{tmp_path}/out/denoiser.safetensors"' in done.stdout
    assert losses(tmp_path / "out")[-1] < losses(tmp_path / "out")[0]
    load(create("denoiser"), tmp_path / "out" / "denoiser.safetensors")


@pytest.mark.slow
def test_diffusion_model_draws_nothing(labelled, tmp_path):
    """It learns from a release, and what comes out draws another one."""
    tiny, _ = labelled
    told = {"epochs": EPOCHS, "batch_size": 16, "diffusion": {"width": 32, "skin": 4}}
    config = write_toml(tiny.config(train=told), tiny.folder / "diffusion.toml")
    attributes = '[[train.diffusion.attributes]]\ncolumns = ["MAG"]\n'
    config.write_text(config.read_text() + attributes)
    done = tuningfork("train", "diffusion", config, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert losses(tmp_path / "out")[-1] < losses(tmp_path / "out")[0]
    model = DiffusionModel.load(tmp_path / "out" / "diffusion.safetensors")
    assert [a.name for a in model.attributes] == ["MAG", "noise_r", "psf"]
    command = done.stdout.splitlines()[-1].split()
    assert command[:3] == ["tuningfork", "augment", f"{tmp_path}/out/diffusion.safetensors"]
    drawn = tuningfork("augment", command[2], "--out", tmp_path / "drawn", "--count", "3", "--steps", "2")
    assert drawn.returncode == 0, drawn.stdout + drawn.stderr
    assert (tmp_path / "drawn" / "survey.toml").exists()


@pytest.mark.slow
def test_two_releases_are_mixed_in_one_diffusion_model(labelled, tmp_path):
    with pytest.raises(Refused, match="learns from one release"):
        train("diffusion", [labelled[1]] * 2, str(tmp_path / "out"))
    with pytest.raises(Refused, match=r"key train\.labels: means nothing to diffusion training"):
        train("diffusion", [labelled[1]], str(tmp_path / "out"))


@pytest.mark.slow
def test_killed_diffusion_training_ends_elsewhere(labelled, tmp_path):
    """It draws its noise from the step's number, so that a resumed one sees what the other saw."""
    tiny, _ = labelled
    told = {"epochs": 3, "batch_size": 16, "diffusion": {"width": 32, "skin": 4}}
    config = write_toml(tiny.config(train=told), tiny.folder / "resumed.toml")
    process = subprocess.Popen(
        [COMMAND, "train", "diffusion", config, "--out", tmp_path / "killed"],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    limit = time.monotonic() + 200
    while not list(tmp_path.glob("killed/checkpoint.pt")):
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for out in ("killed", "whole"):
        done = tuningfork("train", "diffusion", config, "--out", tmp_path / out)
        assert done.returncode == 0, done.stdout + done.stderr
    killed, whole = (tmp_path / out / "diffusion.safetensors" for out in ("killed", "whole"))
    assert killed.read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_relative_folder_is_below_where_it_was_typed(labelled, trained, tmp_path):
    """And a finished training that is typed again has nothing to do."""
    shutil.copytree(trained[0], tmp_path / "out")
    done = subprocess.run(
        [COMMAND, "train", "encoder", labelled[1], "--out", "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert losses(tmp_path / "out") == losses(trained[0])
    assert f'checkpoint = "{tmp_path}/out/encoder.safetensors"' in done.stdout


def test_another_training_is_not_mixed_in(labelled, trained, tmp_path):
    tiny, _ = labelled
    other = write_toml(tiny.config(train={"seed": 1, "batch_size": 16}), tiny.folder / "other.toml")
    done = typed("train", "encoder", other, "--out", trained[0])
    assert done.returncode == 2
    assert "holds another training" in done.stdout


def test_end_before_where_a_training_is(labelled, trained):
    tiny, _ = labelled
    told = {"epochs": EPOCHS - 1, "batch_size": 16, "labels": {"classes": ["KIND"]}}
    config = write_toml(tiny.config(train=told), tiny.folder / "shorter.toml")
    with pytest.raises(Refused, match=rf"is at epoch {EPOCHS} already.*at least {EPOCHS}"):
        train("encoder", [config], str(trained[0]))


@pytest.mark.slow
def test_training_goes_on_to_another_end(labelled, trained, tmp_path):
    tiny, _ = labelled
    told = {"epochs": EPOCHS + 2, "batch_size": 16, "labels": {"classes": ["KIND"]}}
    config = write_toml(tiny.config(train=told), tiny.folder / "longer.toml")
    shutil.copytree(trained[0], tmp_path / "out")
    done = tuningfork("train", "encoder", config, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert losses(tmp_path / "out")[:EPOCHS] == losses(trained[0])
    assert len(losses(tmp_path / "out")) == EPOCHS + 2
    record = json.loads((tmp_path / "out" / "train.json").read_text())
    assert record["schedules"] == [{"epochs": EPOCHS, "until": EPOCHS}]


def test_teacher_without_weights_is_found_out_late(labelled, tmp_path):
    tiny, _ = labelled
    told = {
        "epochs": 2,
        "batch_size": 16,
        "teacher": {"model": "timm:test_vit", "checkpoint": "no.safetensors"},
    }
    config = write_toml(tiny.config(train=told), tiny.folder / "taught.toml")
    with pytest.raises(Refused, match=r"no\.safetensors: no such file"):
        train("encoder", [config], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_training_goes_on_with_another_teacher(labelled, tmp_path):
    """The same file name with other weights in it: the folder holds another training."""
    tiny, _ = labelled
    teacher = tiny.folder / "teacher.safetensors"
    options = {"model": "timm:test_efficientnet", "checkpoint": str(teacher), "input": 32}
    told = {"epochs": 1, "batch_size": 16, "teacher": options}
    config = write_toml(tiny.config(train=told), tiny.folder / "taught.toml")
    net = create("timm:test_efficientnet", bands=3)
    teacher.write_bytes(half_precision(net))
    done = tuningfork("train", "encoder", config, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "teacher" in (tmp_path / "out" / history.CSV).read_text().splitlines()[0]
    with torch.no_grad():
        next(net.parameters()).mul_(2)
    teacher.write_bytes(half_precision(net))
    with pytest.raises(Refused, match="holds another training"):
        train("encoder", [config], str(tmp_path / "out"))


def test_folder_with_something_in_it_is_left_alone(labelled, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    done = typed("train", "encoder", labelled[1], "--out", tmp_path, "--anew")
    assert done.returncode == 2
    assert "neither empty nor a training" in done.stdout
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.slow
def test_killed_training_ends_with_the_same_losses(labelled, trained, tmp_path):
    process = subprocess.Popen(
        [COMMAND, "train", "encoder", labelled[1], "--out", tmp_path / "out"],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    limit = time.monotonic() + 200
    while not list(tmp_path.glob("out/checkpoint.pt")):
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "out" / history.CURVE).exists()
    done = tuningfork("train", "encoder", labelled[1], "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert losses(tmp_path / "out") == losses(trained[0])
    weights = [out / "encoder.safetensors" for out in (trained[0], tmp_path / "out")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
def test_two_processes_learn_in_step(labelled, tmp_path):
    tiny, _ = labelled
    train = {"epochs": 2, "batch_size": 16, "workers": 2, "threads": 1, "labels": {"classes": ["KIND"]}}
    config = write_toml(tiny.config(train=train), tiny.folder / "two.toml")
    done = tuningfork("train", "encoder", config, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = history.from_csv((tmp_path / "out" / history.CSV).read_bytes())
    assert [row["step"] for row in rows] == [2, 4]
