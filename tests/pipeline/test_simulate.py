"""Simulated releases must be the same everywhere, and their galaxies must look like what the truth says."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table, vstack
from astropy.wcs import WCS

from pipeline.simulate.release import simulate


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sim") / "release"
    simulate(folder, 320, shards=3, seed=3, bands=("g", "i"), workers=1)
    return folder


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def catalog(folder):
    return vstack([Table.read(path) for path in sorted((folder / "catalogs").iterdir())])


def stamps(folder, size=48):
    rows, images = catalog(folder), {}
    for path in (folder / "images").glob("*_i.fits"):
        images[path.name.split("_")[0]] = fits.getdata(path)
    found = np.zeros((len(rows), size, size), np.float32)
    for stamp, x, y, tile in zip(found, rows["X_IMAGE"], rows["Y_IMAGE"], rows["TILE"]):
        x0, y0 = round(x - 1) - size // 2, round(y - 1) - size // 2
        ys, xs = np.arange(y0, y0 + size), np.arange(x0, x0 + size)
        stamp[:] = images[tile].take(ys, axis=0, mode="clip").take(xs, axis=1, mode="clip")
    return found


def test_bytes_do_not_depend_on_the_number_of_workers(release, tmp_path):
    simulate(tmp_path / "again", 320, shards=3, seed=3, bands=("g", "i"), workers=2)
    assert files(tmp_path / "again") == files(release)


def test_clean_twin_shows_other_galaxies_or_noise(release, tmp_path):
    simulate(tmp_path / "clean", 320, shards=3, seed=3, bands=("g", "i"), noisy=False)
    noisy, clean = files(release), files(tmp_path / "clean")
    assert {name for name in noisy if noisy[name] != clean[name]} == {n for n in noisy if "images" in n}
    for path in (tmp_path / "clean" / "images").iterdir():
        image, seen = fits.getdata(path), fits.getdata(release / "images" / path.name)
        sky = fits.getheader(release / "images" / path.name)["SKYNOISE"]
        assert fits.getheader(path)["SKYNOISE"] == 0
        difference = (seen - image)[image < np.quantile(image, 0.3)]
        assert abs(difference.mean()) < 0.02 * sky
        assert difference.std() == pytest.approx(sky, rel=0.05)


def test_another_seed_gives_other_galaxies(release, tmp_path):
    simulate(tmp_path / "other", 20, shards=1, seed=4, bands=("i",), workers=1)
    assert not np.array_equal(catalog(tmp_path / "other")["MAG_AUTO"], catalog(release)["MAG_AUTO"][:20])


def test_rows_ids_and_truth_agree(release):
    rows, truth = catalog(release), pq.read_table(release / "truth.parquet")
    assert len(rows) == truth.num_rows == 320
    assert rows["NUMBER"].tolist() == truth["object_id"].to_pylist() == list(range(1, 321))
    assert set(truth["class"].to_pylist()) == {"SPH", "ETD", "LTD", "IRR"}
    kinds = np.array(truth["class"].to_pylist())
    assert set(kinds[np.array(truth["merger"].to_pylist())]) == {"IRR"}


def test_positions_hit_the_galaxies_through_the_wcs(release):
    rows, truth = catalog(release), pq.read_table(release / "truth.parquet")
    spheroids = np.array([k == "SPH" for k in truth["class"].to_pylist()]) & (np.array(truth["sn"]) > 40)
    misses = []
    for row in rows[spheroids]:
        header = fits.getheader(release / "images" / f"{row['TILE']}_i.fits")
        x, y = WCS(header).wcs_world2pix(row["ALPHA_J2000"], row["DELTA_J2000"], 0)
        np.testing.assert_allclose([x + 1, y + 1], [row["X_IMAGE"], row["Y_IMAGE"]], atol=1e-4)
    for stamp in stamps(release)[spheroids]:
        core = stamp[19:30, 19:30]
        misses.append(np.hypot(*(np.array(np.unravel_index(core.argmax(), core.shape)) - 5)))
    assert len(misses) > 10
    assert np.median(misses) <= 1.0


def test_classes_differ_as_they_should(release):
    truth = pq.read_table(release / "truth.parquet").to_pandas()
    light = stamps(release)
    yy, xx = np.mgrid[-24:24, -24:24]
    radius = np.hypot(xx, yy)
    inner = light[:, radius < 4].sum(axis=1) / light[:, radius < 16].sum(axis=1)
    turned = np.abs(light - light[:, ::-1, ::-1])[:, radius < 12].sum(axis=1) / np.abs(
        light[:, radius < 12]
    ).sum(axis=1)
    bright = (truth["sn"] > 40).to_numpy()
    kind = truth["class"].to_numpy()
    concentration = {k: np.median(inner[bright & (kind == k)]) for k in ("SPH", "ETD", "LTD")}
    assert concentration["SPH"] > concentration["ETD"] > concentration["LTD"]
    assert np.median(turned[bright & (kind == "IRR")]) > 1.5 * np.median(turned[bright & (kind == "SPH")])


def test_signal_to_noise_spans_faint_to_bright(release):
    sn = np.array(pq.read_table(release / "truth.parquet")["sn"])
    assert sn.min() < 25
    assert sn.max() > 120


@pytest.mark.parametrize(
    "wrong",
    [
        {"galaxies": 0},
        {"shards": 0},
        {"shards": 11},
        {"seed": -1},
        {"bands": ()},
        {"bands": ("i", "i")},
        {"bands": ("w",)},
    ],
)
def test_impossible_releases_are_refused(tmp_path, wrong):
    arguments = {"galaxies": 10, "shards": 1, "seed": 0, "bands": ("i",), **wrong}
    with pytest.raises(ValueError):
        simulate(tmp_path / "x", **arguments)
    assert not (tmp_path / "x").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="not an empty directory"):
        simulate(tmp_path, 10)
