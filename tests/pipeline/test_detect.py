"""Sources of images without a catalog: none is lost or written twice, whatever overlaps, dies or waits."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table, vstack
from astropy.wcs import WCS

from catalogs.errors import Refused
from pipeline.config.file import load
from pipeline.detection import detect as detecting
from pipeline.detection.detect import TilesFailed, detect
from pipeline.plan.make_plan import plan_of
from tests.survey.conftest import COMMAND, write_toml

SIDE, STEP, SCALE = 300, 220, 0.2
TILES = {"A1": (0, 0), "A2": (STEP, 0), "B1": (0, STEP), "B2": (STEP, STEP)}
"""Place of each tile on a sky of 520 pixels a side: 80 are shared."""
SKY = SIDE + STEP
NOISE = 1.0


def config(**more) -> dict:
    images = {"layout": "tiles", "path": "images/{TILE}-{band}.fits", "bands": ["g", "i"], "size": 32}
    values = {
        "survey": {"name": "sky", "images": images},
        "run": {"engine": "local"},
        "measure": {"zeropoint": 27.0, "quantities": []},
        "detect": {"workers": 1},
    }
    for key, table in more.items():
        values[key] = {**values.get(key, {}), **table}
    return values


def truth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, y and sigma of 100 Gaussians on a grid, so that none is blended; a fifth of them are points."""
    rng = np.random.default_rng(1)
    grid = np.arange(26, SKY - 20, 50)
    x, y = (v.ravel() + rng.uniform(-3, 3, v.size) for v in np.meshgrid(grid, grid))
    sigma = np.where(np.arange(x.size) % 5 == 0, 1.6, rng.uniform(2.4, 4.0, x.size))
    return x, y, sigma


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sky")
    (folder / "images").mkdir()
    yy, xx = np.mgrid[:SKY, :SKY]
    light = np.zeros((SKY, SKY))
    for x, y, sigma in zip(*truth()):
        light += 60.0 * np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))
    for name, (x0, y0) in TILES.items():
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [10.0, -5.0]
        wcs.wcs.cdelt = [-SCALE / 3600, SCALE / 3600]
        wcs.wcs.crpix = [SKY / 2 + 0.5 - x0, SKY / 2 + 0.5 - y0]
        for number, band in enumerate("gi"):
            # each exposure has a noise of its own, so that tiles disagree on where a source lies
            rng = np.random.default_rng([len(name), x0, y0, number])
            image = light[y0 : y0 + SIDE, x0 : x0 + SIDE] + 100 + rng.normal(0, NOISE, (SIDE, SIDE))
            fits.writeto(folder / "images" / f"{name}-{band}.fits", image.astype(np.float32), wcs.to_header())
    write_toml(config(), folder / "config.toml")
    return folder


@pytest.fixture(scope="module")
def made(folder) -> Path:
    detect(folder / "config.toml", str(folder / "made"))
    return folder / "made"


def catalog(out: Path) -> Table:
    return vstack([Table.read(path) for path in sorted((out / "catalogs").glob("*.fits"))])


def files(out: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(out)): p.read_bytes()
        for p in sorted(out.rglob("*"))
        if p.is_file() and p.name != "survey.toml"
    }


def sky_pixels(rows: Table) -> tuple[np.ndarray, np.ndarray]:
    origin = np.array([TILES[tile] for tile in rows["TILE"]])
    return rows["X_IMAGE"] - 1 + origin[:, 0], rows["Y_IMAGE"] - 1 + origin[:, 1]


def test_a_source_of_the_overlaps_is_lost_or_written_twice(made):
    rows = catalog(made)
    x, y = sky_pixels(rows)
    true_x, true_y, _ = truth()
    near = np.hypot(true_x[:, None] - x, true_y[:, None] - y) < 1.0
    assert (near.sum(1) == 1).all(), near.sum(1)
    assert len(rows) == len(true_x)
    assert rows["NUMBER"].tolist() == list(range(1, len(rows) + 1))
    parts = sum(pq.read_metadata(path).num_rows for path in (made / "parts").glob("*"))
    assert parts > len(rows) + 30


def test_a_column_is_not_what_its_name_says(made):
    rows = catalog(made)
    x, y = sky_pixels(rows)
    true_x, true_y, sigma = truth()
    of = np.hypot(true_x[:, None] - x, true_y[:, None] - y).argmin(0)
    wcs = WCS(fits.getheader(made.parent / "images" / "A1-g.fits"))
    sx, sy = wcs.all_world2pix(rows["ALPHA_J2000"], rows["DELTA_J2000"], 0)
    np.testing.assert_allclose([sx, sy], [x, y], atol=1e-6)
    total = 60.0 * 2 * np.pi * sigma[of] ** 2
    inner = rows["FLAGS"] == 0
    assert inner.sum() > 80
    np.testing.assert_allclose(rows["FLUX_AUTO"][inner], total[inner], rtol=0.06)
    np.testing.assert_allclose(rows["MAG_AUTO"][inner], (27 - 2.5 * np.log10(total))[inner], atol=0.06)
    np.testing.assert_allclose(rows["FLUX_RADIUS"][inner], 1.1774 * sigma[of][inner], rtol=0.06)
    assert (rows["STAR"][inner] == (sigma[of] == 1.6)[inner]).all()
    parquet = pq.read_table(min((made / "catalogs").glob("*.parquet")))
    fits_rows = Table.read(min((made / "catalogs").glob("*.fits")))
    assert parquet.column_names == fits_rows.colnames
    np.testing.assert_array_equal(parquet["MAG_AUTO"], fits_rows["MAG_AUTO"])
    assert parquet.schema.field("MAG_AUTO").metadata[b"unit"] == b"mag"
    assert str(fits_rows["FLUX_RADIUS"].unit) == "pix"


def test_run_does_not_take_what_detect_makes(made):
    loaded, _ = load(made / "survey.toml")
    assert loaded.survey.images.path == str(made.parent / "images" / "{TILE}-{band}.fits")
    plan = plan_of(made / "survey.toml", str(made.parent / "run"))
    assert plan.release.rows == len(catalog(made))
    piece = next(iter(plan.slices()))
    stamp = np.asarray(plan.release.read(piece)["stamp"].combine_chunks().values).reshape(-1, 2, 32, 32)[0, 0]
    y, x = np.unravel_index(stamp.argmax(), stamp.shape)
    assert abs(y - 15.5) < 2.5
    assert abs(x - 15.5) < 2.5


class Backwards:
    """An engine that does the last task first."""

    def map(self, function, each, *shared, names=None):
        each = list(each)
        done = [function(*arguments, *shared) for arguments in reversed(each)]
        return iter(done[::-1])


def test_sources_depend_on_the_order_of_work(folder, made, tmp_path, monkeypatch):
    monkeypatch.setattr(detecting, "_engine", lambda *_: contextlib.nullcontext(Backwards()))
    detect(folder / "config.toml", str(tmp_path / "out"))
    assert files(tmp_path / "out") == files(made)


def test_a_tile_of_zeros_beside_data_spoils_the_noise(folder, tmp_path):
    """Mosaics are zero where no exposure was: no sources are there, and the same ones elsewhere."""
    image, header = fits.getdata(folder / "images" / "A1-i.fits", header=True)
    (tmp_path / "images").mkdir()
    for name, blank in (("whole", False), ("part", True)):
        if blank:
            image = image.copy()
            image[128:] = 0
        fits.writeto(tmp_path / "images" / f"{name}.fits", image - 100 * (image != 0), header)
    layout = {
        "layout": "tiles",
        "path": "images/{TILE}.fits",
        "bands": ["i"],
        "size": 32,
        "background": "none",
    }
    write_toml(config(survey={"images": layout}, detect={"match": 0.001}), tmp_path / "config.toml")
    detect(tmp_path / "config.toml", str(tmp_path / "out"))
    parts = {p.stem[6:]: pq.read_table(p) for p in (tmp_path / "out" / "parts").glob("*")}
    assert np.all(np.asarray(parts["part"]["Y_IMAGE"]) < 130)
    whole = np.asarray(parts["whole"]["Y_IMAGE"])
    assert abs(parts["part"].num_rows - np.sum(whole < 128)) <= 3


@pytest.mark.slow
def test_sources_depend_on_the_number_of_workers(folder, made, tmp_path):
    write_toml(config(detect={"workers": 4}), folder / "four.toml")
    detect(folder / "four.toml", str(tmp_path / "four"))
    assert files(tmp_path / "four") == files(made)


def test_a_killed_detection_does_not_go_on(folder, made, tmp_path):
    out = tmp_path / "out"
    command = [COMMAND, "detect", folder / "config.toml", "--out", out]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list((out / "parts").glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    parts = {path: path.stat().st_mtime_ns for path in (out / "parts").glob("*.parquet")}
    assert parts
    detect(folder / "config.toml", str(out))
    assert {path: path.stat().st_mtime_ns for path in parts} == parts
    found = {name: content for name, content in files(out).items() if not Path(name).name.startswith(".")}
    assert found == files(made)


def test_other_settings_are_mixed_with_what_is_there(folder, made):
    write_toml(config(detect={"workers": 1, "threshold": 3.0}), folder / "other.toml")
    with pytest.raises(Refused, match=r"changed: detect.threshold.*--anew"):
        detect(folder / "other.toml", str(made))


def test_anew_leaves_something_old(folder, made, tmp_path):
    shutil.copytree(made, tmp_path / "out")
    (tmp_path / "out" / "catalogs" / "00009-old.fits").touch()
    write_toml(config(detect={"workers": 1, "threshold": 20.0}), folder / "bright.toml")
    detect(folder / "bright.toml", str(tmp_path / "out"), anew=True)
    assert len(list((tmp_path / "out" / "catalogs").glob("*.fits"))) == len(TILES)
    assert not files(tmp_path / "out").items() & files(made).items()


def refusal(values: dict, folder: Path) -> str:
    with pytest.raises(Refused) as refused:
        detect(write_toml(values, folder / "bad.toml"), str(folder / "nowhere"))
    assert not (folder / "nowhere").exists()
    return str(refused.value)


def test_bad_input_is_not_refused(folder):
    def images(**more) -> dict:
        return config(survey={"images": {**config()["survey"]["images"], **more}})

    assert "no image of band 'g' is at" in refusal(images(path="images/{TILE}_{band}.fits"), folder)
    assert "has 2 asterisks" in refusal(images(path="*/*-{band}.fits"), folder)
    assert "{TILE} in pieces only" in refusal(images(path="images/{TILE[:2]}-{band}.fits"), folder)
    assert "A1-z.fits: this image is missing" in refusal(images(bands=["g", "z"]), folder)
    assert "need about 0.0 GiB" in refusal(config(detect={"memory_gib": 0.0001}), folder)
    assert "'r': is none of [survey.images] bands" in refusal(config(detect={"bands": ["r"]}), folder)
    assert "key detect.mash, value 3: unknown key. Did you mean mesh?" in refusal(
        config(detect={"mash": 3}), folder
    )
    assert "{X_IMAGE} is the name of a column" in refusal(images(path="images/{X_IMAGE}-{band}.fits"), folder)
    planes = {"weight": {"path": "w/{OTHER}-{band}.fits", "kind": "rms"}}
    assert "{OTHER} is not in [survey.images] path" in refusal(images(**planes), folder)


def test_masks_weights_and_saturation_are_not_heeded(folder, tmp_path):
    """Half of a tile is masked, half of the rest has no weight; a saturated source is flagged."""
    image = fits.getdata(folder / "images" / "A1-i.fits")
    header = fits.getheader(folder / "images" / "A1-i.fits")
    mask, weight = np.zeros(image.shape, np.int16), np.full(image.shape, NOISE**-2, np.float32)
    mask[150:] = 4
    weight[:, 150:] = 0
    image[60:100, 60:100] = np.nan
    fits.writeto(tmp_path / "A1-i.fits", image, header)
    fits.writeto(tmp_path / "A1-mask.fits", mask, header)
    fits.writeto(tmp_path / "A1-weight.fits", weight, header)
    layout = {
        "layout": "tiles",
        "path": "*-i.fits",
        "bands": ["i"],
        "size": 32,
        "saturation": 150.0,
        "mask": {"path": "*-mask.fits", "bits": [2]},
        "weight": {"path": "*-weight.fits", "kind": "inverse-variance"},
    }
    write_toml(config(survey={"images": layout}), tmp_path / "config.toml")
    detect(tmp_path / "config.toml", str(tmp_path / "out"))
    rows = catalog(tmp_path / "out")
    x, y = rows["X_IMAGE"] - 1, rows["Y_IMAGE"] - 1
    assert 5 < len(rows) <= 9
    assert (x < 151).all()
    assert (y < 151).all()
    assert not ((x > 62) & (x < 98) & (y > 62) & (y < 98)).any()
    assert ((rows["FLAGS"] & 4) > 0).sum() == (rows["FLUX_MAX"] > 50.0).sum() > 0
    assert set(rows["TILE"]) == {"A1"}
    assert np.isfinite(rows["FLUXERR_AUTO"]).all()


def test_a_band_without_data_takes_the_others_along(folder, tmp_path):
    (tmp_path / "images").mkdir()
    for band in "gi":
        name = f"A1-{band}.fits"
        (tmp_path / "images" / name).write_bytes((folder / "images" / name).read_bytes())
    header = fits.getheader(folder / "images" / "A1-i.fits")
    fits.writeto(tmp_path / "images" / "A1-z.fits", np.zeros((SIDE, SIDE), np.float32), header)
    for band in "giz":
        bad = np.zeros((SIDE, SIDE), np.int16)
        bad[:180, :200] = band == "g"  # most of the first band is bad
        fits.writeto(tmp_path / "images" / f"A1-{band}-rms.fits", np.where(bad, 0, NOISE).astype(np.float32))
    layout = {
        "layout": "tiles",
        "path": "images/{TILE}-{band}.fits",
        "bands": ["g", "z", "i"],
        "size": 32,
        "weight": {"path": "images/{TILE}-{band}-rms.fits", "kind": "rms"},
    }
    values = config(survey={"images": layout}, measure={"band": "i"})
    found = detect(write_toml(values, tmp_path / "config.toml"), str(tmp_path / "out"))
    assert [note for note in found.notes if "A1-z.fits" in note and "this band is left out" in note]
    true_x, true_y, _ = truth()
    assert found.sources == np.sum((true_x < SIDE) & (true_y < SIDE))


def test_a_blank_or_damaged_tile_stops_the_others(folder, tmp_path):
    (tmp_path / "images").mkdir()
    for path in (folder / "images").glob("*-i.fits"):
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    header = fits.getheader(folder / "images" / "A2-i.fits")
    fits.writeto(
        tmp_path / "images" / "A2-i.fits", np.zeros((SIDE, SIDE), np.float32), header, overwrite=True
    )
    layout = {"layout": "tiles", "path": "images/{TILE}-i.fits", "bands": ["i"], "size": 32}
    config_ = write_toml(config(survey={"images": layout}), tmp_path / "config.toml")
    found = detect(config_, str(tmp_path / "out"))
    assert any("A2-i.fits: no pixel of it has data: no sources" in note for note in found.notes)
    assert found.sources > 60
    rows = catalog(tmp_path / "out")
    assert set(rows["TILE"]) == {"A1", "B1", "B2"}
    # what nothing but A2 sees is lost; what others see of its overlaps is theirs, also where A2 would own it
    x, y = sky_pixels(rows)
    true_x, true_y, _ = truth()
    seen = (np.hypot(true_x[:, None] - x, true_y[:, None] - y) < 1.0).sum(1)
    assert (seen[(true_x < SIDE - 8) | (true_y > STEP + 8)] == 1).all()
    assert (seen[(true_x > SIDE + 8) & (true_y < STEP - 8)] == 0).all()


def test_a_tile_that_cannot_be_read_takes_the_others_along(folder, tmp_path, monkeypatch):
    write_toml(
        config(
            survey={
                "images": {
                    **config()["survey"]["images"],
                    "path": str(folder / "images" / "{TILE}-{band}.fits"),
                }
            }
        ),
        tmp_path / "config.toml",
    )
    find = detecting.find

    def damaged(tile, job):
        if job.tiles[tile]["TILE"] == "A2":
            return {"sources": 0, "pixels": 0, "fault": "A2-g.fits: pixels cannot be read", "notes": []}
        return find(tile, job)

    monkeypatch.setattr(detecting, "find", damaged)
    with pytest.raises(TilesFailed, match=r"1 of 4 tiles failed: A2-g.fits: pixels cannot be read"):
        detect(tmp_path / "config.toml", str(tmp_path / "out"))
    assert len(list((tmp_path / "out" / "parts").glob("*"))) == 3
    monkeypatch.undo()
    assert detect(tmp_path / "config.toml", str(tmp_path / "out")).sources == 100
