"""Whatever stands in the files of a run: a command says in one line what is wrong, and never ends in a traceback."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogs import madeof, parts, storage
from catalogs.errors import CorruptFile, Refused
from pipeline.config.file import parse
from pipeline.plan.make_plan import make_plan
from pipeline.rundir import arrays, group_labels
from pipeline.rundir.group_labels import Decision
from pipeline.rundir.run_directory import RunDirectory, differences, is_synthetic
from pipeline.rundir.status import slice_names, status
from pipeline.stages.object_classes import ObjectClasses
from tests.conftest import TinyRelease
from tests.fuzz import fuzz
from tests.survey.conftest import tuningfork

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)
QUICK = fuzz(60)


@pytest.fixture(scope="module")
def record(tmp_path_factory) -> dict[str, Any]:
    """A sound `run.json`."""
    tiny = TinyRelease(tmp_path_factory.mktemp("record") / "release")
    config = parse(tiny.config(), "survey.toml").model_dump(mode="json")
    shard = {"label": "s00.fits", "url": "/r/s00.fits", "rows": 64, "identity": "5@7"}
    return {
        "tuningfork": version("tuningfork"),
        "config": config,
        "source": "survey.toml",
        "fingerprints": dict.fromkeys(("encode", "reduce", "fit", "vote", "classify", "publish"), "f"),
        "shards": [shard],
        "folder": "/r",
        "images": {"t0_r.fits": "5@7"},
        "seen": {"values": 6, "weights": "w", "pixel_scale": 0.2},
        "like": {
            "run": "/other",
            "files": {"components": "c", "ensemble": "e", "classes": "n"},
            "config": {},
            "seen": {"values": 6, "weights": "w", "pixel_scale": 0.2},
        },
    }


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in nested values."""
    found = [path]
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            found += places(inner, (*path, key))
    return found


def with_value(values: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(values)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


@QUICK
@given(data=st.data())
def test_any_value_anywhere_in_run_json(tmp_path, record, data):
    path = data.draw(st.sampled_from(places(record)))
    other = with_value(record, path, data.draw(VALUES))
    run = RunDirectory(str(tmp_path))
    (tmp_path / "run.json").write_text(json.dumps(other))
    try:
        found = run.record()
        assert found is not None
        if sum(shard["rows"] for shard in found["shards"]) < 10**6:
            assert status(run.url).rows >= 0
            list(slice_names(found))
        is_synthetic(found)
        differences(found, record)
        run.check(record, remedy="again")
    except Refused as refused:
        told = [str(fault) for fault in refused.faults]
        if any("\n" in line for line in told):
            pytest.fail(f"more than a line: {told}")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"null", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}', b"9" * 5000]
)
def test_run_json_is_no_json(tmp_path, text):
    storage.write(f"{tmp_path}/run.json", text)
    with pytest.raises(Refused, match=r"run\.json: is damaged"):
        RunDirectory(str(tmp_path)).record()


def test_run_json_is_a_folder(tmp_path):
    (tmp_path / "run.json").mkdir()
    with pytest.raises(Refused, match="cannot be read"):
        RunDirectory(str(tmp_path)).record()


@QUICK
@given(data=st.data())
def test_any_value_anywhere_in_labels(tmp_path, data):
    sound = {
        "decisions": [asdict(Decision("me", "2026", "f", {"3": {"class": "SPH", "notes": None}}, "n", False))]
    }
    path = data.draw(st.sampled_from(places(sound)))
    run = RunDirectory(str(tmp_path))
    (tmp_path / "labels").mkdir(exist_ok=True)
    (tmp_path / "labels" / "labels.json").write_text(json.dumps(with_value(sound, path, data.draw(VALUES))))
    try:
        found = group_labels.read(run)
        group_labels.as_values(group_labels.in_force(found, "f"))
        assert isinstance(group_labels.notes(found, "f"), list)
    except Refused as refused:
        if "labels.json: is damaged" not in str(refused):
            pytest.fail(str(refused))


@QUICK
@given(data=st.binary(max_size=64), cut=st.integers(0, 2000))
def test_parts_and_models_that_are_cut_or_garbage(tmp_path, data, cut):
    import numpy as np

    folder = str(tmp_path)
    arrays.save(f"{folder}/whole.safetensors", {"a": np.arange(100)})
    whole = storage.read(f"{folder}/whole.safetensors")
    for text in (data, whole[:cut] if cut < len(whole) else b"", b"PAR1" + data + b"PAR1"):
        (tmp_path / "part.parquet").write_bytes(text)
        (tmp_path / "cut.safetensors").write_bytes(text)
        for read in (
            lambda: parts.receipt(folder, "part"),
            lambda: madeof.read(parts.url(folder, "part")),
            lambda: parts.read(folder, "part"),
            lambda: arrays.load(f"{folder}/cut.safetensors"),
            lambda: ObjectClasses.read(f"{folder}/cut.safetensors"),
        ):
            with pytest.raises(CorruptFile):
                read()


@pytest.mark.parametrize(
    "out", ["{}/file", "{}/file/below", "foo://x", "{}/" + 300 * "n", "zip://x::{}/file"]
)
def test_out_that_can_be_no_folder(tiny, tmp_path, out):
    (tmp_path / "file").write_text("")
    url = out.format(tmp_path)

    def look() -> None:
        made = make_plan(parse(tiny.config(), "s.toml"), str(tiny.folder), "s.toml", url)
        made.run.check(made.record, remedy="")

    with pytest.raises(Refused, match="Choose another --out") as refused:
        look()
    (fault,) = refused.value.faults
    assert fault.file == url


def test_out_that_is_no_text():
    done = tuningfork("plan", "survey.toml", "--out", "bad\udcff")
    assert done.returncode == 2, done.stderr
    assert "argument 4, value bad\\udcff: is no text in UTF-8" in done.stdout
    assert "Traceback" not in done.stderr
