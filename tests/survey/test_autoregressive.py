"""A multi-modal network, from its training to a catalog: by any part of what it was trained with, and the same bytes whatever happens on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.errors import Refused
from catalogs.flags import Flag
from kernels.autoregressive_model import describe
from pipeline.simulate.cosmic_release import simulate_cosmic
from pipeline.training.train import train
from tests.conftest import TinyRelease
from tests.survey.conftest import COMMAND, files_of, objects_of, tuningfork, write_toml

GRID = np.linspace(400.0, 700.0, 12)
MODALITIES = {
    "scalars": [{"name": "photometry", "columns": ["MAG", "MAG_U"]}],
    "vectors": [
        {
            "name": "spectrum",
            "column": "FLUX",
            "ivar": "IVAR",
            "wavelengths": [400.0, 700.0],
            "patch": 4,
        }
    ],
}
ONLY_STAMPS = {"scalars": [], "vectors": []}


class Told(TinyRelease):
    """A release of blobs with magnitudes and spectra, some of which lack one."""

    def __init__(self, folder) -> None:
        super().__init__(folder, bands=("g", "r"))
        rng = np.random.default_rng(0)
        redshift = rng.uniform(0.1, 1, 64)
        self.table["MAG_U"] = np.where(np.arange(64) == 5, np.nan, 20 + redshift)
        self.table["Z"] = redshift
        self.table["FLUX"] = (np.sin(GRID / 60 * (1 + redshift[:, None])) + 2).astype(np.float32)
        self.table["IVAR"] = np.full((64, 12), 25.0, np.float32)
        self.table["IVAR"][7] = 0.0
        self.write(2)

    def ar(self, **changes) -> dict:
        """A config of an ar-1m."""
        told = {
            "epochs": 2,
            "batch_size": 16,
            "fold": 0,
            "labels": {"values": [{"columns": ["Z"]}]},
            "autoregressive": {"patch": 8},
        }
        sections = {"encode": {"model": "ar-1m"}, "modalities": MODALITIES, "train": told, **changes}
        return self.config(**sections)

    def encode(self, trained, modalities=MODALITIES, **run) -> dict:
        """A config of a run by the network."""
        checkpoint = {"model": "ar-1m", "checkpoint": str(trained / "autoregressive.safetensors")}
        return self.config(encode=checkpoint, modalities=modalities, run=run)


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Told:
    return Told(tmp_path_factory.mktemp("told") / "release")


@pytest.fixture(scope="module")
def trained(told, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "out"
    train("autoregressive", [write_toml(told.ar(), told.folder / "train.toml")], str(out))
    return out


def embeddings(out) -> np.ndarray:
    rows = pa.concat_tables(pq.read_table(part) for part in sorted(out.glob("objects/*.parquet")))
    return np.stack(rows.sort_by("object_id")["embedding"].to_numpy()).astype(np.float32)


def test_the_weights_say_what_they_are_made_for(trained):
    about = describe(trained / "autoregressive.safetensors")
    assert about.model == "ar-1m"
    assert about.modalities.names == ("stamps", "photometry", "spectrum")
    assert about.modalities.stamps.bands == ("g", "r")
    assert about.modalities.scalars[0].units == ("mag", "")
    np.testing.assert_allclose(about.modalities.vectors[0].wavelengths, GRID)
    assert about.pooling is not None
    assert "Z by ridge regression" in about.chosen_by


def test_a_network_is_given_any_part_of_what_it_knows(told, trained, runner, tmp_path):
    plan = runner(told.encode(trained), told.folder, tmp_path / "all")
    assert not any("without" in note for note in plan.notes)
    whole = objects_of(tmp_path / "all")
    flags = np.asarray(whole["flags"])
    assert (np.flatnonzero(flags & Flag.MISSING_MODALITY) + 1).tolist() == [8], "the spectrum without data"
    assert np.isfinite(embeddings(tmp_path / "all")).all()
    plan = runner(told.encode(trained, ONLY_STAMPS), told.folder, tmp_path / "stamps")
    assert any("without photometry, spectrum" in note for note in plan.notes)
    difference = np.abs(embeddings(tmp_path / "all") - embeddings(tmp_path / "stamps")).max(axis=1)
    assert (difference > 1e-3).all(), "what it is told of objects changes nothing"


def test_slices_and_batches_change_bytes(told, trained, runner, tmp_path):
    runner(told.encode(trained), told.folder, tmp_path / "few")
    runner(told.encode(trained, slice_rows=64), told.folder, tmp_path / "many")
    assert files_of(tmp_path / "few") == files_of(tmp_path / "many")


def test_codes_of_other_modalities_are_mixed(told, trained, runner, tmp_path):
    runner(told.encode(trained), told.folder, tmp_path / "run")
    with pytest.raises(Refused, match=r"changed: modalities\.scalars, modalities\.vectors"):
        runner(told.encode(trained, ONLY_STAMPS), told.folder, tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encode": {"model": "galaxy-atto"}}, "is no autoregressive network"),
        (
            {"train": {"autoregressive": {"patch": 7}}},
            "autoregressive.patch, value 7: does not divide stamps of 32 pixels",
        ),
        (
            {"train": {"predictor": {"balance": True}}},
            r"train\.predictor: means nothing to autoregressive training",
        ),
        (
            {"modalities": {"scalars": [{"name": "photometry", "columns": ["NOTHING"]}]}},
            "column 'NOTHING': has no two values that can be learned",
        ),
    ],
)
def test_a_training_that_cannot_begin_is_refused(told, tmp_path, changes, message):
    table = told.table.copy()
    told.table["NOTHING"] = np.full(64, np.nan)
    told.write(2)
    try:
        config = write_toml(told.ar(**changes), tmp_path / "bad.toml")
        text = config.read_text().replace("catalogs/*.fits", f"{told.folder}/catalogs/*.fits")
        config.write_text(text.replace("images/{TILE}", f"{told.folder}/images/{{TILE}}"))
        with pytest.raises(Refused, match=message):
            train("autoregressive", [config], str(tmp_path / "out"))
    finally:
        told.table = table
        told.write(2)


def test_a_network_without_weights_is_planned(told, runner, tmp_path):
    with pytest.raises(
        Refused, match=r"has no weights but those that you train.*tuningfork train autoregressive"
    ):
        runner.plan(told.ar(), told.folder, tmp_path)


def test_the_pages_config_does_not_fit_the_release_that_it_names(tmp_path):
    simulate_cosmic(tmp_path / "release", 64, shards=1, workers=1)
    config = tmp_path / "release" / "survey.toml"
    page = (Path(__file__).parents[2] / "docs" / "modalities.md").read_text()
    block = page.split("```toml\n")[1].split("```")[0]
    quick = block.replace("[train]\n", "[train]\nepochs = 1\nbatch_size = 16\n")
    config.write_text(config.read_text() + quick)
    train("autoregressive", [config], str(tmp_path / "out"))
    about = describe(tmp_path / "out" / "autoregressive.safetensors")
    assert about.modalities.names == ("stamps", "photometry", "spectrum")
    assert len(about.modalities.vectors[0].wavelengths) == 256
    assert about.modalities.scalars[0].units == ("mag",) * 9


@pytest.mark.slow
def test_killed_training_and_encoding_end_elsewhere(told, trained, tmp_path):
    config = write_toml(told.ar(), told.folder / "killed.toml")
    _killed(["train", "autoregressive", config, "--out", tmp_path / "out"], "out/checkpoint.pt", tmp_path)
    whole = trained / "autoregressive.safetensors"
    assert (tmp_path / "out" / "autoregressive.safetensors").read_bytes() == whole.read_bytes()
    run = write_toml(told.encode(trained, slice_rows=4), told.folder / "run.toml")
    _killed(["run", run, "--out", tmp_path / "killed"], "killed/objects/*.parquet", tmp_path)
    done = tuningfork("run", run, "--out", tmp_path / "whole")
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def _killed(arguments: list, there: str, folder) -> None:
    """Type a command, kill it once something is there, and type it again."""
    command = [COMMAND, *map(str, arguments)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    limit = time.monotonic() + 200
    while not list(folder.glob(there)):
        assert time.monotonic() < limit
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = tuningfork(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
