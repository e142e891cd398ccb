"""A release that changes under a run: old and new never stand in one catalog, and an old one is never shown as the new."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from catalogs import inspect_rows, parts
from catalogs.errors import FileChanged, Refused
from pipeline import flow
from pipeline.engine.streams import SlicesFailed
from tests.conftest import TinyRelease
from tests.survey.conftest import Runner, files_of, typed, write_toml


def brighter(path: Path) -> None:
    """The same header, other pixels or rows, as a new calibration writes them."""
    with fits.open(path, mode="update") as file:
        if file[-1].is_image:
            file[-1].data += 7
        else:
            file[-1].data["MAG"] += 5
    later(path)


def later(path: Path) -> None:
    """Another time, whatever the clock's steps are."""
    now = path.stat().st_mtime_ns + 10**9
    os.utime(path, ns=(now, now))


def shard(tiny: TinyRelease) -> Path:
    return tiny.folder / "catalogs" / "s01.fits"


def tile(tiny: TinyRelease) -> Path:
    return tiny.folder / "images" / "t0_r.fits"


def stamps_in_files(tiny: TinyRelease) -> dict[str, Any]:
    """The same release with its stamps as extensions."""
    pixels = fits.getdata(tile(tiny))
    hdus = [fits.PrimaryHDU()]
    for x, y in zip(tiny.table["X_IMAGE"], tiny.table["Y_IMAGE"]):
        box = np.s_[int(y) - 17 : int(y) + 15, int(x) - 17 : int(x) + 15]
        hdus.append(fits.ImageHDU(np.ascontiguousarray(pixels[box])))
    fits.HDUList(hdus).writeto(tiny.folder / "catalogs" / "stamps.fits")
    tiny.table["HDU"] = np.arange(1, 65)
    tiny.write(2)
    fits.HDUList(hdus).writeto(tiny.folder / "catalogs" / "stamps.fits", overwrite=True)
    layout = {"layout": "extensions", "path": "stamps.fits", "hdu_column": "HDU", "bands": ["r"], "size": 32}
    values = tiny.config()
    values["survey"]["images"] = {**layout, "pixel_scale": 0.2}
    values["survey"]["catalogs"] = "catalogs/s*[0-9].fits"
    return values


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A release and a run of it that has ended."""
    base = tmp_path_factory.mktemp("finished")
    tiny = TinyRelease(base / "release")
    Runner()(tiny.config(), tiny.folder, base / "run")
    return base


@pytest.fixture
def ended(finished, tmp_path):
    """Copies of them, to change; times are copied too."""
    base = shutil.copytree(finished, tmp_path / "base")
    tiny = object.__new__(TinyRelease)
    tiny.folder, tiny.bands = base / "release", ("r",)
    return tiny, base / "run"


@pytest.mark.slow
@pytest.mark.parametrize("which", [shard, tile])
def test_an_old_catalog_is_shown_as_the_new(ended, runner, which):
    tiny, out = ended
    before = files_of(out)
    runner(tiny.config(), tiny.folder, out)  # nothing has changed: nothing is done
    brighter(which(tiny))
    with pytest.raises(Refused, match="was made of other files than there are now") as refused:
        runner(tiny.config(), tiny.folder, out)
    told = str(refused.value)
    assert f"{which(tiny)} has changed (it was " in told
    assert "--anew" in told
    assert files_of(out) == before
    runner(tiny.config(), tiny.folder, out, anew=True)
    assert files_of(out) != before


@pytest.mark.parametrize("which", [pytest.param(shard, marks=pytest.mark.slow), tile])
def test_old_and_new_stand_in_one_catalog(tiny, tmp_path, runner, which):
    """Interrupted after some slices, and the release changes before it goes on."""
    out = tmp_path / "run"
    runner(tiny.config(), tiny.folder, out)
    for name in ("published.json", "images.parquet"):
        (out / name).unlink()
    for part in sorted((out / "objects").iterdir())[3:]:
        part.unlink()
    shutil.rmtree(out / "models")
    brighter(which(tiny))
    with pytest.raises(Refused, match=f"{which(tiny)} has changed"):
        runner(tiny.config(), tiny.folder, out)


@pytest.mark.parametrize("which", [shard, tile])
@pytest.mark.slow
def test_a_file_that_is_replaced_while_a_run_works_is_read(tiny, tmp_path, runner, which):
    plan = runner.plan(tiny.config(), tiny.folder, tmp_path / "run")
    plan.run.prepare(plan.record, anew=False, remedy="")
    brighter(which(tiny))
    with pytest.raises(SlicesFailed) as failed:
        flow.run(plan)
    (fault,) = {text.split(" (")[0] for text in failed.value.faults.values()}
    assert fault == f"FileChanged: {which(tiny)}: has changed"


@pytest.mark.slow
def test_a_file_of_stamps_changes(tiny, tmp_path, runner):
    values, out = stamps_in_files(tiny), tmp_path / "run"
    runner(values, tiny.folder, out)
    brighter(tiny.folder / "catalogs" / "stamps.fits")
    with pytest.raises(Refused, match=r"stamps\.fits has changed"):
        runner(values, tiny.folder, out)


@pytest.mark.slow
def test_a_changed_tile_of_a_release_too_large_to_look_at(tiny, tmp_path, runner, monkeypatch):
    monkeypatch.setattr(inspect_rows, "LOOKED_AT", 0)
    out = tmp_path / "run"
    plan = runner(tiny.config(images={"pixel_scale": 0.2}), tiny.folder, out)
    assert not plan.release.images
    brighter(tile(tiny))
    with pytest.raises(Refused, match=f"{tile(tiny)} has changed"):
        runner(tiny.config(images={"pixel_scale": 0.2}), tiny.folder, out)
    # in the middle of a run: the plan cannot know, the parts do
    for name in ("published.json", "images.parquet"):
        (out / name).unlink()
    lost = min((out / "objects").iterdir())
    lost.unlink()
    with pytest.raises(FileChanged, match=f"different versions of {tile(tiny)}"):
        runner(tiny.config(images={"pixel_scale": 0.2}), tiny.folder, out)
    assert not lost.exists()
    # and in the middle of one command
    (out / "images.parquet").unlink(missing_ok=True)
    other = runner.plan(tiny.config(images={"pixel_scale": 0.2}), tiny.folder, out)
    monkeypatch.setattr("pipeline.stages.image_versions.look_again", lambda plan: None)
    with pytest.raises(FileChanged, match="old and new are not mixed"):
        flow.run(other)


@pytest.mark.slow
def test_a_file_that_was_fetched_again_keeps_a_run_from_going_on(tiny, tmp_path, runner):
    """No part was made of it: it may be another one."""
    whole, out = shard(tiny).read_bytes(), tmp_path / "run"
    plan = runner.plan(tiny.config(), tiny.folder, out)
    plan.run.prepare(plan.record, anew=False, remedy="")
    os.truncate(shard(tiny), 5760)
    with pytest.raises(SlicesFailed):
        flow.run(plan)
    assert len(parts.done(str(out / "objects"))) == 2
    shard(tiny).write_bytes(whole)
    later(shard(tiny))
    runner(tiny.config(), tiny.folder, out)


def test_a_touched_file_is_told_from_a_changed_one(ended, runner):
    tiny, out = ended
    before = tile(tiny).stat()
    later(tile(tiny))
    with pytest.raises(Refused, match="if only its time is another: touch -d @") as refused:
        runner(tiny.config(), tiny.folder, out)
    command = str(refused.value).split("is another: ")[1].split(")")[0]
    assert os.system(command) == 0
    assert tile(tiny).stat().st_mtime_ns == before.st_mtime_ns
    runner(tiny.config(), tiny.folder, out)


@pytest.mark.slow
def test_a_copy_is_the_same_by_its_content(tiny, tmp_path, runner):
    by_content, out = tiny.config(survey={"identify": "digest"}), tmp_path / "run"
    runner(by_content, tiny.folder, out)
    shutil.copytree(tiny.folder, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    for path in (tmp_path / "elsewhere").rglob("*.fits"):
        later(path)
    runner(by_content, tmp_path / "elsewhere", out)
    stat = tile(tiny).stat()
    brighter(tile(tiny))
    os.utime(tile(tiny), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with pytest.raises(Refused, match="has changed"):
        runner(by_content, tiny.folder, out)


def test_a_run_that_went_by_time_goes_on_by_content(ended, runner):
    tiny, out = ended
    by_content = tiny.config(survey={"identify": "digest"})
    runner(by_content, tiny.folder, out)
    later(tile(tiny))
    runner(by_content, tiny.folder, out)


def test_a_command_says_which_file_changed(ended):
    tiny, out = ended
    config = write_toml(tiny.config(), tiny.folder / "survey.toml")
    brighter(tile(tiny))
    for command in ("plan", "run"):
        done = typed(command, config, "--out", out)
        assert done.returncode == 2, done.stdout + done.stderr
        assert f"{tile(tiny)} has changed" in done.stdout
        assert "Traceback" not in done.stdout


def test_a_tile_that_is_new_at_a_glob_is_mixed_in(tiny, runner, tmp_path):
    values = tiny.config(images={"path": "images/*_{band}.fits"})
    runner(values, tiny.folder, tmp_path / "run")
    before = files_of(tmp_path / "run")
    runner(values, tiny.folder, tmp_path / "run")  # the same tiles: nothing is done
    shutil.copy(tile(tiny), tiny.folder / "images" / "t1_r.fits")
    with pytest.raises(Refused, match=r"changed: the release.*--anew"):
        runner(values, tiny.folder, tmp_path / "run")
    assert files_of(tmp_path / "run") == before
