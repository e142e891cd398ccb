"""Degrees are degrees however they are spelled, and right ascensions below zero are positions."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

from catalogs.positions import unit_of
from tests.catalogs.conftest import everything
from tests.catalogs.test_nulls import whole_survey  # noqa: F401 - a fixture


@pytest.mark.parametrize(
    "spelling",
    ["deg", "DEG", "degree", "Degrees", "degr", "[deg]", "Angle[deg]", "deg.", "°", "(degrees)", "'deg'", " [ deg ] ", "decimal degrees"],
)  # fmt: skip
def test_degrees_are_understood(spelling):
    assert unit_of(spelling) == "deg"


@pytest.mark.parametrize(("spelling", "unit"), [("rad", "rad"), ("RADIANS", "rad"), ("hour", "hour"), ("[rad]", "rad"), ("arcsec", None), ("deg**2", None), ("", None), ("h:m:s", None), ("1/deg", None)])  # fmt: skip
def test_what_is_no_degree_is_not_taken_for_one(spelling, unit):
    assert unit_of(spelling) == unit


def with_unit(tiny, unit: str, **values: np.ndarray) -> None:
    for name, column in values.items():
        tiny.table[name] = column
    tiny.write(1)
    with fits.open(tiny.folder / "catalogs" / "s00.fits", mode="update") as file:
        for number, name in enumerate(file[1].columns.names, 1):
            if name in ("RA", "DEC"):
                file[1].header[f"TUNIT{number}"] = unit


@pytest.mark.parametrize("unit", ["[deg]", "Angle[deg]", "deg."])
def test_a_catalog_with_brackets_around_its_unit_is_read(look, tiny, unit):
    expected = everything(look(), 64)["stamp"]
    with_unit(tiny, unit)
    assert everything(look(), 64)["stamp"].equals(expected)


@pytest.mark.parametrize("unit", ["rad", "RADIANS", "hour", "furlong"])
def test_another_unit_is_refused_with_the_key_that_says_what_it_is(fails, tiny, unit):
    tiny.table["DEC"].unit = None
    with_unit(tiny, "")
    with fits.open(tiny.folder / "catalogs" / "s00.fits", mode="update") as file:
        file[1].header["TUNIT2"] = unit
    fault = fails()
    assert fault.value == f"unit {unit!r}"
    assert "position_unit" in fault.remedy


@pytest.mark.parametrize("unit", ["rad", "hour", "deg"])
def test_the_config_says_what_the_unit_is_whatever_the_column_says(look, tiny, unit):
    expected = everything(look(), 64)
    ra, dec = np.array(tiny.table["RA"]), np.array(tiny.table["DEC"])
    columns = {"rad": (np.radians(ra), np.radians(dec)), "hour": (ra / 15, dec), "deg": (ra, dec)}[unit]
    with_unit(tiny, "furlong", RA=columns[0], DEC=columns[1])
    release = look(survey={"position_unit": unit})
    found = everything(release, 64)
    np.testing.assert_allclose(found["ra"], expected["ra"], rtol=1e-14)
    assert found["flags"].equals(expected["flags"])
    assert len(release.notes) == 2
    assert f"position_unit = '{unit}' is taken" in release.notes[0]


def test_right_ascensions_below_zero_are_taken_modulo_360_and_the_plan_says_so(look, tiny):
    tile = tiny.folder / "images" / "t0_r.fits"
    with fits.open(tile, mode="update") as file:
        for axis in (1, 2):  # rounding must not decide which pixel is the first
            file[0].header[f"CRPIX{axis}"] += 0.3
    expected = everything(look(), 64)
    tiny.table["RA"] = np.array(tiny.table["RA"]) - 160.0  # about -10: the tile moves there too
    tiny.table["RA"].unit = "deg"
    tiny.write(2)
    with fits.open(tile, mode="update") as file:
        file[0].header["CRVAL1"] = 350.0
    release = look()
    found = everything(release, 64)
    np.testing.assert_allclose(found["ra"], np.array(expected["ra"]) + 200.0, rtol=1e-12)
    assert not any(found["flags"].to_pylist())
    assert found["stamp"].equals(expected["stamp"])
    assert release.notes == ("64 right ascensions are from -180 to 0: they are taken modulo 360.",)


def test_positions_that_are_none_are_counted_by_the_plan(look, tiny):
    tiny.table["RA"][:3] = [np.nan, -200.0, 999.0]
    tiny.write(2)
    (note,) = look().notes
    assert note.startswith("3 objects have no usable position")
