"""Stamps as large as the object: what is cut, what is flagged, and what a plan says of extents."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn
from pydantic import ValidationError

from catalogs.errors import Refused
from catalogs.extents import sides
from catalogs.flags import Flag
from catalogs.inspect_extents import with_extents
from catalogs.survey import Images
from tests.catalogs.conftest import everything

PIXEL = {"position": "pixel", "pixel_scale": 0.2}
SIZES = [0.0, 3.0, 4.0, 5.0, 9.0, 30.0, -1.0, np.nan]
"""Half-light radii of eight objects; eight times that is the extent."""


@pytest.fixture
def sized(tiny):
    """The tiny release with a column of sizes, the same for every eighth object."""
    tiny.table["RADIUS"] = np.tile(np.array(SIZES, np.float32), 8)
    tiny.write(2)
    return tiny


def stamp(found, row: int) -> np.ndarray:
    side = found["stamp_side"][row].as_py()
    return np.asarray(found["stamp"][row].as_py(), np.float32).reshape(side, side)


@pytest.mark.parametrize(
    ("size", "limit"), [(64, None), (65, None), (88, 200), (8, 1024), (1024, None), (300, None)]
)
def test_sides_are_few_and_hold_every_extent(size, limit):
    layout = Images(
        layout="column", column="a", bands=["a"], size=size, pixel_scale=1.0, extent="x", extent_limit=limit
    )
    found = sides(layout)
    assert found == sorted(set(found))
    assert found[0] == size
    assert layout.largest_extent <= found[-1] <= layout.largest_extent + 1
    assert all(side % 2 == size % 2 for side in found), "the smaller is not the middle of the larger"
    assert all(b <= 1.5 * a + 2 for a, b in itertools.pairwise(found))


def test_stamps_are_as_large_as_the_extent_and_around_the_same_pixel(objects, sized):
    before = objects(images=PIXEL)
    found = objects(images={**PIXEL, "extent": "8 * RADIUS", "background": "none"})
    expected = {
        0: (32, 32),
        1: (32, 32),
        2: (32, 32),
        3: (48, 40),
        4: (96, 72),
        5: (128, 128),
        6: (32, 32),
        7: (32, 32),
    }
    image = np.pad(fits.getdata(sized.folder / "images" / "t0_r.fits"), 200)
    for row in range(64):
        side, extent = expected[row % 8]
        assert (found["stamp_side"][row].as_py(), found["stamp_extent"][row].as_py()) == (side, extent)
        x, y = (int(sized.table[name][row]) - 1 + 200 for name in ("X_IMAGE", "Y_IMAGE"))
        half = side // 2
        assert np.array_equal(stamp(found, row), image[y - half : y + half, x - half : x + half])
    plain = objects(images={**PIXEL, "extent": "8 * RADIUS"})
    small = np.flatnonzero(plain["stamp_side"].to_numpy() == 32)
    same = [
        np.array_equal(
            stamp(plain, row), np.reshape(before["stamp"][row].as_py(), (32, 32)).astype(np.float32)
        )
        for row in small
    ]
    assert all(same), "stamps of the usual side have changed"


def test_windows_are_larger_than_extents_and_small_objects_stay(objects, sized):
    found = objects(images={**PIXEL, "extent": "8 * RADIUS", "extent_window": 1.5})
    expected = [(32, 32), (48, 32), (48, 32), (64, 40), (128, 72), (192, 128), (32, 32), (32, 32)]
    pairs = zip(found["stamp_side"].to_pylist()[:8], found["stamp_extent"].to_pylist()[:8], strict=True)
    assert list(pairs) == expected
    assert (
        objects(images={**PIXEL, "extent": "5 * RADIUS", "extent_window": 1.5})["stamp_side"][1].as_py() == 32
    )


def test_extents_that_are_none_are_flagged(objects, sized):
    found = objects(images={**PIXEL, "extent": "8 * RADIUS"})
    flags = found["flags"].to_numpy()
    assert [bool(flag & Flag.NO_EXTENT) for flag in flags[:8]] == [
        True,
        False,
        False,
        False,
        False,
        False,
        True,
        True,
    ]
    assert found["usable"].to_pylist() == [True] * 64
    sized.table["RADIUS"] = MaskedColumn(np.full(64, 9, np.int16), mask=np.arange(64) == 9, fill_value=-1)
    sized.write(2)
    null = objects(images={**PIXEL, "extent": "8 * RADIUS"})["flags"].to_numpy()
    assert np.flatnonzero(null & Flag.NO_EXTENT).tolist() == [9]


@pytest.mark.parametrize(
    "extent", ["1e308 * abs(NUMBER)", "3.4e38", "170141183460469231731687303715884105727"]
)
def test_numbers_that_are_too_large_are_clipped(objects, sized, extent):
    keys = {"extent": extent, "extent_window": 8.0, "extent_unit": "arcsec", "extent_limit": 40}
    found = objects(images={**PIXEL, **keys, "pixel_scale": 1e-3})
    finite = np.arange(64) < 1 if "abs" in extent else np.ones(64, bool)  # DuckDB's infinity is no number
    assert set(found["stamp_extent"].to_numpy()[finite]) == {40.0}
    assert set(found["stamp_side"].to_numpy()[finite]) == {320}


def test_extents_in_arcsec_are_those_in_pixels(objects, sized):
    pixels = objects(images={"extent": "8 * RADIUS"})
    arcsec = objects(images={"extent": "8 * 0.2 * RADIUS", "extent_unit": "arcsec"})
    assert np.allclose(arcsec["stamp_extent"].to_numpy(), pixels["stamp_extent"].to_numpy(), rtol=1e-5)
    assert set(pixels["stamp_side"].to_pylist()) == {32, 48, 96, 128}


def test_no_bit_depends_on_the_slice(look, sized):
    release = look(images={**PIXEL, "extent": "8 * RADIUS"}, survey={"where": "NUMBER % 3 > 0"})
    whole = everything(release, 64)
    for rows in (1, 5, 32):
        some = everything(release, rows)
        assert some.drop_columns("stamp").combine_chunks() == whole.drop_columns("stamp").combine_chunks()
        assert some["stamp"].combine_chunks().equals(whole["stamp"].combine_chunks())


@pytest.mark.parametrize("layout", ["column", "extensions"])
def test_other_layouts_have_their_own_pixels_around(objects, sized, layout):
    stamps = np.random.default_rng(1).normal(size=(64, 60, 60)).astype(np.float32)
    sized.table["STAMP"], sized.table["HDU"] = stamps, np.arange(64) + 1
    sized.write(2)
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(stamp) for stamp in stamps)]
    fits.HDUList(hdus).writeto(sized.folder / "catalogs" / "stamps.fit")
    keys = {
        "column": {"column": "STAMP", "path": None},
        "extensions": {"path": "stamps.fit", "hdu_column": "HDU"},
    }
    images = {
        "layout": layout,
        **keys[layout],
        "pixel_scale": 0.2,
        "background": "none",
        "extent": "8 * RADIUS",
    }
    found = objects(images=images)
    assert np.array_equal(stamp(found, 1), stamps[1, 14:46, 14:46])
    assert np.array_equal(stamp(found, 3), stamps[3, 6:54, 6:54])
    assert np.array_equal(stamp(found, 4), np.pad(stamps[4], 18)), "beyond the image there is nothing"


@pytest.mark.parametrize(
    ("extent", "problem"),
    [
        ("8 * ", "is not one SQL expression"),
        ("", "is empty"),
        ("8 * RADUIS", "no such column"),
        ("TILE", "must give a number, but gives VARCHAR"),
        ("list_value(RADIUS, 2)", "must give a number, but gives FLOAT[]"),
        ("RADIUS > 2", "must give a number, but gives BOOLEAN"),
        ("sum(RADIUS)", "sum() is not among the functions"),
        ("(SELECT max(RADIUS) FROM objects)", "a subquery is not allowed"),
        ("RADIUS, 2", "row() is not among the functions that an expression may use"),
        ("random() * 60", "random() is not among the functions"),
    ],
)
def test_expressions_that_give_no_number_are_refused(fails, sized, extent, problem):
    fault = fails(images={"extent": extent})
    assert problem in str(fault)
    assert "condition" not in str(fault)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"extent_limit": 100}, "extent_limit is for extent"),
        ({"extent_unit": "arcsec"}, "extent_unit is for extent"),
        ({"extent_window": 2.0}, "extent_window is for extent"),
        ({"extent": "x", "extent_limit": 31}, "extent_limit = 31 is less than size = 32"),
        ({"extent": "x", "extent_unit": "arcsec", "pixel_scale": "unknown"}, "needs a pixel_scale"),
    ],
)
def test_keys_that_contradict_one_another_are_refused(look, sized, keys, problem):
    with pytest.raises(ValidationError, match=problem):
        look(images=keys)


def test_plan_counts_extents_that_are_unknown_or_clipped(look, sized):
    release = with_extents(look(images={**PIXEL, "extent": "8 * RADIUS"}), 16)
    assert release.extents is not None
    assert release.extents.sides == {32: 40, 48: 8, 64: 0, 96: 8, 128: 8}
    assert release.extents.largest_slice == 10 * 32**2 + 2 * (48**2 + 96**2 + 128**2)
    text = " ".join(release.notes)
    assert "8 of 48 px, 8 of 96 px, 8 of 128 px, of 64" in text
    assert "24 objects have no extent that is a positive number" in text
    assert "8 objects have extents larger than 128 px" in text


@pytest.mark.parametrize(("unit", "noted"), [("arcsec", True), ("pix", False), (None, False)])
def test_column_in_another_unit_than_extents_is_noted(look, sized, unit, noted):
    sized.table["RADIUS"].unit = unit
    sized.write(2)
    text = " ".join(with_extents(look(images={**PIXEL, "extent": "8 * RADIUS"}), 16).notes)
    assert ("'RADIUS' has the unit 'arcsec'; the extent is taken to be in pix" in text) == noted


def test_object_beside_the_image_has_none_though_its_window_does(objects, sized):
    sized.table["X_IMAGE"][4] = -45.0  # extent 72, window 96: some of the window is on the image
    sized.table["X_IMAGE"][12] = -20.0
    sized.write(2)
    found = objects(images={**PIXEL, "extent": "8 * RADIUS"})
    flags = found["flags"].to_numpy()
    assert flags[4] == Flag.OFF_IMAGE
    assert flags[12] == Flag.EDGE
    assert (found["usable"][4].as_py(), found["usable"][12].as_py()) == (False, True)


def test_extents_of_objects_that_are_left_out_do_not_count(look, sized):
    release = with_extents(look(images={**PIXEL, "extent": "8 * RADIUS"}, survey={"where": "RADIUS < 6"}), 16)
    assert release.extents is not None
    assert release.extents.sides == {32: 32, 48: 8, 64: 0, 96: 0, 128: 0}
    assert release.extents.clipped == 0


def test_extent_of_nobody_is_refused(look, sized):
    with pytest.raises(Refused, match="gives none of 64 objects a positive number"):
        with_extents(look(images={**PIXEL, "extent": "-8 * abs(RADIUS)"}), 16)


def test_large_release_of_unknown_scale_takes_no_arcsec(fails, sized, monkeypatch):
    monkeypatch.setattr("catalogs.inspect_rows.LOOKED_AT", 0)
    fault = fails(images={"extent": "RADIUS", "extent_unit": "arcsec"})
    assert "Give pixel_scale" in str(fault)


def test_columns_called_like_those_of_extents_are_refused(fails, sized):
    sized.table["stamp_side"] = np.arange(64)
    sized.write(2)
    assert "of its own" in str(fails(survey={"keep": ["stamp_side"]}))
