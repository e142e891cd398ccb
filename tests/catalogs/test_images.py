"""Stamps must be the pixels that astropy's Cutout2D gives, from every kind of file."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import Cutout2D, NoOverlapError

from catalogs import images
from catalogs.errors import CorruptFile
from catalogs.image_header import NotAnImage


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1300, 700)).astype(np.float32)


def written(pixels: np.ndarray, folder: Path, kind: str) -> str:
    path = folder / "a.fits"
    if kind == "fz":
        path = folder / "a.fits.fz"
        plane = fits.CompImageHDU(pixels, compression_type="GZIP_2", quantize_level=0)
        fits.HDUList([fits.PrimaryHDU(), plane]).writeto(path)
        return str(path)
    fits.PrimaryHDU(pixels).writeto(path)
    if kind == "gz":
        with path.open("rb") as source, gzip.open(f"{path}.gz", "wb") as sink:
            shutil.copyfileobj(source, sink)
        path.unlink()
        return f"{path}.gz"
    return str(path)


@pytest.mark.parametrize("kind", ["plain", "gz", "fz"])
@pytest.mark.parametrize("size", [32, 33])
def test_stamps_equal_cutout2d_also_over_the_edge(pixels, tmp_path, kind, size):
    image = images.open_image(written(pixels, tmp_path, kind))
    rng = np.random.default_rng(1)
    x, y = rng.uniform(-40, 740, 200), rng.uniform(-40, 1340, 200)
    x[:5], y[:5] = [0, 699, 350, 16, 683.5], [0, 1299, 650, 16, 1283.5]
    stamps, covered = images.cut(image, x, y, size)
    assert stamps.dtype == np.dtype("=f4")
    for i in range(len(x)):
        try:
            expected = Cutout2D(pixels, (x[i], y[i]), size, mode="partial", fill_value=np.nan).data
        except NoOverlapError:
            expected = np.full((size, size), np.nan)
        np.testing.assert_array_equal(stamps[i], expected)
        assert covered[i] == np.isfinite(expected).sum()


def test_nan_and_far_positions_are_off_the_image(pixels, tmp_path):
    image = images.open_image(written(pixels, tmp_path, "plain"))
    stamps, covered = images.cut(image, np.array([np.nan, 1e18, -np.inf]), np.array([5.0, 5.0, 5.0]), 16)
    assert np.isnan(stamps).all()
    assert (covered == 0).all()


def test_scaled_integers_and_blank_become_physical_values(tmp_path):
    raw = np.arange(64 * 64, dtype=np.int16).reshape(64, 64)
    hdu = fits.PrimaryHDU(raw)
    hdu.header["BSCALE"], hdu.header["BZERO"], hdu.header["BLANK"] = 0.5, 10.0, 65
    hdu.header["BITPIX"] = 16
    path = tmp_path / "scaled.fits"
    data = raw.astype(">i2").tobytes()
    path.write_bytes(hdu.header.tostring().encode() + data + b"\0" * (-len(data) % 2880))
    stamps, _ = images.cut(images.open_image(str(path)), np.array([8.0]), np.array([8.0]), 16)
    expected = raw[:16, :16] * 0.5 + 10
    expected[1, 1] = np.nan
    np.testing.assert_array_equal(stamps[0], expected.astype(np.float32))


@pytest.mark.parametrize("kind", ["plain", "gz", "fz"])
def test_truncated_image_is_found_by_its_header_alone(pixels, tmp_path, kind):
    path = Path(written(pixels, tmp_path, kind))
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(NotAnImage):
        images.open_image(str(path))


def test_image_that_breaks_after_the_plan_is_a_corrupt_file(pixels, tmp_path):
    path = Path(written(pixels, tmp_path, "gz"))
    image = images.open_image(str(path))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CorruptFile, match="a.fits.gz"):
        images.cut(image, np.array([300.0]), np.array([1200.0]), 16)


def test_file_without_an_image_is_refused(tmp_path):
    path = tmp_path / "t.fits"
    path.write_text("no fits at all")
    with pytest.raises(NotAnImage, match="not a FITS file"):
        images.open_image(str(path))
    fits.HDUList([fits.PrimaryHDU()]).writeto(path, overwrite=True)
    with pytest.raises(NotAnImage, match="no two-dimensional image"):
        images.open_image(str(path))
