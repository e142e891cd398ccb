"""Predictors of a finished run: confident answers, the rest for people, their tests, and their section of the report."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from catalogs import storage, views
from catalogs.errors import Refused
from kernels.heads.predictor import Predictor
from pipeline.cli.main import app
from pipeline.plan.deciding import decision_of
from pipeline.report.experts import experts
from pipeline.report.page import Options, report
from pipeline.results import query
from pipeline.rundir.run_directory import RunDirectory
from pipeline.validation.predictions import judged
from tests.conftest import TinyRelease
from tests.survey.conftest import Runner, objects_of, write_toml

LABELS = {
    "classes": ["KIND"],
    "conditions": {'"big one"': "WIDTH > 3.5"},
    "values": [{"columns": ["WIDTH"], "transform": "log"}],
}
ACCURACY = 0.7


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run with a predictor of two questions of classes and one value, whose labels are in its catalog."""
    base = tmp_path_factory.mktemp("predicted")
    tiny = TinyRelease(base / "release")
    place = np.arange(len(tiny.table))
    tiny.table["WIDTH"] = 2.0 + 3.0 * (place % 5) / 4 + 0.01 * (place % 7)
    tiny.table["KIND"] = np.where(place % 3 == 0, "it's round", "flat")
    tiny.write()
    config = tiny.config(survey={"keep": ["WIDTH", "KIND"]}, run={"slice_rows": 16, "engine": "local"})
    write_toml(config, tiny.folder / "survey.toml")
    Runner()(config, tiny.folder, base / "run")
    write_toml({**config, "train": {"labels": LABELS}}, tiny.folder / "labels.toml")
    for arguments in (
        ["train", "predictor", tiny.folder / "labels.toml", "--from", base / "run", "--out", base / "p"],
        ["predict", base / "run", base / "p" / "predictor.safetensors"],
    ):
        done = CliRunner().invoke(app, [str(word) for word in arguments])
        assert done.exit_code == 0, done.output
    return base / "run"


def confident(run: Path, question: str, accuracy: float) -> list[tuple[object, ...]]:
    asked = query.resolve(str(run), None, "confident", [f"question={question}", f"accuracy={accuracy}"])
    with views.connect(str(run)) as connection:
        return connection.sql(asked.sql).fetchall()


def test_confident_answers_are_others_than_those_above_the_threshold(run):
    for question, yes, no in (("big one", "yes", "no"), ("KIND", "it's round", "flat")):
        least = decision_of(str(run), question, str(ACCURACY)).least
        name = question.replace(" ", "_").lower()
        column = {"yes": "yes", "no": "no", "it's round": "it_s_round", "flat": "flat"}
        expected = {}
        for row in objects_of(run).to_pylist():
            shares = {answer: row[f"{name}_{column[answer]}"] for answer in (no, yes)}
            answer = max(shares, key=shares.get)
            assert row[f"{name}_predicted"] == answer
            if shares[answer] >= least and not row["predictor_outside"]:
                expected[row["object_id"]] = (answer, shares[answer])
        found = confident(run, question, ACCURACY)
        assert {row[0]: row[1:] for row in found} == expected
        assert [row[2] for row in found] == sorted((row[2] for row in found), reverse=True)
        assert expected, "nothing was compared"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["question=big on"], "Did you mean 'big one'"),
        (["question=WIDTH"], "an interval and no probabilities"),
        (["question=KIND", "accuracy=0.9999"], "is the most that they vouch for"),
        (["question=KIND", "accuracy=95"], "between 0 and 1"),
        (["question=KIND", "accuracy=x"], "between 0 and 1"),
        (["accuracy=0.9"], "needs"),
        (["question=KIND", "accuracy=0.7", "least=0"], "no parameter 'least'"),
        (["question=KIND'; DROP"], "there is no question"),
    ],
)
def test_a_question_that_cannot_be_decided_is_answered(run, values, said):
    with pytest.raises(views.BadQuery, match=said):
        query.resolve(str(run), None, "confident", values)


def test_an_object_is_left_to_nobody_or_to_both(run, tmp_path):
    out = str(tmp_path / "experts")
    for most in (500, 3):
        experts(str(run), "KIND", str(ACCURACY), out, most=most)
        with (tmp_path / "experts" / "experts.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        machine = {str(row[0]) for row in confident(run, "KIND", ACCURACY)}
        people = {row["object_id"] for row in table}
        assert machine | people == {str(row["object_id"]) for row in objects_of(run).to_pylist()}
        assert not machine & people
        sure = [float(row["probability"]) for row in table]
        assert sure == sorted(sure)
        with (tmp_path / "experts" / "manifest.csv").open(newline="") as file:
            manifest = list(csv.DictReader(file))
        assert next(iter(manifest[0])) == "file_name"
        assert all(name.startswith("#") for name in list(manifest[0])[1:])
        assert [row["#object_id"] for row in manifest] == [row["object_id"] for row in table][:most]
        assert len({row["file_name"] for row in manifest}) == len(manifest) == min(most, len(table))
        pictures = sorted(path.name for path in (tmp_path / "experts" / "pictures").iterdir())
        assert pictures == sorted(Path(row["file_name"]).name for row in manifest)
        for row in manifest:
            with Image.open(tmp_path / "experts" / row["file_name"]) as picture:
                assert min(picture.size) >= 256
    (tmp_path / "experts" / "mine.txt").write_text("mine")
    with pytest.raises(Refused, match="is not empty"):
        experts(str(run), "KIND", str(ACCURACY), out)


def rows_of(run: Path, view: str = "SELECT * FROM objects") -> dict[tuple[str, str], dict]:
    """Rows of the tests of predictors over a changed catalog."""
    with views.connect(str(run)) as connection:
        connection.register("changed", connection.sql(view).to_arrow_table())
        connection.execute("CREATE OR REPLACE VIEW objects AS SELECT * FROM changed")
        found = judged(connection, str(run), RunDirectory(str(run)).record(), [], 1000)
    return {(row["test"], row["what"]): row for row in found}


def test_sound_answers_fail_and_broken_ones_pass(run):
    sound = rows_of(run)
    for test in ("answered", "probabilities"):
        assert all(row["verdict"] == "passed" for (name, _), row in sound.items() if name == test)
    assert {what for test, what in sound if test == "answered"} == {"KIND", "big one", "WIDTH"}
    assert ("coverage", "WIDTH") in sound
    assert sound["outside", "predictor"]["verdict"] == "passed"
    broken = rows_of(run, "SELECT * REPLACE (kind_flat + 0.01::FLOAT AS kind_flat) FROM objects")
    assert broken["probabilities", "KIND"]["verdict"] == "failed"
    lacking = "CASE WHEN object_id = 7 THEN NULL ELSE big_one_yes END"
    broken = rows_of(run, f"SELECT * REPLACE ({lacking} AS big_one_yes) FROM objects")
    assert broken["answered", "big one"]["verdict"] == "failed"
    assert broken["answered", "big one"]["statistic"] == 1
    broken = rows_of(run, "SELECT * REPLACE (true AS predictor_outside) FROM objects")
    assert broken["outside", "predictor"]["verdict"] == "failed"


def test_labels_are_compared_with_other_objects_or_not_at_all(run):
    sound = rows_of(run)
    rows = objects_of(run).to_pylist()
    right = np.mean([row["kind_predicted"] == row["KIND"] for row in rows])
    assert sound["label_accuracy", "KIND"]["statistic"] == pytest.approx(right)
    right = np.mean([(row["big_one_predicted"] == "yes") == (row["WIDTH"] > 3.5) for row in rows])
    assert sound["label_accuracy", "big one"]["statistic"] == pytest.approx(right)
    inside = [row["width_predicted_lo"] <= row["WIDTH"] <= row["width_predicted_hi"] for row in rows]
    assert sound["label_coverage", "WIDTH"]["statistic"] == pytest.approx(np.mean(inside))
    assert "in part objects that it was taught on" in sound["label_accuracy", "KIND"]["detail"]
    wrong = rows_of(
        run,
        "SELECT * REPLACE (CASE KIND WHEN 'flat' THEN 'it''s round' ELSE 'flat' END AS KIND) FROM objects",
    )
    assert wrong["label_accuracy", "KIND"]["verdict"] == "failed"
    assert ("label_accuracy", "KIND") not in rows_of(run, "SELECT * EXCLUDE (KIND) FROM objects")


def test_a_predictor_that_is_gone_is_passed_over(run, tmp_path):
    file = storage.join(str(run), "predictors", "predictor.safetensors")
    data = storage.read(file)
    try:
        storage.write(file, data[:100])
        found = rows_of(run)
        assert [row["verdict"] for row in found.values()] == ["not run"]
        assert "cannot be read" in found["answered", ""]["detail"]
        page = Path(report(str(run), Options(out=str(tmp_path / "r"), stamps=1, umap=False)))
        assert "cannot be read" in page.read_text(encoding="utf-8")
        with pytest.raises(views.BadQuery, match="cannot be read"):
            confident(run, "KIND", ACCURACY)
    finally:
        storage.write(file, data)


def test_validate_leaves_predictors_out(run):
    done = CliRunner().invoke(app, ["validate", str(run)])
    assert done.exit_code in (0, 3), done.output
    table = pq.read_table(run / "validation.parquet").to_pylist()
    assert {"answered", "probabilities", "outside", "label_accuracy"} <= {row["test"] for row in table}
    assert all(row["statement"] for row in table)


def test_the_report_says_nothing_of_predictions(run, tmp_path):
    truth = tmp_path / "truth.csv"
    rows = objects_of(run).to_pylist()
    lines = [f"{row['object_id']},{row['KIND']}" for row in rows[:40]]
    truth.write_text("\n".join(["object_id,KIND", *lines]))
    options = Options(out=str(tmp_path / "r"), truth=str(truth), truth_column="KIND", stamps=1, umap=False)
    text = Path(report(str(run), options)).read_text(encoding="utf-8")
    section = text[text.index('<section id="predictions"') :].partition("</section>")[0]
    predictor = Predictor.from_bytes(
        storage.read(storage.join(str(run), "predictors", "predictor.safetensors")), "p"
    )
    for each in predictor.heads:
        assert each.head.name in section
        for value in each.scores.numbers.values():
            assert f"{value:.3f}" in section
    assert section.count("<img") == 2
    assert "Of 64 objects with a label" in section
    assert "Of 40 objects with a label" in section
    assert "it&#39;s round" in section
    assert all((tmp_path / "r" / "plots" / f"predictor_0_{number}.svg").exists() for number in (0, 1))
    assert "kind_flat" not in text[text.index('<section id="parameters"') :].partition("</section>")[0]
