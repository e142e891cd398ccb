"""The trees of SDSS, the Legacy Surveys and HSC can be named, and a template that can't be filled is found beforehand."""

from __future__ import annotations

import contextlib
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogs import path_template
from catalogs.path_template import BadTemplate, columns_of, filled
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
