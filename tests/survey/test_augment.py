"""Synthetic releases: reproducible stamp by stamp, resumable, refused where they would be nonsense or pass for observed ones."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from catalogs.errors import Refused
from catalogs.flags import Flag
from kernels.diffusion import Sampling
from kernels.diffusion_model import DiffusionModel
from pipeline.synthesis.augment import augment
from pipeline.synthesis.requests import Order
from tests.pipeline.requested import ATTRIBUTES, asked, refused, write_model, write_table
from tests.survey.conftest import COMMAND, objects_of, tuningfork


@dataclass(frozen=True)
class Given:
    """What most tests draw with."""

    model: Path
    table: Path
    order: Order
    drawn: Path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "tiny.safetensors")


@pytest.fixture(scope="module")
def given(model, tmp_path_factory, ray_cluster):
    folder = tmp_path_factory.mktemp("given")
    table = write_table(folder / "rows.csv")
    order = Order(
        str(model), str(folder / "drawn"), 20, like=str(table), seed=100, steps=2, guidance=2.0, shard_rows=8
    )
    assert augment(order) == 20
    return Given(model, table, order, folder / "drawn")


def rows_of(out: Path) -> dict[str, np.ndarray]:
    """Every column of a synthetic release."""
    shards = [fits.getdata(path, 1) for path in sorted((out / "catalogs").iterdir())]
    return {name: np.concatenate([np.array(rows[name]) for rows in shards]) for name in shards[0].names}


def bytes_of(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file()}


def test_every_header_says_what_drew_it(given):
    shards = sorted((given.drawn / "catalogs").iterdir())
    assert [path.name for path in shards] == [f"synthetic-{i:04d}.fits" for i in range(3)]
    print_ = DiffusionModel.load(given.model).fingerprint[:16]
    for path in shards:
        for hdu in (0, 1):
            header = fits.getheader(path, hdu)
            assert header["SYNTH"] is True
            said = [header[key] for key in ("MODEL", "STEPS", "GUIDANCE", "RESCALE", "SEED", "PRECIS")]
            assert said == [print_, 2, 2.0, 0.7, 100, "float32"]
    rows = rows_of(given.drawn)
    assert rows["seed"].tolist() == list(range(100, 120))
    assert set(rows["model"]) == {print_}
    assert len(set(rows["id"])) == 20


def test_row_tells_all_that_its_stamp_depends_on(given):
    """By the bare model, one at a time."""
    model, rows = DiffusionModel.load(given.model), rows_of(given.drawn)
    for i in (0, 7, 8, 19):
        values = np.array([[rows[a.name][i] for a in ATTRIBUTES]], np.float32)
        sure = np.array([[rows[f"{a.name}_confidence"][i] for a in ATTRIBUTES]], np.float32)
        how = Sampling(*(rows[name][i].item() for name in ("steps", "guidance", "rescale")))
        stamp = model.draw(values, np.nan_to_num(sure), rows["seed"][i : i + 1].astype(np.int64), how)
        np.testing.assert_array_equal(stamp.numpy()[0], rows["IMAGE"][i].reshape(1, 32, 32))


def test_rows_are_like_their_rows(given):
    table, rows = Table.read(given.table, format="ascii.csv"), rows_of(given.drawn)
    of = {f"g{i}": i for i in range(10)}
    assert set(rows["like"]) <= set(of)
    source = table[[of[name] for name in rows["like"]]]
    known = np.array(source["T_type"] != -9)
    assert np.isnan(rows["t_type"][~known]).all()
    shift = rows["t_type"][known] - source["T_type"][known]
    assert 0 < np.abs(shift).max() < 5 * 0.05 * 17
    np.testing.assert_allclose(rows["t_type_confidence"][known], 1 - 1 / 17, rtol=1e-6)
    assert np.isnan(rows["gini"]).all()
    assert np.isnan(rows["arm_curvature"][np.nan_to_num(rows["arm_strength"]) == 0]).all()


@pytest.mark.slow
def test_shards_workers_and_count_change_no_stamp(given, tmp_path):
    more = replace(given.order, out=str(tmp_path / "more"), count=23, shard_rows=5, workers=1)
    assert augment(more) == 23
    rows, other = rows_of(given.drawn), rows_of(tmp_path / "more")
    for name in ("id", "IMAGE", "like"):
        assert rows[name].tolist() == other[name][:20].tolist()


@pytest.mark.slow
def test_lost_shard_is_drawn_again_and_nothing_else(given, tmp_path):
    out = shutil.copytree(given.drawn, tmp_path / "drawn")
    before = bytes_of(out)
    (out / "catalogs" / "synthetic-0001.fits").unlink()
    kept = out / "catalogs" / "synthetic-0000.fits"
    when = kept.stat().st_mtime_ns
    augment(replace(given.order, out=str(out), workers=1))
    assert bytes_of(out) == before
    assert kept.stat().st_mtime_ns == when


@pytest.mark.parametrize("source", ["shard", "release"])
def test_rows_are_drawn_again_with_another_request(given, source):
    """Same model, same request: the same bits, see `test_row_tells_all_that_its_stamp_depends_on`."""
    table = given.drawn / ("survey.toml" if source == "release" else "catalogs/synthetic-0001.fits")
    again, requested = asked(Order(str(given.model), "out", again=str(table))), asked(given.order)
    assert again.equals(requested.slice(8, 8) if source == "shard" else requested)


@pytest.mark.slow
def test_rows_drawn_again_have_the_same_bits(given, tmp_path):
    table = given.drawn / "catalogs" / "synthetic-0001.fits"
    augment(Order(str(given.model), str(tmp_path / "again"), again=str(table)))
    rows, again = rows_of(given.drawn), rows_of(tmp_path / "again")
    for name in rows:
        np.testing.assert_array_equal(again[name], rows[name][8:16])


@pytest.mark.slow
def test_synthetic_release_runs_when_told_and_is_marked(given, tmp_path, runner):
    out = Path(shutil.copytree(given.drawn, tmp_path / "drawn"))
    text = (out / "survey.toml").read_text(encoding="utf-8")
    with pytest.raises(Refused, match=r"synthetic-0000.fits: is synthetic \(SYNTH in its header\)"):
        runner.plan(tomllib.loads(text), out, tmp_path / "run")
    values = tomllib.loads(text.replace("# synthetic = true", "synthetic = true"))
    assert values["survey"]["synthetic"] is True
    values |= {
        "fit": {"groups": 3, "bags": 2},
        "measure": {"quantities": ["gini"]},
        "reduce": {"components": 2},
    }
    plan = runner(values, out, tmp_path / "run")
    assert any("SYNTHETIC" in note for note in plan.notes)
    objects = objects_of(tmp_path / "run")
    assert objects.num_rows == 20
    assert (objects["flags"].to_numpy() & Flag.SYNTHETIC == Flag.SYNTHETIC).all()
    assert {"asked_gini", "gini", "t_type", "t_type_confidence", "like"} <= set(objects.column_names)
    said = tuningfork("status", tmp_path / "run").stdout
    assert "SYNTHETIC" in said
    # and its catalog can be drawn again
    again = asked(Order(str(given.model), "out", again=str(tmp_path / "run"))).sort_by("id")
    assert again.equals(asked(given.order).sort_by("id"))


def test_rows_of_another_model_are_refused(given, tmp_path):
    write_model(tmp_path / "other.safetensors", seed=1)
    shard = given.drawn / "catalogs" / "synthetic-0000.fits"
    (fault,) = refused(Order(str(tmp_path / "other.safetensors"), str(tmp_path / "out"), again=str(shard)))
    assert "was drawn by another model than this one" in fault


def test_more_generators_than_a_cluster_has_room_for_wait_for_ever(given, tmp_path):
    (fault,) = refused(replace(given.order, out=str(tmp_path / "out"), workers=500))
    assert "--workers, value 500: need 375 CPUs, and there are" in fault


def test_folder_of_another_augmentation_is_kept(given, tmp_path):
    out = Path(shutil.copytree(given.drawn, tmp_path / "drawn"))
    before = bytes_of(out)
    other = replace(given.order, out=str(out), steps=3)
    with pytest.raises(Refused, match="holds another augmentation; changed: steps.*--anew"):
        augment(other)
    assert bytes_of(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine", encoding="utf-8")
    for anew in (False, True):
        with pytest.raises(Refused, match="neither empty nor an augmentation's folder"):
            augment(replace(given.order, out=str(tmp_path / "mine")), anew=anew)


@pytest.mark.slow
def test_begun_anew_nothing_is_left_of_the_old(given, tmp_path):
    out = Path(shutil.copytree(given.drawn, tmp_path / "drawn"))
    augment(replace(given.order, out=str(out), steps=3, count=9), anew=True)
    rows = rows_of(out)
    assert rows["steps"].tolist() == [3] * 9


def started(model: Path, out: Path) -> subprocess.Popen[str]:
    command = [COMMAND, "augment", model, "--out", out, "--count", "96", "--shard-rows", "4", "--steps", "10"]
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_shards(out: Path, number: int) -> None:
    limit = time.monotonic() + 300
    while len(list(out.glob("catalogs/synthetic-*.fits"))) < number:
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.fixture(scope="module")
def undisturbed(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    process = started(model, out)
    text, _ = process.communicate(timeout=600)
    assert process.returncode == 0, text
    return bytes_of(out)


@pytest.mark.slow
@pytest.mark.parametrize("shards", [1, 7, 16])
def test_killed_augmentation_goes_on_to_the_same_bytes(model, undisturbed, tmp_path, shards):
    process = started(model, tmp_path / "out")
    wait_for_shards(tmp_path / "out", shards)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "out" / "survey.toml").exists()
    process = started(model, tmp_path / "out")
    text, _ = process.communicate(timeout=600)
    assert process.returncode == 0, text
    assert bytes_of(tmp_path / "out") == undisturbed


@pytest.mark.slow
def test_interrupt_says_how_to_go_on(model, undisturbed, tmp_path):
    process = started(model, tmp_path / "out")
    wait_for_shards(tmp_path / "out", 1)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 130, text
    line = next(line.strip() for line in text.splitlines() if "tuningfork augment" in line)
    again = subprocess.run([COMMAND, *line.split()[1:]], capture_output=True, text=True, timeout=600)
    assert again.returncode == 0, again.stdout + again.stderr
    assert bytes_of(tmp_path / "out") == undisturbed


@pytest.mark.slow
def test_typed_wrong_it_ends_with_the_code_of_refusals(model, tmp_path):
    said = tuningfork("augment", model, "--out", tmp_path / "out", "--count", "0", "--condition", "foo=1")
    assert said.returncode == 2
    assert "2 things are wrong" in said.stdout
    assert not (tmp_path / "out").exists()
