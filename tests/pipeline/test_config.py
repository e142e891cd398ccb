"""A config that can't be meant is refused with its dotted key, its value and what to do; nothing else is raised."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from catalogs.errors import Fault, Refused
from pipeline.config.check import PATTERNS
from pipeline.config.file import Config, load, parse
from tests.fuzz import fuzz

VALID: dict[str, Any] = {
    "survey": {
        "name": "tiny",
        "catalogs": "catalogs/*.fits",
        "id": "NUMBER",
        "ra": "RA",
        "dec": "DEC",
        "where": "MAG < 24",
        "keep": ["MAG"],
        "images": {"layout": "tiles", "path": "images/{TILE}_{band}.fits", "bands": ["r", "z"], "size": 32},
    },
    "run": {"slice_rows": 16},
    "denoise": {"checkpoint": "bundled"},
    "encode": {"model": "timm:test_convnext", "input": 32, "precision": "float32"},
    "reduce": {"components": 8},
    "fit": {"groups": 4, "bags": 2},
    "vote": {"rule": "unanimous"},
    "publish": {"embeddings": False},
}


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    """The valid config with some dotted keys set; `...` deletes one."""
    values = copy.deepcopy(VALID)
    for key, value in changes.items():
        *tables, name = key.split(".")
        table = values
        for part in tables:
            table = table[part]
        if value is ...:
            del table[name]
        else:
            table[name] = value
    return values


def fault_of(changes: dict[str, Any]) -> Fault:
    with pytest.raises(Refused) as refused:
        parse(changed(changes), "survey.toml")
    (fault,) = refused.value.faults
    assert fault.file == "survey.toml"
    assert "docs/config.md" in fault.remedy
    assert str(fault).startswith(f"survey.toml, key {fault.key}" if fault.key else "survey.toml")
    return fault


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("bogus", None),
        ("survey.catalog", "catalogs"),
        ("survey.images.pixelscale", "pixel_scale"),
        ("fit.group", "groups"),
        ("denoise.chekpoint", "checkpoint"),
        ("surveys", "survey"),
        ("encode.zzz", None),
    ],
)
def test_unknown_key_is_named_with_the_nearest_there_is(key, near):
    fault = fault_of({key: 1})
    assert (fault.key, fault.value, fault.problem) == (key, "1", "unknown key")
    assert ("Did you mean" in fault.remedy) == (near is not None)
    assert (near or "") in fault.remedy


@pytest.mark.parametrize(
    "key",
    [
        "survey",
        "survey.id",
        "survey.catalogs",
        "survey.images",
        "survey.images.bands",
        "survey.images.layout",
    ],
)
def test_missing_key_is_named(key):
    fault = fault_of({key: ...})
    assert (fault.key, fault.problem) == (key, "this key is missing")


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("survey", 3, "must be a table"),
        ("survey.id", 5, "must be a text"),
        ("survey.catalogs", [], "names no file"),
        ("survey.catalogs", "", "names no file"),
        ("survey.catalogs", 5, "must be a text or a list"),
        ("survey.keep", "MAG", "must be a list"),
        ("survey.hdu", 1.5, "must be a whole number or a text"),
        ("survey.name", "two words", "without spaces"),
        ("survey.images.size", "32", "must be a whole number"),
        ("survey.images.size", 4, "greater than or equal to 8"),
        ("survey.images.size", True, "must be a whole number"),
        ("survey.images.bands", [], "at least 1 item"),
        ("survey.images.bands", ["r", "r"], "named twice"),
        ("survey.images.layout", "mosaic", "'tiles', 'column', 'extensions' or 'struct'"),
        ("survey.images.pixel_scale", math.nan, "finite"),
        ("survey.images.pixel_scale", 0.0, "greater than 0"),
        ("survey.images.pixel_scale", "arcsec", "'wcs' or 'unknown'"),
        ("run.slice_rows", 0, "greater than or equal to 1"),
        ("run.object_store_gib", math.inf, "finite"),
        ("encode.turns", 3, "1, 2 or 4"),
        ("encode.model", "convnext_atto", "timm:"),
        ("reduce.components", 0, "greater than or equal to 1"),
        ("reduce.components", "most", "must be a whole number or a number"),
        ("fit.groups", 1, "greater than or equal to 2"),
        ("vote.threshold", math.nan, "finite"),
        ("vote.threshold", 1.01, "less than or equal to 1"),
        ("vote.rule", "plurality", "'branches', 'confidence', 'agreement' or 'unanimous'"),
        ("vote.keep", 0.0, "greater than 0"),
        ("publish.embeddings", "yes", "must be true or false"),
        ("denoise", True, "must be a table"),
    ],
)
def test_wrong_value_is_shown_with_what_is_allowed(key, value, told):
    fault = fault_of({key: value})
    assert fault.key == key
    assert fault.value == repr(value)
    assert told in fault.problem
    assert "Input should" not in fault.problem


def test_wrong_entry_of_a_list_is_the_one_that_is_named():
    assert fault_of({"survey.catalogs": ["a.fits", 3]}).key == "survey.catalogs.1"
    assert fault_of({"fit.families": ["ward", "dbscan"]}).key == "fit.families.1"


@pytest.mark.parametrize(
    ("changes", "key", "told"),
    [
        ({"survey.dec": ...}, "survey", "ra and dec come together"),
        ({"survey.ra": ..., "survey.dec": ...}, "survey", 'position = "pixel"'),
        ({"survey.images.position": "pixel"}, "survey.images", "pixel_scale is missing"),
        (
            {"survey.images.layout": "column", "survey.images.column": "S"},
            "survey.images",
            "pixel_scale is missing",
        ),
        ({"survey.images.layout": "column"}, "survey.images", 'needs column = "…"'),
        ({"survey.images.layout": "extensions"}, "survey.images", 'needs hdu_column = "…"'),
        ({"survey.images.path": "t.fits"}, "survey.images", "has no {band}"),
        ({"survey.images.path": ...}, "survey.images", 'needs path = "…"'),
        ({"encode.input": 33}, "encode", "even number"),
        ({"encode.input": 66, "encode.turns": 4}, "encode", "divisible by turns = 4"),
        ({"fit.resample": "none"}, "fit", "use bags = 1"),
        ({"fit.families": []}, "fit", "at least one"),
        ({"vote.keep": 0.5}, "vote", "takes no keep"),
        ({"vote.rule": "branches", "vote.keep": 0.5, "vote.threshold": 0.9}, "vote", "give one of them"),
    ],
)
def test_keys_that_do_not_go_together(changes, key, told):
    fault = fault_of(changes)
    assert fault.key == key
    assert told in fault.problem


def test_missing_pixel_scale_names_every_choice_that_is_allowed():
    told = fault_of({"survey.images.position": "pixel"}).problem
    assert '"wcs"' in told
    assert '"unknown"' in told
    told = fault_of({"survey.images.layout": "column", "survey.images.column": "S"}).problem
    assert '"unknown"' in told
    assert "wcs" not in told  # which has no tiles to read it from


def texts_of(model: type[BaseModel]) -> list[str]:
    found = [m["pattern"] for m in models(model.model_json_schema()) if "pattern" in m]
    assert len(found) > 4
    return found


def models(schema: Any) -> list[dict[str, Any]]:
    inner = list(schema.values()) if isinstance(schema, dict) else schema if isinstance(schema, list) else []
    own = [schema] if isinstance(schema, dict) else []
    return own + [found for part in inner for found in models(part)]


def test_no_regular_expression_is_shown_to_people():
    assert set(texts_of(Config)) <= set(PATTERNS)


@pytest.mark.parametrize(
    ("changes", "key", "told"),
    [
        (
            {"measure": {"psf": "psf/{TILE_{band}.fits"}},
            "measure.psf",
            "has a brace without its other half",
        ),
        ({"measure": {"psf": "{TILE:x}.fits"}}, "measure.psf", "{TILE:x} is no placeholder"),
        ({"measure": {"psf": "a.fits", "fwhm": "SEEING"}}, "measure", "give one of them"),
        ({"measure": {"fwhm": -1.0}}, "measure.fwhm", "greater than 0"),
        (
            {
                "train": {
                    "labels": {"ordinals": [{"columns": ["A"], "low": "{col}_lo", "high": "{column}_hi"}]}
                }
            },
            "train.labels.ordinals.0",
            "{col} is not filled in",
        ),
    ],
)
def test_placeholder_that_nothing_is_put_in_place_of(changes, key, told):
    fault = fault_of(changes)
    assert fault.key == key
    assert told in fault.problem


def test_everything_that_is_wrong_is_listed_at_once():
    with pytest.raises(Refused) as refused:
        parse(changed({"survey.id": ..., "fit.groups": 1, "bogus": 1}), "survey.toml")
    assert [f.key for f in refused.value.faults] == ["bogus", "fit.groups", "survey.id"]


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"[survey\n", "is no TOML"), (b"\xff\xfe", "is no TOML"), (b"a = 1\na = 2\n", "is no TOML")],
)
def test_file_that_is_no_toml(tmp_path, content, told):
    path = tmp_path / "survey.toml"
    path.write_bytes(content)
    with pytest.raises(Refused, match=told) as refused:
        load(path)
    assert refused.value.faults[0].file == str(path)


@pytest.mark.parametrize("name", ["absent.toml", "."])
def test_file_that_cannot_be_read(tmp_path, name):
    with pytest.raises(Refused, match="cannot be read"):
        load(tmp_path / name)


def test_whole_numbers_do_for_floats():
    config = parse(changed({"survey.images.pixel_scale": 1, "vote.threshold": 1}), "survey.toml")
    assert config.survey.images.pixel_scale == 1.0
    assert isinstance(config.survey.images.pixel_scale, float)


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.sampled_from(["tiles", "column", "extensions", "wcs", "unknown", "pixel", "r", "{band}", "ward"]),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def parsed_or_refused(values: Any) -> None:
    try:
        config = parse(values, "survey.toml")
    except Refused as refused:
        faults = refused.faults
        text = str(refused)
    else:
        faults, text = [], ""
        assert parse(config.model_dump(mode="json", exclude_none=True), "again") == config
    assert all(fault.problem and fault.remedy for fault in faults)
    assert len({fault.key for fault in faults}) == len(faults), text
    assert text.count("\n") + 1 == max(len(faults), 1), text


def keys_of(table: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for key, value in table.items():
        found.append((*prefix, key))
        if isinstance(value, dict):
            found += keys_of(value, (*prefix, key))
    return found


ALL_KEYS = keys_of(parse(VALID, "survey.toml").model_dump())


@given(values=st.dictionaries(st.sampled_from([*Config.model_fields, "x"]), TREES))
@fuzz(100)
def test_any_nesting_of_tables_is_parsed_or_refused(values):
    parsed_or_refused(values)


@given(data=st.data())
@fuzz(200)
def test_any_change_to_a_valid_config_is_parsed_or_refused(data):
    values = copy.deepcopy(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        *tables, name = data.draw(st.sampled_from(ALL_KEYS))
        table = values
        for part in tables:
            table = table.get(part) if isinstance(table, dict) else None
        if isinstance(table, dict):
            if data.draw(st.booleans()):
                table[name] = data.draw(TREES)
            else:
                table.pop(name, None)
                table.setdefault(data.draw(st.sampled_from([name, "other"])), data.draw(LEAVES))
    parsed_or_refused(values)


@pytest.mark.parametrize(
    ("changes", "rows"),
    [
        ({}, 1024),
        ({"survey.images.size": 424}, 186),
        ({"survey.images.size": 424, "survey.images.weight": {"path": "w_{band}.fits", "kind": "rms"}}, 93),
        ({"survey.images.extent": "R50", "survey.images.extent_limit": 1024}, 32),
        ({"survey.images.size": 424, "run": {"slice_rows": 1000}}, 1000),
    ],
)
def test_slices_of_large_stamps_are_as_long_as_others_unless_somebody_says_so(changes, rows):
    values = changed({"run": {}, **changes})
    assert parse(values, "survey.toml").run.slice_rows == rows
