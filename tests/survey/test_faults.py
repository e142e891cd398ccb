"""What goes wrong ends with one plain message and an exit code; what can be mended is mended, and the run goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from catalogs import parts
from catalogs.errors import TuningforkError
from catalogs.flags import Flag
from pipeline import flow
from pipeline.engine.streams import SlicesFailed
from tests.survey.conftest import objects_of, tuningfork, typed, write_toml


class Disk:
    """A small disk of its own."""

    def __init__(self, path: Path, size: str) -> None:
        self.path = path
        path.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs")

    def remount(self, options: str) -> None:
        self._mount("-o", f"remount,{options}")

    def _mount(self, *options: str) -> None:
        subprocess.run(["mount", *options, str(self.path)], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path):
    """`disk("64k")` makes a disk of that size."""
    with contextlib.ExitStack() as stack:

        def make(size: str) -> Disk:
            try:
                made = Disk(tmp_path / "disk", size)
            except (subprocess.CalledProcessError, FileNotFoundError) as error:
                pytest.skip(f"mounting is not permitted here: {error}")
            stack.callback(subprocess.run, ["umount", "-l", str(made.path)], check=True)
            return made

        yield make


def written(tiny, **sections) -> Path:
    return write_toml(tiny.config(**sections), tiny.folder / "survey.toml")


def plainly(done: subprocess.CompletedProcess[str], code: int) -> str:
    """What a command said, which must have ended with this code and without a traceback."""
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    return said


def test_refusal_lists_what_is_wrong_and_writes_nothing(tiny, tmp_path):
    config = written(tiny, survey={"id": "Number", "keep": ["MAG as flags"]}, fit={"grups": 4})
    said = plainly(tuningfork("run", config, "--out", tmp_path / "run"), 2)
    assert "1 thing is wrong" in said
    assert f"{config}, key fit.grups, value 4: unknown key. Did you mean groups?" in said
    assert not (tmp_path / "run").exists()


def test_refused_release_is_told_with_file_column_and_remedy(tiny, tmp_path):
    config = written(tiny, survey={"id": "Number", "ra": "MAG", "where": "FLUX > 3"})
    said = plainly(typed("run", config, "--out", tmp_path / "run"), 2)
    assert "2 things are wrong" in said
    assert f"{tiny.folder}/catalogs/s00.fits, column 'Number': no such column" in said
    assert "Did you mean 'NUMBER'?" in said
    assert f"{tiny.folder}/catalogs/s00.fits, column 'FLUX': no such column" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_output_that_is_read_only(tiny, tmp_path, disk):
    place = disk("1m")
    place.remount("ro")
    said = plainly(tuningfork("run", written(tiny), "--out", place.path / "run"), 2)
    assert f"{place.path}/run: cannot be written to" in said
    assert "Read-only file system" in said
    assert "--out" in said


@pytest.mark.slow
def test_full_disk_stops_the_run_which_goes_on_when_there_is_room(tiny, disk, runner, engine):
    """Room for a part or two, for the objects but not for the models, for both but not for the catalog, for all."""
    place, values = disk("16k"), tiny.config(run={"engine": engine})
    config, out = write_toml(values, tiny.folder / "survey.toml"), place.path / "run"
    said = plainly(tuningfork("run", config, "--out", out), 3)
    assert f"{out}/objects" in said
    assert "No space left" in said
    for size, told in (("64k", "models"), ("140k", "catalog|embeddings")):
        place.remount(f"size={size}")
        with pytest.raises(TuningforkError, match=rf"{out}/({told}).* cannot be written \(No space left"):
            runner(values, tiny.folder, out)
    kept = {p: p.stat().st_mtime_ns for stage in ("objects", "votes") for p in (out / stage).iterdir()}
    assert len(kept) == 8
    place.remount("size=8m")
    runner(values, tiny.folder, out)
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert objects_of(out)["object_id"].to_pylist() == list(range(1, 65))
    assert not list(out.rglob("*.partial"))


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)], indirect=True)
def test_files_truncated_between_plan_and_read_fail_their_slices_only(tiny, tmp_path, runner, engine):
    first = tiny.folder / "images" / "t0_r.fits"
    shutil.copy(first, first.with_name("t1_r.fits"))
    tiny.table["TILE"][32:] = "t1"
    tiny.write(2)
    values, out = tiny.config(run={"engine": engine}), tmp_path / "run"
    plan = runner.plan(values, tiny.folder, out)
    plan.run.prepare(plan.record, anew=False, remedy="")
    for name in ("images/t1_r.fits", "catalogs/s01.fits"):
        path = tiny.folder / name
        whole = path.read_bytes()
        os.truncate(path, 5760)
        with pytest.raises(SlicesFailed, match="encode: 2 slices failed") as failed:
            flow.run(plan)
        assert set(failed.value.faults) == {"part-000001-000000000000", "part-000001-000000000016"}
        assert all(str(path) in fault for fault in failed.value.faults.values())
        assert parts.done(str(out / "objects")) == {"part-000000-000000000000", "part-000000-000000000016"}
        path.write_bytes(whole)
    runner(values, tiny.folder, out)
    assert objects_of(out)["object_id"].to_pylist() == list(range(1, 65))


def test_objects_that_cannot_be_used_are_flagged_and_the_run_goes_on(tiny, tmp_path, runner):
    tile = tiny.folder / "images" / "t0_r.fits"
    with fits.open(tile, mode="update") as file:
        pixels = file[0].data
        pixels[20, 20], pixels[60, 20] = np.inf, np.nan
        pixels[0:40, 40:80], pixels[0:40, 80:120] = np.nan, 3.0
        pixels[20, 140] = 1e6
    tiny.table["RA"][5], tiny.table["DEC"][6], tiny.table["RA"][7] = np.nan, 3.0, -200.0
    tiny.write(2)
    runner(tiny.config(images={"saturation": 1e6}), tiny.folder, tmp_path / "run")
    objects = objects_of(tmp_path / "run")
    assert objects["object_id"].to_pylist() == list(range(1, 65))
    lost = Flag.OFF_IMAGE | Flag.BAD_POSITION
    expected = {
        1: Flag.BAD_PIXELS,
        2: Flag.NO_PIXELS | Flag.BAD_PIXELS,
        3: Flag.BLANK,
        4: Flag.SATURATED,
        6: lost,
        7: Flag.OFF_IMAGE,
        8: lost,
        9: Flag.BAD_PIXELS,
    }
    assert {
        i: f for i, f in zip(objects["object_id"].to_pylist(), objects["flags"].to_pylist()) if f
    } == expected
    without = [i for i, g in zip(objects["object_id"].to_pylist(), objects["group"].to_pylist()) if g is None]
    assert without == [2, 3, 6, 7, 8]


@pytest.mark.slow
def test_odd_names_come_through_to_the_catalog(tiny, tmp_path, runner):
    table = tiny.table
    table.rename_columns(["NUMBER", "MAG"], ['my "odd" id', "it's a mag; --"])
    table['my "odd" id'] = np.arange(64, dtype=np.uint8) + 100
    table["NAME"] = [f"Größe 星 {i}".encode() for i in range(64)]
    table["TILE"] = ["t 0 é".encode()] * 64
    tiny.write(2)
    images = tiny.folder / "images"
    (images / "t0_r.fits").rename(images / "t 0 é_r.fits")
    keep = ['it\'s a mag; -- as Größe "x"', "it's a mag; -- as mag", "NAME"]
    values = tiny.config(survey={"id": 'my "odd" id', "keep": keep, "where": '"it\'s a mag; --" < 20.6'})
    out = tmp_path / "der Lauf 'é'"
    runner(values, tiny.folder, out)
    objects = objects_of(out)
    assert str(objects["object_id"].type) == "uint8"
    assert objects["object_id"].to_pylist() == list(range(100, 159))
    assert objects["NAME"].to_pylist() == [f"Größe 星 {i}" for i in range(59)]
    assert objects['Größe "x"'].equals(objects["mag"])


@pytest.mark.slow
def test_more_encoders_than_a_machine_has_room_for_wait_for_ever(tiny, tmp_path, runner, ray_cluster, capsys):
    """Two of them would take all CPUs, and nobody could read."""
    import ray

    half = ray.cluster_resources()["CPU"] / 2
    runner(
        tiny.config(encode={"workers": 4, "cpus": half}, run={"engine": "ray"}), tiny.folder, tmp_path / "run"
    )
    assert "encoders: 1 instead of 4" in capsys.readouterr().out
    assert objects_of(tmp_path / "run").num_rows == len(tiny.table)
