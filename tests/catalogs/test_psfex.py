"""PSFEx models: what would give an object another PSF than the model says, or take something else for a model."""

from __future__ import annotations

from pathlib import Path

import galsim
import galsim.des
import numpy as np
import pytest
from astropy.io import fits

from catalogs.psf import BadPSF, read_psf
from catalogs.psfex import PSFExModel, axis_of
from tests.catalogs.psfs import blob, varying, write_psfex

PLACES = np.array([[12.0, 300.0], [150.0, 160.0], [311.5, 7.25]])


def model_of(path: Path) -> PSFExModel:
    found = read_psf(str(path))
    assert isinstance(found, PSFExModel)
    return found


def test_psf_is_another_than_psfexs_formula_says(tmp_path: Path) -> None:
    masks = varying()
    found = model_of(write_psfex(tmp_path / "a.psf", masks)).at([PLACES[:, 0], PLACES[:, 1]], 3)
    masks = masks.astype(np.float32).astype(float)
    for (x, y), psf in zip(PLACES, found, strict=True):
        u, v = (x - 150) / 140, (y - 160) / 120
        wanted = sum(p * b for p, b in zip((1, u, u * u, v, u * v, v * v), masks, strict=True))
        np.testing.assert_allclose(psf, wanted / wanted.sum(), rtol=1e-5, atol=1e-8)
        assert psf.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("step", "close"), [(1.0, 2e-6), (0.6, 2e-3), (0.45, 2e-3), (1.4, 2e-3)])
def test_psf_is_another_than_galsims(tmp_path: Path, step: float, close: float) -> None:
    """GalSim reads the same files; its Lanczos kernel is corrected for its sum in another way, so that values between samples differ a little."""
    path = write_psfex(tmp_path / "a.psf", varying(31, 3.0 / step), step=step)
    found, theirs = model_of(path), galsim.des.DES_PSFEx(str(path))
    side = found.basis.shape[1]
    assert side == 2 * int(15 * step) + 1
    for (x, y), psf in zip(PLACES, found.at([PLACES[:, 0], PLACES[:, 1]], 3), strict=True):
        wanted = theirs.getPSF(galsim.PositionD(x, y))
        image = wanted.drawImage(nx=side, ny=side, scale=1, method="no_pixel").array
        np.testing.assert_allclose(psf, image / image.sum(), atol=close * image.max())


@pytest.mark.parametrize("step", [0.5, 0.73])
def test_sampling_of_a_model_shows_in_its_psf(tmp_path: Path, step: float) -> None:
    fwhm = 3.2
    path = write_psfex(
        tmp_path / "a.psf", blob(61, fwhm / step)[None], names=(), zero=(), scale=(), step=step
    )
    found = model_of(path)
    assert found.constant
    psf = found.at([], 1)[0]
    wanted = blob(len(psf), fwhm)
    np.testing.assert_allclose(psf, wanted / wanted.sum(), atol=5e-3 * wanted.max())  # what Lanczos-3 does


def test_psf_depends_on_the_others_that_are_asked_for(tmp_path: Path) -> None:
    found = model_of(write_psfex(tmp_path / "a.psf", varying(), step=0.7))
    x, y = np.random.default_rng(2).uniform(0, 320, (2, 700))
    x[5] = np.nan
    together = found.at([x, y], 700)
    assert np.isnan(together[5]).all()
    assert np.isfinite(np.delete(together, 5, axis=0)).all()
    for rows in ([0], [699], [5, 3], list(range(300, 100, -7))):
        np.testing.assert_array_equal(found.at([x[rows], y[rows]], len(rows)), together[rows])


def test_model_without_light_somewhere_has_a_psf_there(tmp_path: Path) -> None:
    masks = np.stack([blob(15, 3.0), blob(15, 3.0)])
    path = write_psfex(tmp_path / "a.psf", masks, names=("X_IMAGE",), zero=(0.0,), scale=(1.0,), degree=1)
    found = model_of(path).at([np.array([0.0, -1.0, -2.0, 1e300])], 4)
    assert np.isfinite(found[:, 0, 0]).tolist() == [True, False, False, True]


def test_names_of_positions() -> None:
    assert [axis_of(name) for name in ("X_IMAGE", "YWIN_IMAGE", "XPSF_IMAGE")] == [0, 1, 0]
    assert {axis_of(name) for name in ("MAG_AUTO", "X_WORLD", ":AIRMASS", "XX_IMAGE")} == {None}


@pytest.mark.parametrize(
    ("told", "change"),
    [
        ("varies with 3 quantities", {"names": ("A", "B", "C"), "zero": (0, 0, 0), "scale": (1, 1, 1)}),
        ("in 2 groups", {"POLNGRP": 2}),
        ("PSF_MASK of shape (6, 25, 25), not of 10 images", {"degree": 3}),
        ("PSF_SAMP = 0 pixels a step", {"step": 0.0}),
        ("PSF_SAMP = '0.5', which is no number", {"PSF_SAMP": "0.5"}),
        ("POLSCAL = 0.0", {"scale": (0.0, 1.0)}),
        ("POLDEG1 = 2.5, which is no count", {"POLDEG1": 2.5}),
        ("no POLNAME", {"names": ("X_IMAGE", "")}),
    ],
)
def test_model_that_cannot_be_evaluated_is_read(tmp_path: Path, told: str, change: dict) -> None:
    with pytest.raises(BadPSF) as refused:
        read_psf(str(write_psfex(tmp_path / "a.psf", varying(), **change)))
    assert told in str(refused.value)


def test_broken_model_is_read(tmp_path: Path) -> None:
    masks = varying()
    masks[2, 3, 4] = np.nan
    with pytest.raises(BadPSF, match="not finite"):
        read_psf(str(write_psfex(tmp_path / "a.psf", masks)))
    path = write_psfex(tmp_path / "b.psf", varying())
    with fits.open(path) as hdus:
        hdus.append(hdus[1].copy())
        hdus.writeto(tmp_path / "two.psf")
    with pytest.raises(BadPSF, match="holds 2 PSFEx models, one for each chip"):
        read_psf(str(tmp_path / "two.psf"))
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(BadPSF, match="cannot be read"):
        read_psf(str(path))


def test_model_is_known_by_its_name_alone(tmp_path: Path) -> None:
    fits.PrimaryHDU(blob(9, 3.0)).writeto(tmp_path / "image.psf")
    assert isinstance(read_psf(str(tmp_path / "image.psf")), np.ndarray)
    assert model_of(write_psfex(tmp_path / "model.fits", varying())).names == ("X_IMAGE", "Y_IMAGE")
