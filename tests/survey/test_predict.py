"""Predictors answer for every object of a run exactly once, and refuse objects that they were not taught on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from catalogs.errors import Refused
from kernels.heads.predictor import NETWORK, Predictor
from kernels.nets.weights import bundled
from pipeline import flow
from pipeline.config.file import parse
from pipeline.plan.make_plan import make_plan
from pipeline.results.predict import predict
from pipeline.training.from_run import learn_from_run
from tests.conftest import TinyRelease
from tests.survey.conftest import Runner, files_of, objects_of, write_toml

TREE = """
name = "blobs"
[[questions]]
name = "wide"
answers = ["yes", "no"]
[[questions]]
name = "flat"
asked = "wide.yes"
answers = ["very", "not"]
"""
LABELS = {
    "classes": ["SHAPE"],
    "conditions": {"big": "WIDTH > 3.5"},
    "ordinals": [{"columns": ["ORDER"]}],
    "values": [{"columns": ["WIDTH"], "transform": "log"}],
    "trees": [{"tree": "tree.toml"}],
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A tiny release with labels of every kind and an object that can't be used, a run of it, and a predictor that learned from that."""
    base = tmp_path_factory.mktemp("predicted")
    tiny = TinyRelease(base / "release")
    k = np.arange(64)
    tiny.table["SHAPE"] = np.array(["round", "flat", "flatter"])[k % 3]
    tiny.table["WIDTH"], tiny.table["ORDER"] = 2.0 + 3.0 * (k % 5) / 4, k % 5
    wide = np.where(k % 5 > 2, 30.0, 10.0)
    tiny.table["wide_yes"], tiny.table["wide_no"] = wide, 40 - wide
    tiny.table["flat_very"], tiny.table["flat_not"] = wide * (k % 3) / 2, wide * (1 - (k % 3) / 2)
    tiny.table["RA"][3] = np.nan
    tiny.write(2)
    (tiny.folder / "tree.toml").write_text(TREE)
    values = tiny.config(
        classes={"by": "rules", "rules": [{"class": "blob", "when": "true"}]}, encode={"model": "galaxy-atto"}
    )
    config = write_toml(values, tiny.folder / "survey.toml")
    Runner()(values, tiny.folder, base / "run")
    labels = write_toml(tiny.config(train={"labels": LABELS}), tiny.folder / "labels.toml")
    learn_from_run(labels, str(base / "run"), str(base / "taught"))
    return tiny, values, config, base / "run", base / "taught" / "predictor.safetensors"


@pytest.fixture
def again(ended, tmp_path):
    """The same with a copy of the run to change, and of the predictor."""
    tiny, values, config, run, file = ended
    shutil.copytree(run, tmp_path / "run")
    shutil.copy(file, tmp_path / "blobs.safetensors")
    return tiny, values, config, tmp_path / "run", tmp_path / "blobs.safetensors"


def test_object_is_left_without_an_answer_or_gets_another_ones(again):
    _, _, config, run, file = again
    before = objects_of(run)
    predict(str(run), [str(file)], config=config)
    objects = objects_of(run)
    assert objects.drop_columns(objects.column_names[len(before.column_names) :]).equals(before)
    rows = {row["object_id"]: row for row in objects.to_pylist()}
    predictor = Predictor.from_bytes(file.read_bytes(), "blobs")
    names = [column.name for column in predictor.columns("blobs")]
    assert names == objects.column_names[len(before.column_names) :]
    assert {rows[4][name] for name in names} == {None}
    right = [rows[i]["shape_predicted"] == ("round", "flat", "flatter")[(i - 1) % 3] for i in rows if i != 4]
    assert np.mean(right) > 0.8
    assert all(
        abs(sum(r[f"shape_{a}"] for a in ("round", "flat", "flatter")) - 1) < 1e-5
        for i, r in rows.items()
        if i != 4
    )
    assert all(
        r["width_predicted_lo"] < r["width_predicted"] < r["width_predicted_hi"]
        for i, r in rows.items()
        if i != 4
    )
    (published, *_) = (run / "catalog").rglob("Npix=*.parquet")
    assert pq.read_schema(published).field("big_yes").metadata[b"ucd"] == b"stat.probability"


def test_question_that_nobody_is_asked_has_fractions(again):
    *_, file = again
    predictor = Predictor.from_bytes(file.read_bytes(), "blobs")
    outputs, start = np.zeros((2, sum(each.head.width for each in predictor.heads))), 0
    for each in predictor.heads:
        if each.head.name == "wide":
            outputs[:, start : start + 2] = [[5.0, 0.0], [-5.0, 5.0]]
        start += each.head.width
    found = _answers_of(predictor, outputs)
    assert np.ma.getmaskarray(found["flat_very"]).tolist() == [False, True]
    assert not np.ma.getmaskarray(found["wide_yes"]).any()
    np.testing.assert_allclose(found["flat_applies"], found["wide_yes"], rtol=1e-6)


def _answers_of(predictor: Predictor, outputs):
    from kernels.heads.columns import values_of

    edges = np.cumsum([0, *(each.head.width for each in predictor.heads)])
    each = [
        (h.head, outputs[:, a:b], h.calibration)
        for h, a, b in zip(predictor.heads, edges, edges[1:], strict=False)
    ]
    return values_of(each, np.zeros(len(outputs), np.float32), "blobs")


def test_prediction_that_was_cut_short_gives_other_bytes(again):
    _, values, config, run, file = again
    predict(str(run), [str(file)], config=config)
    before = files_of(run)
    (folder,) = (run / "predictions").iterdir()
    parts = sorted(folder.iterdir())
    kept = parts[0].read_bytes()
    parts[-1].unlink()
    (run / "published.json").unlink()
    Runner()(values, config.parent, run)
    assert files_of(run) == before
    assert parts[0].read_bytes() == kept


def test_network_of_its_own_answers_otherwise_than_the_same_one_of_the_run(again):
    from safetensors.numpy import load

    _, _, config, run, file = again
    predictor = Predictor.from_bytes(file.read_bytes(), "blobs")
    own = run.parent / "own.safetensors"
    own.write_bytes(predictor.to_bytes(load(bundled("galaxy-atto").read_bytes())))
    predict(str(run), [str(file)], config=config)
    before = objects_of(run)
    predict(str(run), [str(own)], forget=["blobs"], config=config)
    objects = objects_of(run)
    assert "blobs_outside" not in objects.column_names
    for column in predictor.columns("own"):
        of_embeddings = (
            column.name.replace("own_", "blobs_", 1) if column.name.startswith("own_") else column.name
        )
        assert objects[column.name].equals(before[of_embeddings]), column.name
    assert NETWORK in own.read_bytes().decode("latin-1")


def test_predictor_of_a_config_is_forgotten_or_doubled(again):
    tiny, values, _, run, file = again
    named = {**values, "predict": {"with": [str(file)]}}
    Runner()(named, tiny.folder, run)
    assert "blobs_outside" in objects_of(run).column_names
    other = shutil.copy(file, file.with_name("others.safetensors"))
    with pytest.raises(Refused, match="'shape_predicted', which the predictor blobs has"):
        Runner()({**values, "predict": {"with": [str(file), str(other)]}}, tiny.folder, run)
    Runner()(values, tiny.folder, run)
    assert "blobs_outside" not in objects_of(run).column_names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encode": {"turns": 2}}, "turns = 1, here 2"),
        ({"encode": {"stretch": "linear"}}, "stretch = 'asinh', here 'linear'"),
        ({"survey": {"images": {"bands": ["g"]}}}, r"bands \['r'\], and the release has \['g'\]"),
    ],
)
def test_predictor_of_other_codes_answers(again, change, message):
    tiny, values, _, run, file = again
    if "survey" in change:
        other = TinyRelease(run.parent / "other", bands=("g",))
        values = {**other.config(encode={"model": "galaxy-atto"}), "predict": {"with": [str(file)]}}
        folder = other.folder
    else:
        values, folder = (
            {**values, "encode": {**values["encode"], **change["encode"]}, "predict": {"with": [str(file)]}},
            tiny.folder,
        )
    with pytest.raises(Refused, match=message):
        Runner().plan(values, folder, run.parent / "new")


def test_file_that_is_no_predictor_ends_in_a_traceback(again):
    _, _, config, run, _ = again
    for name, data, message in (
        ("absent", None, "No such file"),
        ("text", b"hello", "damaged or no predictor"),
        ("weights", bundled("denoiser").read_bytes(), "holds no predictor"),
    ):
        path = run.parent / f"{name}.safetensors"
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(Refused, match=message):
            predict(str(run), [str(path)], config=config)
    with pytest.raises(Refused, match="has no predictor 'never'"):
        predict(str(run), [], forget=["never"], config=config)


def labelled(names: list[str], tmp_path: Path) -> Path:
    """A config whose release has these class names for its first objects, and none for the others."""
    other = TinyRelease(tmp_path / "labelled")
    other.table["KIND"] = np.array([*names, *[""] * (64 - len(names))], dtype="S8")
    other.write(1)
    return write_toml(other.config(train={"labels": {"classes": ["KIND"]}}), other.folder / "labels.toml")


def test_few_labels_end_in_a_traceback(again, tmp_path):
    *_, run, _ = again
    ten = labelled(["round", "flat", "flatter"] * 3 + ["round"], tmp_path / "ten")
    learn_from_run(ten, str(run), str(tmp_path / "few"))
    found = Predictor.from_bytes((tmp_path / "few" / "predictor.safetensors").read_bytes(), "few")
    assert found.heads[0].scores.objects == 9  # of ten labelled ones, one has no embedding
    two = labelled(["round", "flat"], tmp_path / "two")
    with pytest.raises(Refused, match="too few labels \\(1 flat, 1 round\\)"):
        learn_from_run(two, str(run), str(tmp_path / "fewer"))


def test_two_answers_share_a_column(again, tmp_path):
    *_, run, _ = again
    labels = labelled(["E/S0", "E-S0"] * 5, tmp_path / "alike")
    with pytest.raises(Refused, match="share the column 'kind_e_s0': 'E-S0', 'E/S0'"):
        learn_from_run(labels, str(run), str(tmp_path / "out"))


def test_labels_of_other_objects_or_doubled_ones_are_taken(again, tmp_path):
    tiny, _, _, run, _ = again
    other = TinyRelease(tmp_path / "other")
    other.table["KIND"] = np.array(["a", "b"] * 32)
    other.table["NUMBER"] += 1000
    other.write(1)
    labels = write_toml(other.config(train={"labels": {"classes": ["KIND"]}}), other.folder / "labels.toml")
    with pytest.raises(Refused, match="none of its 64 labelled objects has an embedding"):
        learn_from_run(labels, str(run), str(tmp_path / "out"))
    other.table["NUMBER"][1] = other.table["NUMBER"][0]
    other.write(1)
    with pytest.raises(Refused, match="'NUMBER', value 1001: occurs twice"):
        learn_from_run(labels, str(run), str(tmp_path / "out"))
    unlabelled = write_toml(tiny.config(), tmp_path / "labelled.toml")
    with pytest.raises(Refused, match="names no labels"):
        learn_from_run(unlabelled, str(run), str(tmp_path / "out"))


def test_same_labels_teach_something_else(ended, tmp_path):
    tiny, _, _, run, file = ended
    learn_from_run(tiny.folder / "labels.toml", str(run), str(tmp_path / "taught"))
    assert (tmp_path / "taught" / "predictor.safetensors").read_bytes() == file.read_bytes()
    with pytest.raises(Refused, match="holds a predictor already"):
        learn_from_run(tiny.folder / "labels.toml", str(run), str(tmp_path / "taught"))
    assert {p.name for p in file.parent.iterdir()} == {
        "predictor.safetensors",
        "scores.csv",
        "reliability.png",
        "predictor.md",
    }


def test_leftovers_of_the_vote_are_finished_by_guesses_that_look_like_votes(ended, tmp_path):
    tiny, values, *_ = ended
    rules = [{"class": "wide", "when": "r50 > 0.8"}, {"class": "narrow", "when": "true"}]
    classes = {"by": "rules", "rules": rules, "finish": True}
    asked = {
        **values,
        "classes": classes,
        "vote": {"rule": "classes", "keep": 0.5},
        "measure": {"quantities": ["cas"]},
    }
    Runner()(asked, tiny.folder, tmp_path / "run")
    rows = objects_of(tmp_path / "run").to_pylist()
    for row in rows:
        voted = row["class"] not in (None, "UNC")
        assert (row["finished_probability"] is None) == (voted or row["group"] is None)
        assert row["finished_class"] == (row["class"] if voted else row["finished_class"])
        assert (row["finished_class"] is None) == (row["group"] is None)
    assert {row["finished_class"] for row in rows} == {"wide", "narrow", None}
    alone = {
        **asked,
        "classes": {"by": "rules", "rules": [{"class": "blob", "when": "true"}], "finish": True},
    }
    Runner()(alone, tiny.folder, tmp_path / "alone")
    assert {row["finished_class"] for row in objects_of(tmp_path / "alone").to_pylist()} == {"blob", None}


def test_next_release_is_answered_by_other_predictors(again, tmp_path):
    tiny, values, config, run, file = again
    finishing = {**values, "classes": {**values["classes"], "finish": True}}
    write_toml(finishing, config)
    try:
        Runner()({**finishing, "predict": {"with": [str(file)]}}, tiny.folder, run)
        file.unlink()
        second = make_plan(
            parse(finishing, "survey.toml"),
            str(tiny.folder),
            str(config),
            str(tmp_path / "second"),
            like=str(run),
        )
        second.run.prepare(second.record, anew=False, remedy="")
        flow.run(second)
    finally:
        write_toml(values, config)
    assert objects_of(tmp_path / "second").equals(objects_of(run))
    names = ("finish.safetensors", "predictors/blobs.safetensors")
    assert all((tmp_path / "second" / "like" / "models" / name).exists() for name in names)
