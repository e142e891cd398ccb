"""Whatever stands in a config, it is planned or refused with complete faults: no value of any key ends in a traceback."""

from __future__ import annotations

import copy
import json
import os
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from typer.testing import CliRunner

from actors.measurer import Measurer
from catalogs.errors import Fault, Refused
from pipeline.cli.main import app
from pipeline.config.file import Config, load, parse
from pipeline.plan.make_plan import make_plan
from pipeline.plan.plan import as_dict
from tests.conftest import TinyRelease
from tests.fuzz import fuzz

HUGE = 10**400
NUMBERS = st.one_of(
    st.sampled_from([0, -1, 1, 2, 3, 7, 20, 1024, 2**31, 2**63 - 1, 2**63, -(2**63), HUGE]),
    st.sampled_from([0.0, -0.0, 0.5, 1.0, 1e-320, 1e308, -1e308, float("inf"), float("nan")]),
    st.integers(-3, 70),
    st.floats(),
)
TEXTS = st.one_of(
    st.sampled_from(["", " ", ".", "..", "/", "~", "\n", "\x00", "é", "\U0001f30c", "a" * 5000, "{", "}", "{band}", "{TILE}", "{}"]),
    st.sampled_from(["*", "[", "?", "**/*", "[!", "http://127.0.0.1:1/x", "s3://", "nosuch://a/b", "file://", "://", "a::b", "zip://x::y"]),
    st.sampled_from(["NUMBER", "RA", "DEC", "MAG", "TILE", "X_IMAGE", "mag", "MAG as ", "MAG as x", "r", "wcs", "unknown"]),
    st.sampled_from(["MAG > 1", "MAG >", "'", '"', "1; DROP", "MAG IN (SELECT 1)", "sqrt(-1) > MAG", "1", "NULL", "MAG/0 > 1"]),
    st.sampled_from(["auto", "bundled", "pretrained", "untrained", "efigi", "catalogs/s00.fits", "images/t0_r.fits", "catalogs", "survey.toml"]),
    st.sampled_from(["timm:", "timm:test_convnext", "timm:test_vit", "timm:../x", "galaxy-atto", "timm:\x00"]),
    st.text(max_size=6),
)  # fmt: skip
LEAVES = st.one_of(NUMBERS, TEXTS, st.booleans(), st.dates(), st.times())
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)
GONE = object()

MEANT: dict[str, list[Any]] = {
    "survey.images.layout": ["tiles", "column", "extensions"],
    "survey.images.position": ["sky", "pixel"],
    "survey.images.pixel_scale": [0.2, "wcs", "unknown", 1e-30, 1e300],
    "survey.images.column": ["MAG", "TILE", "RA", "STAMP"],
    "survey.images.hdu_column": ["NUMBER", "MAG", "TILE"],
    "survey.images.hdu": [0, 1, "", -1, "SCI"],
    "survey.images.bands": [["r"], ["r", "r"], ["r", "z"], ["*"], ["\n"], [""], ["../r"]],
    "survey.images.size": [8, 33, 64, 1024],
    "survey.images.extent": ["2 * MAG", "1e308", "NULL", "-MAG", "TILE", "MAG > 1", "nope", "2 *", "", "MAG / 0", "40"],
    "survey.images.extent_unit": ["arcsec"],
    "survey.images.extent_limit": [8, 33, 1024],
    "survey.images.extent_window": [1.0, 8.0],
    "survey.images.mask": [{"hdu": 0}, {"hdu": "DQ"}, {"path": "images/t0_{band}.fits"}, {"path": "images/{MAG:06d}.fits"}, {"hdu": 0, "bits": [63]}, {"hdu": 0, "bits": ["CR", 1]}, {}],
    "survey.images.weight": [{"hdu": 0, "kind": "rms"}, {"hdu": 0}, {"path": "images/t0_{band}.fits", "kind": "variance"}, {"column": "MAG", "kind": "rms"}, {"hdu_column": "NUMBER", "kind": "inverse-variance", "photons": True}, {}],
    "encode.neighbours": ["fill", "keep", "drop"],
    "survey.hdu": [0, 1, 2, -1, "X"],
    "survey.keep": [["MAG"], ["MAG", "mag"], ["MAG as ra"], ["TILE", "RA as where"], ["NUMBER"], ['MAG as "'], [""]],
    "survey.catalogs": [["catalogs/*.fits", "catalogs/s00.fits"], "catalogs/", ["images/t0_r.fits"]],
    "encode.model": ["galaxy-atto", "timm:test_convnext", "timm:resnet0"],
    "encode.served_by": ["tritonserver"],
    "encode.endpoints": [["grpc://127.0.0.1:1"], ["grpc://:1"], ["grpc://a b:1"], ["grpc://127.0.0.1:99999"]],
    "encode.input": [16, 17, 64],
    "encode.gpus": [1, 0.5, 1e300],
    "denoise": [{}, {"checkpoint": "bundled"}],
    "measure.quantities": [[], ["shape"], ["sersic"], ["gini", "cas", "mid", "sersic"]],
    "measure.psf": ["images/t0_{band}.fits", "images/t0_r.fits", "{TILE}.fits"],
    "measure.fwhm": [0.5, 1e-320, 1e308, "MAG", "TILE", "SEEING"],
    "measure.gain": [1e-320, 1e308],
    "measure.band": ["r", "R", ""],
    "reduce.components": [1, 0.5, 64, 65, 1e-300],
    "fit.groups": [2, 5, 63, 1000],
    "fit.resample": ["none", "hash"],
    "fit.bags": [1, 8, 1000],
    "fit.bag_rows": [10, 64, 2**62],
    "fit.pilot_rows": [10, 64, 2**62],
    "run.slice_rows": [1, 17, 1_000_000],
    "augment.balance": [True],
    "augment.model": ["efigi", "nobody.safetensors"],
    "classes.by": ["rules", "column"],
    "classes.rules": [[{"class": "A", "when": "MAG > 1"}], [{"class": "A", "when": "nope > 1"}], [{"class": "1", "when": "'"}]],
    "classes.column": ["MAG", "TILE", "RA", "mag", ""],
    "classes.edges": [[1.0, 2.0], [2.0, 1.0], [20.2]],
    "classes.names": [["A", "B"], {"t0": "A"}, {"": "A"}, ["A", "A", "B"]],
    "validate.columns": [{"log_mass": "MAG"}, {"nope": "MAG"}],
    "validate.set": [{"ordering": {"least": 100}}, {"ordering": {"least": "x"}}, {"nope": {}}],
    "validate.required": [["ordering"], ["ordering/gini"], ["ordering/"], ["/"]],
    "train.labels": [{"ordinals": [{"columns": ["MAG"]}]}, {"classes": ["TILE"]}, {"nope": 1}],
    "train.teacher": [{"model": "timm:resnet18"}, {"model": "x"}],
}  # fmt: skip
"""Values that are of the right kind, and don't always go together."""


@cache
def all_keys() -> list[str]:
    """Every key of a config, dotted."""

    def keys(model: type[BaseModel], before: str) -> list[str]:
        found = []
        for name, field in model.model_fields.items():
            key = f"{before}.{field.alias or name}".lstrip(".")
            kinds = [field.annotation, *get_args(field.annotation)]
            inner = next((k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)), None)
            found += [key, *(keys(inner, key) if inner is not None else [])]
        return found

    return keys(Config, "")


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> TinyRelease:
    return TinyRelease(tmp_path_factory.mktemp("fuzz") / "release")


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """Some keys and their new values."""
    known = st.sampled_from(sorted(MEANT)).flatmap(
        lambda key: st.tuples(st.just(key), st.sampled_from(MEANT[key]))
    )
    wild = st.tuples(st.sampled_from(all_keys()), st.one_of(VALUES, st.just(GONE)))
    other = st.tuples(st.sampled_from(["bogus", "survey.images.bogus", "fit.\n", "x y"]), VALUES)
    return dict(draw(st.lists(st.one_of(known, known, wild, other), min_size=1, max_size=4)))


def changed(values: dict[str, Any], to: dict[str, Any]) -> dict[str, Any]:
    values = copy.deepcopy(values)
    for key, value in to.items():
        *tables, name = key.split(".")
        table: Any = values
        for part in tables:
            table = table.setdefault(part, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):
            if value is GONE:
                table.pop(name, None)
            else:
                table[name] = value
    return values


def planned_or_refused(release: TinyRelease, to: dict[str, Any]) -> None:
    values = changed(release.config(), to)
    folder, faults = str(release.folder), list[Fault]()
    try:
        config = parse(values, "survey.toml")
        plan = make_plan(config, folder, "survey.toml", str(release.folder.parent / "run"))
    except Refused as refused:
        plan, faults = None, refused.faults
    assert (plan is None) == bool(faults)
    for fault in faults:
        assert fault.file
        assert fault.problem
        assert fault.remedy
        assert "\n" not in str(fault)
    if plan is not None:
        json.loads(json.dumps(as_dict(plan), allow_nan=False))
        assert plan.slice_bytes > 0
        assert len(plan.schema) > 0
        if plan.measurer_options is not None:
            Measurer(**plan.measurer_options)


@given(to=changes())
@fuzz(15)
def test_any_config_is_planned_or_refused(release, to):
    planned_or_refused(release, to)


@pytest.mark.parametrize("key", sorted(MEANT))
@pytest.mark.slow
def test_every_value_that_is_of_the_right_kind(release, key):
    for value in MEANT[key]:
        planned_or_refused(release, {key: value})


@given(
    content=st.one_of(
        st.binary(max_size=40), st.text(max_size=40).map(lambda t: t.encode("utf-8", "replace"))
    )
)
@fuzz(60)
def test_any_bytes_as_a_config(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "survey.toml"
    path.write_bytes(content)
    with pytest.raises(Refused):
        load(path)


@pytest.mark.parametrize("key", all_keys())
def test_numbers_without_end_are_refused_or_mean_something(release, key):
    for number in (HUGE, -HUGE, 2**63, 1e308):
        planned_or_refused(release, {key: number})


@pytest.mark.parametrize("kind", ["a folder", "nothing", "a pipe", "a device", "unreadable"])
def test_config_that_is_no_file_that_can_be_read(tmp_path, kind):
    path = tmp_path / "survey.toml"
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a device":
        path = Path("/dev/zero")
    elif kind == "unreadable":
        path.write_text("x = 1")
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("this user may read everything")
    for command in (["plan"], ["plan", "--offline"], ["plan", "--json"]):
        done = CliRunner().invoke(app, [*command, str(path)])
        assert isinstance(done.exception, Refused)
        assert "cannot be read" in str(done.exception)


@pytest.mark.parametrize(
    "content", ["a = " + "[" * 5000, "a" + ".a" * 5000 + " = 1", "a = " + "{b = " * 5000]
)
def test_config_that_is_nested_without_end(tmp_path, content):
    path = tmp_path / "survey.toml"
    path.write_text(content)
    with pytest.raises(Refused, match="nested too deeply"):
        load(path)


def test_file_that_is_too_large_to_be_a_config(tmp_path):
    path = tmp_path / "survey.toml"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(Refused, match="larger than 16 MiB"):
        load(path)
