"""What goes wrong ends with one plain message and an exit code; what can be mended is mended, and the run goes on."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from catalogs import parts
from catalogs.flags import Flag
from pipeline import flow
from pipeline.streams import SlicesFailed
from tests.survey.conftest import objects_of, tuningfork, write_toml


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
    said = plainly(tuningfork("run", config, "--out", tmp_path / "run"), 2)
    assert "2 things are wrong" in said
    assert f"{tiny.folder}/catalogs/s00.fits, column 'Number': no such column" in said
    assert "Did you mean 'NUMBER'?" in said
    assert f"{tiny.folder}/catalogs/s00.fits, column 'FLUX': no such column" in said
    assert not (tmp_path / "run").exists()


def test_config_that_is_absent(tmp_path):
    said = plainly(tuningfork("plan", tmp_path / "absent.toml"), 2)
    assert f"{tmp_path}/absent.toml: cannot be read (No such file or directory)" in said


def test_directory_that_holds_no_run_is_left_alone(tiny, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    said = plainly(tuningfork("run", written(tiny), "--out", tmp_path / "run", "--anew"), 2)
    assert f"{tmp_path}/run: is not empty and holds no run. Choose another --out" in said
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_output_that_is_read_only(tiny, tmp_path, disk):
    place = disk("1m")
    place.remount("ro")
    said = plainly(tuningfork("run", written(tiny), "--out", place.path / "run"), 2)
    assert f"{place.path}/run: cannot be written to" in said
    assert "Read-only file system" in said
    assert "--out" in said


def test_full_disk_stops_the_run_which_goes_on_when_there_is_room(tiny, tmp_path, disk):
    """Room for a part or two, then for the objects but not for the models and votes, then for all."""
    place = disk("16k")
    config, out = written(tiny), place.path / "run"
    for stage in ("objects", "models"):
        said = plainly(tuningfork("run", config, "--out", out), 3)
        assert f"{out}/{stage}" in said
        assert "No space left" in said
        place.remount("size=64k")
    kept = {p: p.stat().st_mtime_ns for p in (out / "objects").iterdir()}
    assert len(kept) == 4
    place.remount("size=8m")
    plainly(tuningfork("run", config, "--out", out), 0)
    assert {p: p.stat().st_mtime_ns for p in (out / "objects").iterdir()} == kept
    assert objects_of(out)["object_id"].to_pylist() == list(range(1, 65))
    assert not list(out.rglob("*.partial"))


def test_full_disk_while_publishing(tiny, tmp_path, disk, runner):
    from catalogs.errors import TuningforkError

    place = disk("8m")
    values, out = tiny.config(), place.path / "run"
    plan = runner(values, tiny.folder, out)
    expected = objects_of(out)
    for path in plan.run.outputs("publish"):
        subprocess.run(["rm", "-r", path], check=False)
    used = sum(-(-p.stat().st_size // 4096) for p in out.rglob("*") if p.is_file()) * 4
    place.remount(f"size={used + 12}k")
    with pytest.raises(TuningforkError, match="No space left"):
        flow.run(plan)
    place.remount("size=8m")
    flow.run(plan)
    assert objects_of(out).equals(expected)


@pytest.fixture
def two_tiles(tiny):
    """The second half of the objects lies on a tile of its own, and both tiles are compressed."""
    first = tiny.folder / "images" / "t0_r.fits"
    pixels, header = fits.getdata(first, header=True)
    for name in ("t0", "t1"):
        plane = fits.CompImageHDU(pixels, header, compression_type="RICE_1")
        fits.HDUList([fits.PrimaryHDU(), plane]).writeto(first.with_name(f"{name}_r.fits.fz"))
    tiny.table["TILE"][32:] = "t1"
    tiny.write(2)
    return tiny, {"images": {"path": "images/{TILE}_{band}.fits.fz"}}


def test_tile_with_garbled_pixels_fails_its_slices_only_and_can_be_mended(two_tiles, tmp_path):
    tiny, images = two_tiles
    config, out = written(tiny, **images), tmp_path / "run"
    tile = tiny.folder / "images" / "t1_r.fits.fz"
    whole = tile.read_bytes()
    tile.write_bytes(whole[:20_000] + b"\xa5" * (len(whole) - 22_880) + whole[-2880:])
    said = plainly(tuningfork("run", config, "--out", out), 3)
    assert "encode: 2 slices failed" in said
    assert f"{tile}: pixels cannot be read" in said
    assert "Fetch the file again" in said
    assert parts.done(str(out / "objects")) == {"part-000000-000000000000", "part-000000-000000000016"}
    tile.write_bytes(whole)
    plainly(tuningfork("run", config, "--out", out), 0)
    assert objects_of(out)["object_id"].to_pylist() == list(range(1, 65))


@pytest.mark.parametrize("kind", ["tile", "catalog"])
def test_file_truncated_between_plan_and_read_fails_its_slices_only(two_tiles, tmp_path, runner, kind):
    tiny, images = two_tiles
    values, out = tiny.config(**images), tmp_path / "run"
    plan = runner.plan(values, tiny.folder, out)
    plan.run.prepare(plan.record, anew=False, remedy="")
    path = tiny.folder / ("images/t1_r.fits.fz" if kind == "tile" else "catalogs/s01.fits")
    whole = path.read_bytes()
    os.truncate(path, len(whole) // 2)
    with pytest.raises(SlicesFailed) as failed:
        flow.run(plan)
    assert set(failed.value.faults) <= {"part-000001-000000000000", "part-000001-000000000016"}
    assert all(str(path) in fault for fault in failed.value.faults.values())
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
    tiny.table["RA"][5], tiny.table["DEC"][6], tiny.table["RA"][7] = np.nan, 3.0, -1.0
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


@pytest.mark.parametrize("kind", ["uint8", "string"])
def test_odd_names_and_ids_come_through_to_the_catalog(tiny, tmp_path, runner, kind):
    table = tiny.table
    table.rename_columns(["NUMBER", "MAG"], ['my "odd" id', "it's a mag; --"])
    ids = (
        [f"NGC {i} é 星".encode() for i in range(64)] if kind == "string" else np.arange(64, dtype=kind) + 100
    )
    table['my "odd" id'] = ids
    table["NAME"] = [f"Größe {i}".encode() for i in range(64)]
    table["TILE"] = ["t 0 é".encode()] * 64
    tiny.write(2)
    images = tiny.folder / "images"
    (images / "t0_r.fits").rename(images / "t 0 é_r.fits")
    keep = ['it\'s a mag; -- as Größe "x"', "it's a mag; -- as mag", "NAME"]
    values = tiny.config(survey={"id": 'my "odd" id', "keep": keep, "where": '"it\'s a mag; --" < 99'})
    out = tmp_path / "der Lauf 'é'"
    runner(values, tiny.folder, out)
    objects = objects_of(out)
    expected = [i.decode() for i in ids] if kind == "string" else ids.tolist()
    assert objects["object_id"].to_pylist() == sorted(expected)
    assert sorted(objects["NAME"].to_pylist()) == sorted(f"Größe {i}" for i in range(64))
    assert objects['Größe "x"'].equals(objects["mag"])
    if kind != "string":
        assert str(objects["object_id"].type) == kind
