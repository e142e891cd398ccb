"""The trees of SDSS, the Legacy Surveys and HSC can be named, and a template that can't be filled is found beforehand."""

from __future__ import annotations

import contextlib
import shutil

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from catalogs import path_template
from catalogs.path_template import BadTemplate, columns_of, filled
from catalogs.same_images import groups, one_of_each
from tests.catalogs.conftest import everything
from tests.fuzz import fuzz


@pytest.mark.parametrize(
    ("template", "values", "path"),
    [
        ("frame-{band}-{run:06d}-{camcol}-{field:04d}.fits.bz2", {"run": 94, "camcol": 1, "field": 131}, "frame-i-000094-1-0131.fits.bz2"),
        ("coadd/{brickname[:3]}/{brickname}/i.fz", {"brickname": "0001m002"}, "coadd/000/0001m002/i.fz"),
        ("{tract}/{patch[0]},{patch[2]}", {"tract": 9813, "patch": "4,5"}, "9813/4,5"),
        ("{a[-2:]}{a[1:3]}{a[:]}", {"a": "abcd"}, "cdbcabcd"),
        ("{cell:03d}.{x:07.2f}{y:.0f}", {"cell": 7, "x": 1.5, "y": 12.0}, "007.0001.5012"),
        ("{name:>5}{name:_<4}{name:05}{n:05}", {"name": "ab", "n": 3}, "   abab__000ab00003"),
        ("{n[:2]:>4}/{a b-c}", {"n": 1234, "a b-c": "x"}, "  12/x"),
        ("{band[0]}{band}", {}, "ii"),
        ("no placeholder", {}, "no placeholder"),
    ],
)  # fmt: skip
def test_a_template_is_filled(template, values, path):
    assert filled(template, values, "i") == path
    assert columns_of(template) == list(values)


@pytest.mark.parametrize(
    "template",
    ["{run:06q}", "{run[a]}", "{run", "run}", "{}", "{run[]}", "{run:99999d}", "{run!r}", "{a[:2]:03d}", "{x:{y}}", "{[:3]}", "{:d}"],
)  # fmt: skip
def test_a_template_outside_the_grammar_is_refused_with_an_example(fails, template):
    with pytest.raises(BadTemplate, match=r"NAME:06d"):
        path_template.placeholders(template)


def test_code_is_a_name_and_nothing_else():
    assert columns_of("{run.__class__}") == ["run.__class__"]


@given(
    st.text("{}[]:<>0123456789dfs.abXY-!", max_size=20),
    st.one_of(st.integers(), st.floats(), st.text(max_size=5)),
)
@fuzz(200)
def test_any_template_is_filled_or_refused(template, value):
    with contextlib.suppress(BadTemplate):
        values = dict.fromkeys(columns_of(template), value)
        assert len(filled(template, values, "r")) < 20_000


def renamed(tiny, path: str) -> None:
    target = tiny.folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(tiny.folder / "images" / "t0_r.fits", target)


def test_a_tree_like_sdss_is_read(look, tiny):
    tiny.table["run"], tiny.table["field"] = np.int32(94), np.int16(131)
    tiny.write(2)
    renamed(tiny, "94/frame-r-000094-0131.fits")
    expected = everything(look(), 64)["stamp"]
    release = look(images={"path": "{run}/frame-{band}-{run:06d}-{field:04d}.fits"})
    assert everything(release, 64)["stamp"].equals(expected)


def test_a_tree_like_the_legacy_surveys_is_read(look, tiny):
    tiny.table["brickname"] = ["0001m002"] * 64
    tiny.write(2)
    renamed(tiny, "coadd/000/0001m002/legacysurvey-0001m002-image-r.fits")
    path = "coadd/{brickname[:3]}/{brickname}/legacysurvey-{brickname}-image-{band}.fits"
    expected = everything(look(), 64)["stamp"]
    assert everything(look(images={"path": path}), 64)["stamp"].equals(expected)


def test_a_number_that_is_text_is_found_beforehand(fails):
    fault = fails(images={"path": "{TILE:06d}.fits"})
    assert (fault.column, fault.problem) == ("TILE", "{TILE:06d} needs whole numbers, not string")
    assert "[survey.images] path" in fault.remedy


def test_a_piece_that_a_value_lacks_is_found_beforehand(fails):
    fault = fails(images={"path": "images/{TILE[7]}_{band}.fits"})
    assert "{TILE[7]} does not fit the value 't0'" in fault.problem


def test_a_column_that_is_not_there_is_named_without_its_format(fails):
    assert fails(images={"path": "{TILL[:1]}.fits"}).column == "TILL"


def test_an_asterisk_is_a_name_that_no_column_says(look, tiny):
    expected = everything(look(), 64)["stamp"]
    renamed(tiny, "images/EUC_t0-F20EA5_20241018T142710_r.fits")
    images = {"path": "im*s/EUC_{TILE}-*_{band}.fits", "mask": {"path": "im*s/M-{TILE}-*.fits"}}
    pixels = fits.getdata(tiny.folder / "images" / "t0_r.fits")
    fits.writeto(tiny.folder / "images" / "M-t0-7.fits", np.zeros(pixels.shape, np.uint8))
    release = look(images=images)
    assert everything(release, 64)["stamp"].equals(expected)
    assert {name.rsplit("/", 1)[-1] for name in release.images} == {
        "EUC_t0-F20EA5_20241018T142710_r.fits",
        "M-t0-7.fits",
    }


def test_an_asterisk_takes_any_of_two_files(fails, tiny):
    renamed(tiny, "images/t0_v1_r.fits")
    renamed(tiny, "images/t0_v2_r.fits")
    fault = fails(images={"path": "images/{TILE}_*_{band}.fits"})
    assert "2 files fit 'images/t0_*_r.fits', such as t0_v1_r.fits and t0_v2_r.fits" in fault.problem


def test_an_asterisk_without_a_file_is_silent(fails):
    fault = fails(images={"path": "images/{TILE}-*.fits"})
    assert fault.problem == "this image is missing"
    assert fault.file.endswith("images/t0-*.fits")


def test_a_value_is_a_pattern(fails, tiny):
    tiny.table["TILE"] = ["t?[0]*"] * 64
    tiny.write(2)
    renamed(tiny, "images/t1[0]23_r.fits")
    assert fails(images={"path": "im*s/{TILE}_{band}.fits"}).problem == "this image is missing"


def test_each_object_has_a_tile_of_its_own_for_digits_that_the_path_leaves_out(look, tiny):
    tiny.table["SEGMENTATION_MAP_ID"] = 102_018_211_000_000 + np.arange(64)
    tiny.write(2)
    renamed(tiny, "102018211/r.fits")
    expected = everything(look(), 64)["stamp"]
    images = {"path": "{SEGMENTATION_MAP_ID[:9]}/{band}.fits"}
    release = look(images=images)
    rows = release.shards[0].table.read(0, 32, ["SEGMENTATION_MAP_ID"])
    ((values, which),) = groups(rows, [images["path"]])
    assert (values, which.tolist()) == ({"SEGMENTATION_MAP_ID": 102_018_211_000_000}, list(range(32)))
    assert everything(release, 64)["stamp"].equals(expected)


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("{A}{B}", [[0], [1], [2], [3]]),
        ("{A[:2]}", [[0, 1, 3], [2]]),
        ("{A[:2]}{A[-1]}", [[0, 3], [1], [2]]),
        ("{A[2]}{band}", [[0, 3], [1, 2]]),
        ("{A[:2]}{A}", [[0, 3], [1], [2]]),
        ("{B[:1]}", [[0, 1, 2], [3]]),
        ("{F}", [[0, 1, 2, 3]]),
        ("{band}", [[0, 1, 2, 3]]),
    ],
)
def test_rows_are_grouped_by_what_their_images_do_not_say(template, found):
    rows = pa.table({"A": ["ab1", "ab2", "cd2", "ab1"], "B": [10, 11, 12, 20], "F": [0.5] * 4})
    assert [which.tolist() for _, which in groups(rows, [template])] == found
    if columns_of(template):
        assert one_of_each(rows, [template], []).num_rows == len(found)
        assert one_of_each(rows, [template], ["A", "B"]).num_rows == 4
    assert groups(rows.slice(0, 0), [template]) == []
