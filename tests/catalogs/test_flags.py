"""What is wrong with a single object becomes a flag, and the run goes on with finite numbers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalogs.flags import UNUSABLE, Flag, count
from catalogs.stamps import stamps_of
from catalogs.survey import Survey

PIXEL = {"position": "pixel", "pixel_scale": 0.2}


def drawn(tiny, generate) -> None:
    """Change the tile's pixels."""
    path = tiny.folder / "images" / "t0_r.fits"
    pixels, header = fits.getdata(path, header=True)
    pixels = pixels.astype(np.float64)
    generate(pixels)
    fits.writeto(path, pixels, header, overwrite=True)


def stamps(found: pa.Table) -> np.ndarray:
    values = np.stack(found["stamp"].to_numpy(zero_copy_only=False)).reshape(found.num_rows, 32, 32)
    assert values.dtype == np.float32
    assert np.isfinite(values).all()
    return values


def flags(found: pa.Table) -> np.ndarray:
    values = found["flags"].to_numpy()
    assert found["usable"].to_pylist() == [not f & UNUSABLE for f in values]
    return values


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        (np.nan, 2.0),
        (150.0, np.nan),
        (np.inf, 2.0),
        (150.0, -np.inf),
        (-180.5, 2.0),
        (360.5, 2.0),
        (150.0, 90.1),
        (150.0, -91.0),
        (1e300, 1e300),
        (-9999.0, -9999.0),
    ],
)
def test_positions_that_are_none_are_flagged(objects, tiny, ra, dec):
    tiny.table["RA"][7], tiny.table["DEC"][7] = ra, dec
    tiny.write(2)
    found = flags(objects())
    assert found[7] & Flag.BAD_POSITION
    assert found[7] & Flag.OFF_IMAGE
    assert not np.delete(found, 7).any()


def test_null_position_is_flagged(objects, tiny):
    tiny.table["RA"] = MaskedColumn(np.full(64, 150, np.int32), mask=np.arange(64) == 9)
    tiny.write(2)
    found = objects(images=PIXEL)
    assert flags(found).tolist() == [Flag.BAD_POSITION if i == 9 else 0 for i in range(64)]
    assert found["ra"][9].as_py() is None
    assert found["usable"][9].as_py(), (
        "the image of an object without a position can be looked at all the same"
    )


def test_nan_and_infinite_pixels_are_zero_and_flagged(objects, tiny):
    def generate(pixels):
        pixels[20, 20], pixels[60, 25], pixels[100, 20] = np.nan, np.inf, -np.inf

    drawn(tiny, generate)
    found = objects(images=PIXEL)
    assert flags(found).tolist() == [Flag.BAD_PIXELS if i in (0, 8, 16) else 0 for i in range(64)]
    assert found["usable"].to_pylist() == [True] * 64
    assert stamps(found)[0, 16, 16] == 0


def test_pixels_that_float32_cannot_hold_are_flagged(objects, tiny):
    def generate(pixels):
        pixels[20, 20] = 1e300
        pixels[40:80, 0:40] = 3.3e38  # the background, so that the difference below overflows
        pixels[60, 20] = -3.3e38

    drawn(tiny, generate)
    found = objects(images=PIXEL)
    assert flags(found)[0] == Flag.BAD_PIXELS
    assert flags(found)[8] == Flag.BAD_PIXELS
    assert stamps(found)[8, 16, 16] == 0


def test_stamp_of_nan_only_has_no_pixels(objects, tiny):
    drawn(tiny, lambda pixels: pixels.__setitem__(np.s_[:40, :40], np.nan))
    found = objects()
    assert flags(found)[0] == Flag.NO_PIXELS | Flag.BAD_PIXELS
    assert not stamps(found)[0].any()
    assert not flags(found)[1:].any()


@pytest.mark.parametrize("level", [0.0, 5.5, -1e30])
def test_stamp_of_one_value_is_blank(objects, tiny, level):
    drawn(tiny, lambda pixels: pixels.__setitem__(np.s_[:40, :40], level))
    found = objects()
    assert flags(found)[0] == Flag.BLANK
    assert not stamps(found)[0].any()


def test_stamp_that_is_blank_in_one_band_only(objects, tiny):
    path = tiny.folder / "images" / "t0_r.fits"
    pixels, header = fits.getdata(path, header=True)
    pixels[:40, :40] = 0
    fits.writeto(tiny.folder / "images" / "t0_z.fits", pixels, header)
    found = objects(images={"bands": ["r", "z"]})
    assert found["flags"].to_pylist() == [Flag.BLANK] + [0] * 63


def test_blank_value_of_an_integer_tile_is_no_pixel(objects, tiny):
    path = tiny.folder / "images" / "t0_r.fits"
    pixels, header = fits.getdata(path, header=True)
    pixels = np.round(pixels).astype(np.int16)
    pixels[:40, :40] = -32768
    header["BLANK"] = -32768
    fits.writeto(path, pixels, header, overwrite=True)
    assert flags(objects())[0] == Flag.NO_PIXELS | Flag.BAD_PIXELS


def test_object_off_the_tile(objects, tiny):
    tiny.table["DEC"][2] = 2.5
    tiny.table["DEC"][3], tiny.table["RA"][3] = -2.0, 330.0  # the far side of the sky
    tiny.write(2)
    found = objects()
    assert flags(found).tolist() == [Flag.OFF_IMAGE if i in (2, 3) else 0 for i in range(64)]
    assert not stamps(found)[2:4].any()


def test_half_a_stamp_off_the_edge_is_zero_there(objects, tiny):
    tiny.table["X_IMAGE"][0] = 1.0
    tiny.write(2)
    found = objects(images={"position": "pixel", "pixel_scale": 0.2, "background": "none"})
    assert flags(found).tolist() == [Flag.EDGE] + [0] * 63
    first = stamps(found)[0]
    tile = fits.getdata(tiny.folder / "images" / "t0_r.fits")
    assert not first[:, :16].any()
    np.testing.assert_array_equal(first[:, 16:], tile[4:36, :16])


def test_edge_and_bad_pixels_are_told_apart(objects, tiny):
    tiny.table["X_IMAGE"][0] = 1.0
    tiny.write(2)
    drawn(tiny, lambda pixels: pixels.__setitem__((20, 3), np.nan))
    found = objects(images=PIXEL)
    assert flags(found)[0] == Flag.EDGE | Flag.BAD_PIXELS


def test_saturated_pixels_are_flagged_at_their_own_level(objects, tiny):
    drawn(tiny, lambda pixels: pixels.__setitem__((20, 20), 60000.0))
    found = flags(objects(images={"saturation": 60000.0}))
    assert found.tolist() == [Flag.SATURATED] + [0] * 63
    assert not flags(objects(images={"saturation": 60000.1})).any()
    assert count(found) == {"saturated": 1}


@pytest.mark.parametrize("layout", ["column", "extensions"])
def test_bad_pixels_are_flagged_in_every_layout(objects, tiny, layout):
    rng = np.random.default_rng(4)
    planes = rng.normal(size=(64, 32, 32))
    planes[0], planes[1], planes[2, 5, 5], planes[3, 4, 4] = np.nan, 7.0, np.inf, 1e200
    if layout == "column":
        tiny.table["STAMP"] = planes
        images = {"layout": "column", "column": "STAMP", "path": None}
    else:
        hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(plane) for plane in planes)]
        fits.HDUList(hdus).writeto(tiny.folder / "catalogs" / "stamps.fit")
        tiny.table["HDU"] = np.arange(64) + 1
        images = {"layout": "extensions", "path": "stamps.fit", "hdu_column": "HDU"}
    tiny.write(2)
    found = objects(images={**images, "pixel_scale": "unknown"})
    expected = [Flag.NO_PIXELS | Flag.BAD_PIXELS, Flag.BLANK, Flag.BAD_PIXELS, Flag.BAD_PIXELS]
    assert flags(found).tolist() == expected + [0] * 60
    stamps(found)


@pytest.fixture(scope="module")
def surveys(tmp_path_factory):
    from tests.conftest import TinyRelease

    made = TinyRelease(tmp_path_factory.mktemp("positions") / "release")
    fixed = {"path": "images/t0_{band}.fits"}
    sky = Survey.model_validate(made.config(images=fixed)["survey"])
    pixel = made.config(images={**fixed, "position": "pixel", "pixel_scale": 0.2})["survey"]
    return made.folder, sky, Survey.model_validate(pixel)


anything = st.one_of(
    st.none(), st.floats(), st.floats(149.9, 150.1), st.floats(1.9, 2.1), st.floats(-50, 400)
)


@given(positions=st.lists(st.tuples(anything, anything), max_size=8), use_sky=st.booleans())
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_position_whatsoever_stops_the_reading(surveys, positions, use_sky):
    folder, sky, pixel = surveys
    survey, names = (sky, ("RA", "DEC")) if use_sky else (pixel, ("X_IMAGE", "Y_IMAGE"))
    columns = zip(*positions, strict=True) if positions else ([], [])
    rows = pa.table({name: pa.array(list(v), pa.float64()) for name, v in zip(names, columns, strict=True)})
    read = stamps_of(survey, rows, str(folder))
    found, bits = read.stamps, read.flags
    assert found.shape == (len(positions), 1, 32, 32)
    assert np.isfinite(found).all()
    off = bits & Flag.OFF_IMAGE != 0
    assert not found[off].any()
    for (a, b), is_off in zip(positions, off, strict=True):
        if a is None or b is None or not np.isfinite([a, b]).all():
            assert is_off
