"""A run names its groups, a person names them otherwise, and what a person said is never put on other groups."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from catalogs import parts, views
from catalogs.errors import Refused
from pipeline.cli import printing
from pipeline.results.label import label
from tests.conftest import TinyRelease
from tests.survey.conftest import Runner, files_of, objects_of, write_toml

BY_COLUMN = {"by": "column", "column": "kind", "smallest_share": 0.3}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A tiny release with a column of labels and objects that can't be used, and a run of it that has ended."""
    base = tmp_path_factory.mktemp("labelled")
    tiny = TinyRelease(base / "release")
    tiny.table["kind"] = np.array(["round", "flat", "flatter"])[np.arange(64) % 3]
    tiny.table["RA"][3] = np.nan
    tiny.write(2)
    values = tiny.config(
        survey={"keep": ["MAG", "kind"]},
        measure={"quantities": ["gini"]},
        classes=BY_COLUMN,
        vote={"rule": "agreement", "threshold": 0.9},
    )
    write_toml(values, tiny.folder / "survey.toml")
    Runner()(values, tiny.folder, base / "run")
    return tiny, values, base / "run"


@pytest.fixture
def again(ended, tmp_path):
    """The release, its config, and a copy of the ended run to change."""
    tiny, values, run = ended
    return tiny, values, Path(shutil.copytree(run, tmp_path / "run"))


def named(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "names.toml"
    path.write_text(text, encoding="utf-8")
    return path


def classes_in(out: Path) -> list[dict]:
    return json.loads((out / "models" / "classes.json").read_text())["groups"]


def names_in(out: Path) -> list[str | None]:
    return [group["class"] for group in classes_in(out)]


def test_objects_have_the_class_of_their_group(ended):
    _, _, out = ended
    groups = classes_in(out)
    assert {group["class"] for group in groups} & {"round", "flat", "flatter"}
    objects = objects_of(out)
    for row in objects.select(["object_id", "group", "kept", "class"]).to_pylist():
        if row["group"] is None:
            assert row["class"] is None
        else:
            assert row["class"] == (groups[row["group"]]["class"] if row["kept"] else "UNC")
    assert objects.filter(objects["group"].is_null()).num_rows == 1
    assert set(objects["kept"].to_pylist()) == {True, False, None}
    kept = {g: sum(r["kept"] for r in objects.to_pylist() if r["group"] == g) for g in range(4)}
    assert {group["group"]: group["kept"] for group in groups} == kept


def test_evidence_is_the_medians_that_sql_finds_in_the_catalog(ended):
    _, _, out = ended
    with views.connect(str(out)) as connection:
        sql = 'SELECT "group", median(gini), median(sn_pixel) FROM objects WHERE kept GROUP BY ALL'
        expected = {group: medians for group, *medians in connection.execute(sql).fetchall()}
    assert sum(None not in medians for medians in expected.values()) > 1
    for group in classes_in(out):
        medians = group["evidence"]["medians"]
        assert set(medians) == {"gini", "m20", "r50", "sn_pixel"}
        for name, value in zip(("gini", "sn_pixel"), expected.get(group["group"], [None, None])):
            assert medians[name] == (None if value is None else pytest.approx(value, rel=1e-3))


def test_person_s_names_reach_the_catalog_and_every_later_run(again, runner, tmp_path, capsys):
    tiny, values, out = again
    votes = {p: p.stat().st_mtime_ns for p in [*(out / "votes").iterdir(), *(out / "objects").iterdir()]}
    text = 'author = "Edwin"\n[groups]\n1 = "LTD"\n[groups.0]\nclass = "SPH"\nnotes = "smooth [round] ones"\n'
    label(str(out), named(tmp_path, text))
    assert {p: p.stat().st_mtime_ns for p in votes} == votes
    label(str(out), named(tmp_path, '[groups]\n1 = "ETD"\n'), author="Allan")
    assert names_in(out)[:2] == ["SPH", "ETD"]
    first, second = classes_in(out)[:2]
    assert (first["by"], first["author"], first["notes"]) == ("label", "Edwin", "smooth [round] ones")
    assert (second["by"], second["author"]) == ("label", "Allan")
    assert first["evidence"]["otherwise"]["by"] in ("column", None)
    with views.connect(str(out)) as connection:
        sql = 'SELECT DISTINCT class FROM objects WHERE kept AND "group" = ?'
        assert connection.execute(sql, [0]).fetchall() == [("SPH",)]
        assert connection.execute(sql, [1]).fetchall() == [("ETD",)]
    printing.classes(str(out))
    assert "smooth [round] ones" in capsys.readouterr().out
    history = json.loads((out / "labels" / "labels.json").read_text())["decisions"]
    assert [(each["author"], len(each["groups"])) for each in history] == [("Edwin", 2), ("Allan", 1)]
    expected = files_of(out)
    for lost in (out / "models" / "classes.json", out / "published.json"):
        lost.unlink()
    assert "Groups named by people: 0 SPH, 1 ETD." in runner(values, tiny.folder, out).notes
    assert files_of(out) == expected


def test_servers_that_encoded_a_run_may_be_gone_when_it_is_labelled(again, tmp_path):
    tiny, values, out = again
    gone = {"served_by": "tritonserver", "endpoints": ["grpc://localhost:9"], "gpus": 1}
    served = write_toml({**values, "encode": {**values["encode"], **gone}}, tiny.folder / "served.toml")
    label(str(out), named(tmp_path, 'author = "E"\n[groups]\n0 = "SPH"'), config=served)
    assert names_in(out)[0] == "SPH"


def test_groups_that_a_person_merges_are_one_class_whose_votes_count_together(again, runner, tmp_path):
    tiny, values, out = again
    middle = round(float(np.nanmedian(objects_of(out)["gini"].to_pandas())), 4)
    split = [{"class": "SPH", "when": f"gini > {middle}", "into": "ETD"}]
    values = {**values, "vote": {"keep": 0.5}, "classes": {"split": split}}
    runner(values, tiny.folder, out)
    config = write_toml(values, tiny.folder / "merged.toml")
    label(str(out), named(tmp_path, 'author = "E"\n[merge]\nSPH = [0, 1, 2]\n'), config=config)
    assert names_in(out) == ["SPH", "SPH", "SPH", None]
    shown = json.loads((out / "models" / "classes.json").read_text())
    objects = objects_of(out).to_pandas()
    objects = objects[objects["group"].notna()]
    kept = objects["kept"].astype(bool)
    assert [g["kept"] for g in shown["groups"]] == [(kept & (objects["group"] == g)).sum() for g in range(4)]
    merged = objects["group"] < 3
    enough = objects["class_share"] >= np.float32(shown["threshold"])
    assert (kept[merged] == enough[merged]).all()
    above = objects["gini"] > middle
    expected = np.where(kept, np.where(above, "ETD", "SPH"), "UNC")
    assert (objects["class"] == expected)[merged].all()
    assert shown["split"][0]["objects"] == (kept & above & merged).sum()
    assert set(objects["class"][merged]) == {"SPH", "ETD", "UNC"}


@pytest.mark.slow
def test_labels_are_not_put_on_the_groups_of_another_fit(again, runner, tmp_path):
    tiny, values, out = again
    label(str(out), named(tmp_path, 'author = "Edwin"\n[groups]\n0 = "NAMED BY HAND"\n'))
    plan = runner({**values, "fit": {**values["fit"], "seed": 5}}, tiny.folder, out)
    assert any("another fit" in note for note in plan.notes)
    assert {group["author"] for group in classes_in(out)} == {None}
    assert "NAMED BY HAND" not in objects_of(out)["class"].to_pylist()
    assert (out / "labels" / "labels.json").exists()
    assert runner.plan(values, tiny.folder, out).labels[0].name == "NAMED BY HAND"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("author = ", "is no TOML"),
        ('[groups]\n0 = "SPH"', "nobody stands for the names"),
        ('author = "E"\n', "names no group"),
        ('author = "E"\n[groups]\n4 = "SPH"', "no such group"),
        ('author = "E"\n[groups]\n-1 = "SPH"', "no such group"),
        ('author = "E"\n[groups]\n01 = "SPH"', "no such group"),
        ('author = "E"\n[groups]\n0 = ""', "must be a name"),
        ('author = "E"\n[groups]\n0 = "3"', "never a number"),
        ('author = "E"\n[groups]\n0 = 3', "never a number"),
        ('author = "E"\n[groups.0]\nnotes = "x"', "has no class"),
        ('author = "E"\n[groups.0]\nclass = "SPH"\nnote = "x"', "unknown key"),
        ('author = "E"\nfit = "0123"\n[groups]\n0 = "SPH"', "another fit"),
        ('author = "E"\ngroup = 3\n[groups]\n0 = "SPH"', "unknown key"),
        ('author = "E"\n[merge]\nSPH = 3', "must be a list of groups"),
        ('author = "E"\n[merge]\nSPH = []', "must be a list of groups"),
        ('author = "E"\n[merge]\nSPH = [true]', "must be a list of groups"),
        ('author = "E"\n[merge]\nSPH = [0, 4]', "no such group"),
        ('author = "E"\n[merge]\nSPH = [0]\nETD = [1, 0]', "has a class in this file already"),
        ('author = "E"\n[groups]\n0 = "SPH"\n[merge]\nSPH = [0]', "has a class in this file already"),
        ('author = "E"\n[merge]\n3 = [0]', "never a number"),
    ],
)
def test_names_that_cannot_be_meant_are_refused_and_nothing_is_kept(ended, tmp_path, text, problem):
    _, _, out = ended
    with pytest.raises(Refused) as refused:
        label(str(out), named(tmp_path, text))
    (fault,) = refused.value.faults
    assert problem in fault.problem
    assert fault.remedy
    assert not (out / "labels").exists()


def test_run_without_groups_or_with_another_config_is_not_labelled(again, tmp_path):
    tiny, values, out = again
    names = named(tmp_path, 'author = "E"\n[groups]\n0 = "SPH"')
    other = write_toml({**values, "vote": {"rule": "unanimous"}}, tmp_path / "other.toml")
    shutil.copytree(tiny.folder / "catalogs", tmp_path / "catalogs")
    shutil.copytree(tiny.folder / "images", tmp_path / "images")
    with pytest.raises(Refused, match=r"vote\.rule"):
        label(str(out), names, config=other)
    with pytest.raises(Refused, match="--config"):
        label(str(out), names, config=tmp_path / "absent.toml")
    with pytest.raises(Refused, match="no run here"):
        label(str(tmp_path / "absent"), names)
    (out / "votes" / f"{min(parts.done(str(out / 'votes')))}.parquet").unlink()
    with pytest.raises(Refused, match="1 slices are not voted on"):
        label(str(out), names)
    assert not (out / "labels").exists()
