"""A folder of FITS cutouts becomes a release that holds the same numbers, bands, positions and pixel scale."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table, vstack

from catalogs.errors import Refused
from catalogs.inspect import inspect
from catalogs.pack import pack
from catalogs.slices import Slice
from pipeline.config.file import load
from tests.conftest import wcs_header

SIDE = 24


def light(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(10, 2, shape or (SIDE, SIDE)).astype(np.float32)


def header(seed: int = 0) -> fits.Header:
    return wcs_header(SIDE, SIDE, ra=150.0 + seed, dec=-2.0, scale=0.25)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cutouts").mkdir()
    return tmp_path / "cutouts"


def packed(source, **options):
    made = pack(source, source.parent / "release", **options)
    return made, vstack([Table.read(p) for p in sorted((source.parent / "release" / "catalogs").iterdir())])


def of_hdus(path, seed: int, *names: str, side: int = SIDE) -> np.ndarray:
    """A file with an image in each HDU, and its numbers."""
    values = light(seed, len(names), side, side)
    hdus = [fits.ImageHDU(plane, header(seed), name=name) for plane, name in zip(values, names, strict=True)]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return values


def test_numbers_of_several_hdus_are_others(folder):
    values = [of_hdus(folder / f"g{i}.fits", i, "G", "R", "Z", "G_IVAR", "MASK") for i in range(3)]
    made, table = packed(folder)
    np.testing.assert_array_equal(table["IMAGE"], np.array([planes[:3] for planes in values]))
    assert [str(name) for name in table["id"]] == ["g0", "g1", "g2"]
    assert made.notes == ["HDUs that are no light were left out: G_IVAR, MASK. --bands names those to take"]
    config, where = load(folder.parent / "release" / "survey.toml")
    layout = config.survey.images
    assert (layout.bands, layout.size, config.encode.stretch) == (["G", "R", "Z"], SIDE, "asinh")
    assert layout.pixel_scale == pytest.approx(0.25)
    rows = inspect(config.survey, where).read(Slice(0, 0, 3))
    np.testing.assert_allclose(rows["ra"].to_pylist(), [150.0, 151.0, 152.0], atol=1e-9)
    np.testing.assert_allclose(rows["dec"].to_pylist(), -2.0, atol=1e-9)


def test_planes_of_a_cube_are_mixed_up(folder):
    values = light(1, 3, SIDE, SIDE)
    cube = header()
    cube.update(CTYPE3="WAVE", CRVAL3=5e-7, CRPIX3=1.0, CDELT3=1e-7, WCSAXES=3)
    fits.PrimaryHDU(values, cube).writeto(folder / "a.fits")
    _, table = packed(folder, bands=["u", "g", "r"])
    np.testing.assert_array_equal(table["IMAGE"][0], values)
    config, _ = load(folder.parent / "release" / "survey.toml")
    assert config.survey.images.bands == ["u", "g", "r"]
    assert config.survey.images.pixel_scale == pytest.approx(0.25)


def test_asked_bands_come_in_another_order(folder):
    values = of_hdus(folder / "a.fits", 2, "SCI", "G", "R")
    _, table = packed(folder, bands=["r", "g"])
    np.testing.assert_array_equal(table["IMAGE"][0], values[[2, 1]])


def test_scaled_blank_and_missing_pixels_are_taken_as_stored(folder):
    stored = np.arange(SIDE * SIDE, dtype=np.int16).reshape(SIDE, SIDE)
    plain = fits.PrimaryHDU(stored)
    plain.header.update(BSCALE=0.5, BZERO=100.0, BLANK=7)
    plain.writeto(folder / "a.fits", output_verify="ignore")
    physical = stored * np.float32(0.5) + 100
    physical[0, 7] = np.nan
    with np.errstate(invalid="ignore"):
        fits.HDUList(
            [fits.PrimaryHDU(), fits.CompImageHDU(physical, compression_type="GZIP_2", quantize_level=0.0)]
        ).writeto(folder / "b.fits.fz")
    fits.PrimaryHDU(physical).writeto(folder / "c.fits.gz")
    _, table = packed(folder)
    assert [str(name) for name in table["id"]] == ["a", "b", "c"]
    for stamp in table["IMAGE"]:
        np.testing.assert_array_equal(stamp[0], physical)


@pytest.mark.parametrize("fit", ["pad", "resize", "galaxy", "extent"])
def test_cutouts_of_several_sizes_lose_a_band_or_their_sky(folder, fit):
    y, x = np.mgrid[:40, :40]
    for number, side in enumerate((40, 30)):
        blob = 500 * np.exp(-((x - 20) ** 2 + (y - 20) ** 2) / 18)[:side, :side]
        fits.HDUList(
            [
                fits.PrimaryHDU(),
                *(fits.ImageHDU(light(9, side, side) + k * blob, name=f"B{k}") for k in (1, 2)),
            ]
        ).writeto(folder / f"{number}.fits")
    _, table = packed(folder, fit=fit, size=32)
    stamps = np.asarray(table["IMAGE"])
    config, where = load(folder.parent / "release" / "survey.toml")
    assert stamps.shape[1] == 2
    assert config.survey.images.bands == ["B1", "B2"]
    peaks = np.nanmax(stamps, axis=(2, 3))
    assert (peaks[:, 1] > 1.5 * peaks[:, 0]).all()
    # the sky is at 10: what lies beyond a cutout must not pass for it
    rows = inspect(config.survey, where).read(Slice(0, 0, 2))
    for seen in rows["stamp"].to_pylist():
        assert np.abs(np.median(np.reshape(seen, (2, -1)), axis=1)).max() < 3


def test_labels_of_a_table_are_lost(folder):
    of_hdus(folder / "a.fits", 0, "r")
    of_hdus(folder / "b.fits", 1, "r")
    (folder / "labels.csv").write_text("file,id,kind,RA,Dec\na.fits,1,spiral,10,20\nb.fits,2,smooth,11,21\n")
    pack(folder / "labels.csv", folder.parent / "release")
    config, where = load(folder.parent / "release" / "survey.toml")
    rows = inspect(config.survey, where).read(Slice(0, 0, 2))
    assert rows["kind"].to_pylist() == ["spiral", "smooth"]
    assert rows["ra"].to_pylist() == [10.0, 11.0]


def spoiled(folder, kind: str):
    """A folder with a fault, beside a sound file."""
    of_hdus(folder / "a.fits", 0, "g", "r")
    path = folder / "b.fits"
    if kind == "other bands":
        of_hdus(path, 1, "g", "i")
    elif kind == "truncated":
        path.write_bytes((folder / "a.fits").read_bytes()[:9000])
    elif kind == "no image":
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU(Table({"x": [1]}))]).writeto(path)
    elif kind == "unequal":
        hdus = [fits.ImageHDU(light(1, side, side), name=name) for side, name in ((24, "g"), (12, "r"))]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    elif kind == "cube beside":
        hdus = [fits.ImageHDU(light(1, 2, 24, 24), name="g"), fits.ImageHDU(light(1), name="r")]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    elif kind == "doubles":
        of_hdus(path, 1, "g", "g")
    elif kind == "html":
        path.write_text("<html>not found</html>")
    elif kind == "picture":
        from PIL import Image

        Image.fromarray(np.zeros((24, 24), np.uint8)).save(folder / "b.png")
    elif kind == "wcs":
        bad = header()
        bad["CTYPE1"] = "RA---XXX"
        hdus = [fits.ImageHDU(light(1), bad, name=name) for name in "gr"]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("other bands", r"mixes FITS G, R \(.*a\.fits\) and FITS G, I \(.*b\.fits\) images"),
        ("truncated", r"b\.fits: .*truncated"),
        ("no image", r"b\.fits.*has no image of two or three axes"),
        ("unequal", r"b\.fits.*bands of unequal shapes \(G 24 x 24, R 12 x 12\)"),
        ("cube beside", r"b\.fits.*a cube of 2 planes \(G\) beside other images"),
        ("doubles", r"b\.fits.*two images named G"),
        ("html", r"b\.fits.*not a FITS file"),
        ("picture", r"mixes FITS G, R \(.*a\.fits\) and grey \(.*b\.png\) images"),
        ("wcs", r"b\.fits.*WCS that cannot be used"),
    ],
)
def test_fault_is_not_named_or_leaves_something(folder, kind, words):
    spoiled(folder, kind)
    with pytest.raises(Refused, match=words):
        pack(folder, folder.parent / "release")
    assert [path.name for path in folder.parent.iterdir()] == ["cutouts"]


def test_band_that_is_not_there_is_made_up(folder):
    of_hdus(folder / "a.fits", 0, "g", "r")
    with pytest.raises(Refused, match=r"has no band y \(there are: G, R\)"):
        pack(folder, folder.parent / "release", bands=["g", "y"])


def test_folder_without_an_image_is_packed(folder):
    with pytest.raises(Refused, match="holds no image"):
        pack(folder, folder.parent / "release")
