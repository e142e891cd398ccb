"""The measurer actor: what would put a value into the wrong row, or in the wrong unit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from actors.measurer import Measurer
from catalogs.canned import canned
from kernels.measure.flags import EXPLAINS, MeasureFlag
from kernels.measure.psf import gaussian
from kernels.segmentation.no_data import outside
from tests.actors.test_encoder import stamps, table

OPTIONS: dict[str, Any] = {"bands": 2, "size": 32, "band": 1, "quantities": ["gini", "cas", "mid"]}


def measured(
    images: np.ndarray, usable: np.ndarray | None = None, flags: Any = 0, **options: Any
) -> pa.Table:
    objects = table(images, usable)
    column = pa.array(np.broadcast_to(np.asarray(flags, np.int32), len(images)))
    return Measurer(**{**OPTIONS, **options})(objects.append_column("flags", column))


def numbers(answer: pa.Table, name: str) -> np.ndarray:
    return answer.column(name).to_numpy(zero_copy_only=False)


def test_declared_columns_are_those_that_come() -> None:
    for quantities in (["shape"], ["sersic"], ["gini", "cas", "mid", "sersic"]):
        options = {"quantities": quantities, "pixel_scale": 0.2, "zeropoint": 25.0}
        declared = Measurer.columns(**options).schema
        answer = measured(stamps(3, bands=2), **options)
        there = answer.schema
        assert [there.field(name) for name in declared.names] == list(declared)
        assert set(there.names) - set(declared.names) == {"object_id", "stamp", "usable", "mag", "flags"}
        assert set(declared.names) - {"measure_flags"} <= set(EXPLAINS)
    assert Measurer.columns([]).num_columns == 0


def test_rows_that_are_not_usable_are_null_and_the_others_stay_in_their_places() -> None:
    images = stamps(6, bands=2)
    usable = np.array([True, False, True, True, False, True])
    whole, some = measured(images), measured(images, usable)
    for name in Measurer.columns(OPTIONS["quantities"]).column_names:
        assert some.column(name).filter(pa.array(usable)).equals(whole.column(name).filter(pa.array(usable)))
    assert some.column("r50").is_null().to_pylist() == (~usable).tolist()
    assert (numbers(some, "measure_flags")[~usable] == MeasureFlag.NO_OBJECT).all()


@pytest.mark.parametrize("kind", ["images", "widths"])
def test_stamp_is_measured_with_the_psf_of_another_row(kind: str) -> None:
    images, usable = stamps(70, bands=2), np.arange(70) % 9 != 4
    widths = [None if i % 7 == 3 else 1.5 + 0.5 * (i % 4) for i in range(70)]
    pixels = [None if width is None else gaussian(width) for width in widths]
    column = pa.array(
        widths if kind == "widths" else [None if one is None else one.flatten().numpy() for one in pixels],
        pa.float64() if kind == "widths" else pa.large_list(pa.float32()),
    )
    options = {**OPTIONS, "quantities": ["sersic"], "psf_column": "own"}
    rows = table(images, usable).append_column("flags", pa.array(np.zeros(70, np.int32)))
    rows = rows.append_column("own", column)
    found = Measurer(**options)(rows)
    assert "own" not in found.column_names
    assert found.equals(Measurer(**options, threads=3)(rows))
    some = np.array([40, 3, 69, 17, 5])
    assert found.take(some).select(["sersic_n", "measure_flags"]) == Measurer(**options)(
        rows.take(some)
    ).select(["sersic_n", "measure_flags"])
    flags = numbers(found, "measure_flags")
    without = np.array([width is None for width in widths])
    assert ((flags & MeasureFlag.NO_PSF != 0) == (without & usable & (flags != MeasureFlag.NO_OBJECT))).all()
    for i in (0, 1):
        psf = {"fwhm": widths[i]} if kind == "widths" else {"psf": pixels[i].numpy()}
        alone = Measurer(**{**options, "psf_column": None}, **psf)(rows.drop_columns("own").slice(i, 1))
        assert numbers(alone, "sersic_n")[0] == pytest.approx(numbers(found, "sersic_n")[i], rel=1e-4)
    with pytest.raises(KeyError):
        Measurer(**options)(rows.drop_columns("own"))


def test_threads_change_a_value() -> None:
    images = stamps(150, bands=2)
    assert measured(images, threads=3).equals(measured(images))


def test_the_band_that_was_asked_for_is_measured() -> None:
    images = stamps(4, bands=2)
    images[:, 0] = 0
    second, first = measured(images), measured(images, band=0)
    assert second.column("r50").null_count == 0
    assert first.column("r50").null_count == 4
    assert (numbers(first, "measure_flags") & MeasureFlag.NO_OBJECT > 0).all()


def test_lengths_are_in_arcsec_where_the_scale_is_known() -> None:
    images = stamps(4, bands=2)
    pixels, arcsec = measured(images), measured(images, pixel_scale=0.2)
    for name in ("r_petro", "r20", "r50", "r80"):
        np.testing.assert_allclose(numbers(arcsec, name), 0.2 * numbers(pixels, name), rtol=1e-6)
        units = [answer.schema.field(name).metadata[b"unit"] for answer in (pixels, arcsec)]
        assert units == [b"pix", b"arcsec"]
    np.testing.assert_array_equal(numbers(arcsec, "gini"), numbers(pixels, "gini"))


def test_magnitude_of_the_fit() -> None:
    answer = measured(stamps(4, bands=2), quantities=["sersic"], zeropoint=25.0, fwhm=2.0)
    flux, magnitude = numbers(answer, "sersic_flux"), numbers(answer, "sersic_magnitude")
    np.testing.assert_allclose(magnitude, 25 - 2.5 * np.log10(flux), rtol=1e-6)


def test_padding_is_taken_for_sky() -> None:
    small = stamps(4, bands=2)
    padded = np.pad(small, ((0, 0), (0, 0), (16, 16), (16, 16)))
    alone, inside = measured(small), measured(padded, size=64)
    for name, within in (("gini", 0.01), ("m20", 0.08), ("asymmetry", 0.01), ("r50", 0.1)):
        np.testing.assert_allclose(numbers(inside, name), numbers(alone, name), atol=within)
    np.testing.assert_allclose(numbers(inside, "sn_pixel"), numbers(alone, "sn_pixel"), rtol=0.02)
    np.testing.assert_allclose(numbers(inside, "x_centre") - 16, numbers(alone, "x_centre"), atol=0.1)


def test_outside_is_rows_and_columns_of_zeros_from_a_border_on() -> None:
    image = torch.ones(1, 6, 7)
    image[:, :2] = 0
    image[:, :, 6:] = 0
    image[:, 4] = 0  # in the middle: a bad row, but not outside
    wanted = torch.zeros(1, 6, 7, dtype=torch.bool)
    wanted[:, :2] = True
    wanted[:, :, 6:] = True
    assert torch.equal(outside(image), wanted)
    assert outside(torch.zeros(1, 4, 4)).all()


def test_holes_count_for_nothing_where_a_flag_says_that_there_are_some() -> None:
    images = stamps(4, bands=2)
    images[:, :, 14:18, 3:7] = 0
    plain, told = (numbers(measured(images, flags=4, holes=holes), "measure_flags") for holes in (0, 4))
    assert not (plain & MeasureFlag.BAD_PIXELS).any()
    assert (told & MeasureFlag.BAD_PIXELS).any()


def test_flag_that_nobody_explains() -> None:
    page = (Path(__file__).parents[2] / "docs" / "catalog.md").read_text(encoding="utf-8")
    asked = canned()["measure_flags"].sql
    names = re.findall(r"'(\w+)'", asked)
    assert names == [str(flag.name).lower() for flag in sorted(MeasureFlag)]
    for flag in MeasureFlag:
        assert f"| {flag.value} | `{str(flag.name).lower()}` |" in page
    for name in EXPLAINS:
        assert f"`{name}`" in page


def test_fits_of_something_else_are_refused() -> None:
    with pytest.raises(ValueError, match="not lists of 2048 float32"):
        measured(stamps(2, bands=1))
