"""A survey whose depth varies tenfold, with bad columns and cosmic rays: S/N and chi-squared are right everywhere, and what is masked is never light."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import galsim
import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.table import Table

from actors.measurer import Measurer
from actors.segmenter import Segmenter
from catalogs.inspect import inspect
from catalogs.slices import slices_of
from catalogs.survey import Survey
from kernels.measure.flags import MeasureFlag
from pipeline.plan.encoding import HOLES
from tests.conftest import wcs_header

STAMP, STEP, COUNT = 64, 80, 8  # pixels; galaxies a side
SIDE = STEP * COUNT
GAIN = 200.0  # electrons a count
PSF = galsim.Moffat(beta=3.0, fwhm=3.4)
WITHIN = 0.1


def depth() -> np.ndarray:
    """Noise (y, x) from 1 to 10: steps along x, within stamps, near their middles or not, and a gradient along y."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    steps = np.array([1.0, 5.0, 2.0, 10 / 2**0.5])
    zones = np.searchsorted([STEP * 2 + 46, STEP * 4 + 38, STEP * 6 + 25], x[0], side="right")
    return steps[zones] * 2 ** (0.5 * y / (SIDE - 1))


@cache
def light() -> np.ndarray:
    """Sérsic galaxies on a grid; those in noisier places are brighter, so that all can be measured."""
    random = np.random.default_rng(4)
    image = galsim.ImageD(SIDE, SIDE)
    for y, x in np.ndindex(COUNT, COUNT):
        centre = galsim.PositionD(
            STEP * x + 40.5 + random.uniform(-1, 1), STEP * y + 40.5 + random.uniform(-1, 1)
        )
        flux = random.uniform(15000, 40000) * depth()[STEP * y + 40, STEP * x + 40]
        galaxy = galsim.Sersic(
            random.uniform(0.8, 2.5), half_light_radius=random.uniform(2.5, 4.5), flux=flux
        )
        shear = galsim.Shear(q=random.uniform(0.4, 1), beta=random.uniform(0, 180) * galsim.degrees)
        seen = galsim.Convolve(galaxy.shear(shear), PSF)
        seen.drawImage(image, scale=1.0, center=centre, add_to_image=True)
    return image.array


def dirt() -> np.ndarray:
    """Bad columns, and cosmic rays that cross galaxies (y, x) bool."""
    bad, random = np.zeros((SIDE, SIDE), bool), np.random.default_rng(6)
    bad[:, 37::STEP] = True
    bad[:, STEP + 60 :: 2 * STEP] = True
    for y, x in np.ndindex(COUNT, COUNT):
        at_y, at_x = STEP * y + random.integers(25, 55), STEP * x + random.integers(25, 55)
        for k in range(random.integers(3, 9)):
            bad[at_y + k // 2, at_x + k] = True
    return bad


def written(folder: Path, *, photons: bool = False, noisy: bool = True, dirty: bool = False) -> None:
    """The tile with its noise and its weights, as `variance` where they hold the photons too, else `inverse-variance`; and its catalog."""
    sky = depth()
    total = np.sqrt(sky**2 + light() / GAIN)
    image = light() + np.random.default_rng(8).normal(size=sky.shape) * total * noisy
    if dirty:
        image[dirt()] = np.random.default_rng(9).choice([5e5, -300.0, np.nan], dirt().sum())
    header = wcs_header(SIDE, SIDE)
    weights = total**2 if photons else 1 / sky**2
    planes = {
        "SCI": image.astype(np.float32),
        "WHT": weights.astype(np.float32),
        "DQ": (16 * dirt()).astype(np.int16),
    }
    hdus = [fits.ImageHDU(plane, header, name=name) for name, plane in planes.items()]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(folder / "tile.fits")
    grid = 40.5 + STEP * np.arange(COUNT)
    y, x = np.meshgrid(grid, grid, indexing="ij")
    Table({"ID": np.arange(COUNT**2), "X_IMAGE": x.ravel(), "Y_IMAGE": y.ravel()}).write(folder / "cat.fits")


def objects(folder: Path, **planes: dict[str, Any]) -> pa.Table:
    """The release read as a run does."""
    images = {"layout": "tiles", "path": "tile.fits", "hdu": "SCI", "bands": ["r"], "size": STAMP}
    place = {"position": "pixel", "pixel_scale": "unknown", "background": "none"}
    survey = {"catalogs": "cat.fits", "id": "ID", "images": {**images, **place, **planes}}
    release = inspect(Survey.model_validate(survey), str(folder))
    assert not [note for note in release.notes if "Weight" in note]
    return pa.concat_tables([release.read(piece) for piece in slices_of(release.shards, 16)])


def measured(rows: pa.Table, *, photons: bool = False) -> dict[str, np.ndarray]:
    psf = PSF.drawImage(nx=49, ny=49, scale=1.0, dtype=float).array
    options = {"bands": 1, "size": STAMP, "band": 0, "quantities": ["gini", "cas", "sersic"], "holes": HOLES}
    found = Measurer(**options, psf=psf, gain=None if photons else GAIN, photons=photons)(rows)
    names = [name for name in found.column_names if name not in rows.column_names]
    return {name: found[name].to_numpy(zero_copy_only=False) for name in names}


WEIGHT = {"weight": {"hdu": "WHT", "kind": "inverse-variance"}}
PHOTONS = {"weight": {"hdu": "WHT", "kind": "variance", "photons": True}}
MASK = {"mask": {"hdu": "DQ", "bits": [4]}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Releases: without noise, with it, with the photons in the weights, with dirt."""
    kinds = {"true": {"noisy": False}, "seen": {}, "photons": {"photons": True}, "dirty": {"dirty": True}}
    made = {name: tmp_path_factory.mktemp(name) for name in kinds}
    for name, keys in kinds.items():
        written(made[name], **keys)
    return made


@pytest.fixture(scope="module")
def truth(folders) -> dict[str, np.ndarray]:
    """What is measured where there is no noise, but weights say that there is."""
    rows = objects(folders["true"])
    return measured(rows.append_column("stamp_noise", objects(folders["seen"], **WEIGHT)["stamp_noise"]))


def within(found: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> tuple[float, float]:
    """The largest errors of S/N and of reduced chi-squared, whose truth is one."""
    return float(np.abs(found["sn_pixel"] / truth["sn_pixel"] - 1).max()), float(
        np.abs(found["sersic_chi2"] - 1).max()
    )


def test_depth_is_tenfold():
    assert depth().max() / depth().min() == pytest.approx(10)


@pytest.mark.parametrize("photons", [False, True])
def test_sn_or_chi2_is_wrong_somewhere(folders, truth, photons):
    rows = objects(folders["photons" if photons else "seen"], **(PHOTONS if photons else WEIGHT))
    found = measured(rows, photons=photons)
    assert truth["sn_pixel"].min() > 3
    assert max(within(found, truth)) < WITHIN
    assert not (found["measure_flags"] & (MeasureFlag.NEIGHBOUR | MeasureFlag.FIT_FAILED)).any()


def test_without_weights_all_is_well(folders, truth):
    """The test above can fail: one noise a stamp is wrong where depth changes in it."""
    assert min(within(measured(objects(folders["seen"])), truth)) > 2 * WITHIN


def test_masked_columns_or_cosmic_rays_are_measured(folders):
    rows, true = objects(folders["dirty"], **WEIGHT, **MASK), objects(folders["true"], **MASK)
    stamps, noise = (np.stack(rows[n].to_numpy(zero_copy_only=False)) for n in ("stamp", "stamp_noise"))
    assert np.array_equal(noise == 0, dirt_in_stamps())
    assert (stamps[noise == 0] == 0).all()
    found, truth = measured(rows), measured(true.append_column("stamp_noise", rows["stamp_noise"]))
    assert max(within(found, truth)) < WITHIN
    clean = measured(objects(folders["seen"], **WEIGHT))
    for name in ("sersic_r_e", "sersic_flux"):
        assert np.median(np.abs(found[name] / clean[name] - 1)) < 0.02, name
        assert np.abs(found[name] / clean[name] - 1).max() < WITHIN, name
    segments = Segmenter(bands=1, size=STAMP)(rows).segments
    assert not (segments.central.flatten(1).numpy() & (noise == 0)).any()
    assert not segments.others.any()  # a ray is no neighbour, nor is what lies behind a bad column


def dirt_in_stamps() -> np.ndarray:
    corners = 40 + STEP * np.arange(COUNT) - STAMP // 2
    return np.stack([dirt()[y : y + STAMP, x : x + STAMP].ravel() for y in corners for x in corners])
