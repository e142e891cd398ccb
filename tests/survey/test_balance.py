"""Balanced bags end to end: synthetic neighbours move the members and are nowhere else."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from actors.stamps import stamps_of
from catalogs import parts
from kernels.attributes import Attribute
from kernels.diffusion_model import untrained
from kernels.stretch import noise_level
from pipeline.rundir import arrays
from pipeline.rundir.status import status
from pipeline.stages.balance import PIECE
from tests.conftest import TinyRelease
from tests.survey.conftest import COMMAND, Runner, files_of, objects_of, tuningfork, write_toml

pytestmark = pytest.mark.slow

ATTRIBUTES = (
    Attribute("MAG", 20, 20.4),  # the fainter ones are beyond what the model knows
    Attribute("noise_r", 0.1, 10, kind="noise"),
    Attribute("psf", 0, 3, kind="psf"),
)


def release(folder: Path, **options: Any) -> TinyRelease:
    """A tiny release with a small model of its stamps beside it."""
    tiny = TinyRelease(folder, **options)
    model = untrained(("r",), 32, ATTRIBUTES, width=32, depth=1, patch=4, skin=4)
    model.save(folder / "tiny.safetensors")
    return tiny


def balanced(tiny: TinyRelease, run: dict[str, Any] | None = None, **augment: Any) -> dict[str, Any]:
    """A config by which nearly every group is rare; this process works, unless `run` asks for Ray."""
    keys = {"balance": True, "model": "tiny.safetensors", "rare": 0.45, "fill": 0.6, "steps": 2, "workers": 1}
    return tiny.config(augment={**keys, **augment}, run={"engine": "local", **(run or {})})


def drawn(out: Path) -> dict[str, bytes]:
    """What was drawn, by part, without what a part says of the run that it belongs to."""
    columns = [pq.read_table(p).replace_schema_metadata(None) for p in sorted((out / "synthetic").iterdir())]
    return {str(row["object_id"]): json.dumps(row).encode() for table in columns for row in table.to_pylist()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A release and a run of it with balanced bags."""
    base = tmp_path_factory.mktemp("balance")
    tiny = release(base / "release")
    Runner()(balanced(tiny), tiny.folder, base / "run")
    return tiny, base / "run"


@pytest.fixture(scope="module")
def plain(finished, tmp_path_factory):
    """The same without balanced bags."""
    tiny, _ = finished
    out = tmp_path_factory.mktemp("plain") / "run"
    Runner()(tiny.config(), tiny.folder, out)
    return out


def test_neighbours_join_the_bags_of_the_second_fit(finished):
    _, out = finished
    total = json.loads((out / "models/balance.json").read_text())["synthetic"]
    first, second = (
        arrays.load(str(out / "models" / f"{name}.safetensors")) for name in ("first_ensemble", "ensemble")
    )
    assert np.array_equal(first["centres"], second["centres"])  # the reference: a group keeps its number
    ward = [
        e["starts"][-1] - e["starts"][-2] for e in (first, second)
    ]  # a prototype for each object in the bag
    assert total > 50
    assert 0.45 * total < ward[1] - ward[0] < 0.8 * total


def test_what_rests_on_real_objects_stays_as_it_is_without_balance(finished, plain):
    _, out = finished
    for with_balance, without in (("components", "components"), ("first_ensemble", "ensemble")):
        files = (out / f"models/{with_balance}.safetensors", plain / f"models/{without}.safetensors")
        assert files[0].read_bytes() == files[1].read_bytes()
    assert files_of(out) != files_of(plain)


def test_no_synthetic_object_votes_is_counted_or_enters_the_catalog(finished):
    tiny, out = finished
    objects = objects_of(out)
    assert objects["object_id"].to_pylist() == sorted(tiny.table["NUMBER"].tolist())
    for folder in ("objects", "first_votes", "votes"):
        names = sorted(parts.done(str(out / folder)))
        assert sum(parts.receipt(str(out / folder), name).objects for name in names) == 64
    counted = json.loads((out / "models/classes.json").read_text())["groups"]
    groups, kept = objects["group"].to_numpy(), objects["kept"].to_numpy(zero_copy_only=False)
    assert [g["objects"] for g in counted] == np.bincount(groups, minlength=4).tolist()
    assert [g["kept"] for g in counted] == np.bincount(groups[kept], minlength=4).tolist()
    assert json.loads((out / "published.json").read_text())["objects"] == 64
    real = set(tiny.table["NUMBER"].tolist())
    everywhere = [
        pq.read_table(path) for path in sorted(out.rglob("*.parquet")) if path.parent.name != "synthetic"
    ]
    named = [table["object_id"].to_pylist() for table in everywhere if "object_id" in table.column_names]
    assert sum(map(len, named)) == 5 * 64  # parts of objects and of two votes, catalog and embeddings
    assert set().union(*named) == real
    assert not real & set(drawn(out))


def test_a_neighbour_is_told_what_its_object_is_like_and_lies_in_its_noise(finished):
    tiny, out = finished
    plan = Runner().plan(balanced(tiny), tiny.folder, out)
    magnitude = dict(zip(tiny.table["NUMBER"].tolist(), tiny.table["MAG"].tolist(), strict=True))
    noise: dict[int, float] = {}
    for piece in plan.slices():
        objects = plan.release.read(piece)
        found = noise_level(torch.tensor(stamps_of(objects["stamp"], 1, 32)))[:, 0].tolist()
        noise |= dict(zip(objects["object_id"].to_pylist(), found, strict=True))
    first = {
        row["object_id"]: row
        for name in parts.done(str(out / "first_votes"))
        for row in parts.read(str(out / "first_votes"), name).to_pylist()
    }
    rows = [
        row
        for name in parts.done(str(out / "synthetic"))
        for row in parts.read(str(out / "synthetic"), name).to_pylist()
    ]
    away = []
    for row in rows:
        assert first[row["like"]]["kept"]
        assert row["group"] == first[row["like"]]["group"]
        assert row["noise_r"] == pytest.approx(noise[row["like"]], rel=1e-6)
        assert row["psf"] == 0
        assert (row["MAG"] is None) == (magnitude[row["like"]] > 20.4)
        if row["MAG"] is not None:
            away.append(row["MAG"] - magnitude[row["like"]])
    assert 0 < np.std(away) < 0.04  # jitter is 5 % of a range of 0.4
    assert len({row["seed"] for row in rows}) == len({row["object_id"] for row in rows}) == len(rows)


def test_status_tells_of_balanced_bags(finished):
    _, out = finished
    found = status(str(out)).balance
    assert found is not None
    assert found.fitted
    assert found.wanted == found.drawn > 50
    assert found.vote.missing == []


def test_lost_pieces_are_drawn_again_the_same(finished, runner, tmp_path):
    tiny, out = finished
    expected, rows = files_of(out), drawn(out)
    again = Path(shutil.copytree(out, tmp_path / "run"))
    lost = max((again / "synthetic").iterdir())
    before = lost.read_bytes()
    for path in (lost, again / "models/ensemble.safetensors", again / "published.json"):
        path.unlink()
    runner(balanced(tiny), tiny.folder, again)
    assert lost.read_bytes() == before
    assert drawn(again) == rows
    assert files_of(again) == expected


def test_balance_switched_off_leaves_nothing_behind(finished, plain, runner, tmp_path):
    tiny, out = finished
    again = Path(shutil.copytree(out, tmp_path / "run"))
    runner(tiny.config(), tiny.folder, again)
    assert files_of(again) == files_of(plain)
    assert status(str(again)).balance is None
    names = {str(p.relative_to(again)) for p in again.rglob("*") if p.is_file()}
    assert names == {str(p.relative_to(plain)) for p in plain.rglob("*") if p.is_file()}


@pytest.mark.parametrize(("shards", "slice_rows", "workers"), [(3, 7, 2), (16, 1, 1)])
def test_neither_shards_nor_slices_nor_workers_nor_the_engine_change_what_is_drawn(
    finished, runner, ray_cluster, tmp_path, shards, slice_rows, workers
):
    _, expected = finished
    tiny = release(tmp_path / "release")
    tiny.table = tiny.table[np.random.default_rng(shards).permutation(len(tiny.table))]
    tiny.write(shards)
    config = balanced(tiny, run={"engine": "ray", "slice_rows": slice_rows}, workers=workers)
    runner(config, tiny.folder, tmp_path / "many")
    assert drawn(tmp_path / "many") == drawn(expected)
    columns = ["object_id", "group", "kept", "agreement", "runner_up", "distance", "reference_group"]
    assert objects_of(tmp_path / "many").select(columns).equals(objects_of(expected).select(columns))


def test_a_run_without_rare_groups_says_so_and_goes_on(finished, plain, runner, tmp_path, capsys):
    tiny, _ = finished
    again = Path(shutil.copytree(plain, tmp_path / "run"))
    runner(balanced(tiny, rare=0.001), tiny.folder, again)
    assert "no group is under-populated" in capsys.readouterr().out
    assert not (again / "synthetic").exists()
    assert files_of(again) == files_of(plain)


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_killed_while_it_draws_it_goes_on_to_the_same_bytes(tmp_path, engine):
    tiny = release(tmp_path / "release")
    # enough steps that a piece takes longer than it takes to see the one before it
    config = write_toml(
        balanced(tiny, run={"engine": engine}, fill=0.95, steps=60), tiny.folder / "survey.toml"
    )
    done = tuningfork("run", config, "--out", tmp_path / "whole")
    assert done.returncode == 0, done.stdout + done.stderr
    total = json.loads((tmp_path / "whole/models/balance.json").read_text())["synthetic"]
    assert total > 2 * PIECE
    process = subprocess.Popen(
        [COMMAND, "run", config, "--out", tmp_path / "run"], stdout=subprocess.DEVNULL, start_new_session=True
    )
    limit = time.monotonic() + 600
    try:
        while not list((tmp_path / "run").glob("synthetic/part-*.parquet")):
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    left = len(list((tmp_path / "run").glob("synthetic/part-*.parquet")))
    assert 0 < left < len(list((tmp_path / "whole").glob("synthetic/part-*.parquet")))
    done = tuningfork("run", config, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_of(tmp_path / "run") == files_of(tmp_path / "whole")
    drawn_bytes = [
        {p.name: p.read_bytes() for p in (tmp_path / out / "synthetic").iterdir()} for out in ("run", "whole")
    ]
    assert drawn_bytes[0] == drawn_bytes[1]
