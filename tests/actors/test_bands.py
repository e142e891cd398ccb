"""Several bands measured at once: what would put one band's values into another's columns, or colours of other pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from actors.bands import band_fields, in_band
from actors.measurer import Measurer
from tests.actors.test_encoder import table

SIDE, GAIN = 40, 4.0
ZEROPOINTS = {"r": 26.0, "g": 27.0, "i": 25.0}
OPTIONS: dict[str, Any] = {
    "bands": 3,
    "size": SIDE,
    "quantities": ["gini", "sersic"],
    "pixel_scale": 0.2,
    "errors": "fast",
}
BRIGHT = {"g": 0.5, "r": 1.0, "i": 2.0}  # over that in r, image units


def of(band: str) -> dict[str, Any]:
    place = list(BRIGHT).index(band)
    return {"band": place, "fwhm": 2.5 + place, "gain": GAIN, "zeropoint": ZEROPOINTS[band]}


def other(band: str) -> dict[str, Any]:
    return {"name": band, "psf": None, **of(band)}


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    random, line = np.random.default_rng(4), np.arange(SIDE) - (SIDE - 1) / 2
    disc = np.exp(-np.hypot(line, line[:, None] / 0.7) / 3)
    light = np.stack([100 * scale * disc for scale in BRIGHT.values()])
    stamps = random.poisson(np.broadcast_to(light, (6, *light.shape)) * GAIN) / GAIN
    stamps = (stamps + random.normal(size=stamps.shape)).astype(np.float32)
    usable = np.array([True, True, False, True, True, True])
    return table(stamps, usable).append_column("flags", pa.array(np.zeros(6, np.int32)))


@pytest.fixture(scope="module")
def found(rows: pa.Table) -> pa.Table:
    return Measurer(**OPTIONS, **of("g"), name="g", others=[other("r"), other("i")])(rows)


def numbers(answer: pa.Table, name: str) -> np.ndarray:
    return answer.column(name).to_numpy(zero_copy_only=False).astype(float)


def test_band_has_other_values_than_alone(rows: pa.Table, found: pa.Table) -> None:
    for band in BRIGHT:
        alone = Measurer(**OPTIONS, **of(band))(rows)
        for name in Measurer.columns(OPTIONS["quantities"], 0.2, 25.0, "fast").column_names:
            own = name if band == "g" else in_band(name, band)
            assert found[own].combine_chunks().equals(alone[name].combine_chunks()), (
                band,
                name,
            )


def test_declared_columns_of_bands_are_not_those_that_come(found: pa.Table) -> None:
    zeros = {band: ZEROPOINTS[band] for band in BRIGHT}
    for field in band_fields(zeros, OPTIONS["quantities"], 0.2, "fast"):
        assert found.schema.field(field.name) == field
        assert field.metadata[b"ucd"]
        assert field.metadata[b"description"]
    for name in ("r50_i", "r50_i_error"):
        assert found.schema.field(name).metadata[b"unit"] == b"arcsec"


def test_colours_are_not_those_of_the_light(found: pa.Table) -> None:
    for one, two in (("g", "r"), ("r", "i")):
        true = ZEROPOINTS[one] - ZEROPOINTS[two] - 2.5 * np.log10(BRIGHT[one] / BRIGHT[two])
        colour, error = numbers(found, f"{one}_{two}"), numbers(found, f"{one}_{two}_error")
        known = np.isfinite(colour)
        assert known.sum() == 5
        assert (np.abs(colour - true)[known] < 4 * error[known]).all()
        assert (error[known] < 0.1).all()
        spread = numbers(found, f"colour_dispersion_{one}_{two}")
        assert (np.abs(spread[known]) < 0.02).all()
    np.testing.assert_allclose(numbers(found, "matched_flux_g"), numbers(found, "flux"), rtol=0.01)


def test_colours_need_zeropoints_and_errors_are_wanted(rows: pa.Table) -> None:
    plain = {**OPTIONS, "errors": "none", "quantities": ["shape"]}
    without = [{**other("r"), "zeropoint": None}]
    names = Measurer(**plain, **of("g"), name="g", others=without)(rows).column_names
    assert "matched_flux_r" in names
    assert "colour_dispersion_g_r" in names
    assert not {"g_r", "matched_flux_r_error", "flux_error"} & set(names)


def test_threads_or_the_batch_change_a_colour(rows: pa.Table, found: pa.Table) -> None:
    many = Measurer(**OPTIONS, **of("g"), name="g", others=[other("r"), other("i")], threads=2)
    assert many(rows).equals(found)
    assert many(rows.slice(3, 2)).equals(found.slice(3, 2))


def test_flux_that_no_float32_holds_is_infinite_in_a_band() -> None:
    line = np.arange(SIDE) - (SIDE - 1) / 2
    disc = 3e38 * np.exp(-np.hypot(line, line[:, None]) / 3)
    rows = table(np.stack([[disc, disc / 1e30, disc]]).astype(np.float32), np.array([True]))
    rows = rows.append_column("flags", pa.array(np.zeros(1, np.int32)))
    huge = Measurer(**{**OPTIONS, "quantities": ["shape"]}, **of("g"), name="g", others=[other("r")])(rows)
    assert huge["matched_flux_g"].to_pylist() == [None]
    assert huge["matched_flux_r"].to_pylist() != [None]
