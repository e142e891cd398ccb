"""Groups are looked at as the run made them, wherever it lies and however far it is; what can't be looked at is refused in a line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import s3fs
from typer.testing import CliRunner

from catalogs.errors import BadRequest, CorruptFile, Refused
from kernels.group_tree import group_tree
from pipeline.cli import printing_groups
from pipeline.cli.main import app
from pipeline.console import console
from pipeline.report import dendrogram
from pipeline.report.page import Options, report
from pipeline.results.groups import groups
from pipeline.rundir import arrays
from tests.conftest import TinyRelease
from tests.survey.conftest import Runner, objects_of, write_toml


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A run of a tiny release, whose groups have classes."""
    base = tmp_path_factory.mktemp("groups")
    tiny = TinyRelease(base / "release")
    tiny.table["kind"] = np.array(["round", "flat [and] so long a name as 40 letters"])[np.arange(64) % 2]
    tiny.write(2)
    classes = {"by": "column", "column": "kind", "smallest_share": 0.3}
    values = tiny.config(survey={"keep": ["kind"]}, classes=classes, vote={"branches": 2})
    write_toml(values, tiny.folder / "survey.toml")
    Runner()(values, tiny.folder, base / "run")
    return base / "run"


@pytest.fixture
def again(ended, tmp_path):
    """A copy of it to change."""
    return Path(shutil.copytree(ended, tmp_path / "run"))


def typed(*words):
    done = CliRunner().invoke(app, ["groups", *map(str, words)])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_groups_are_others_than_those_of_the_catalog(ended):
    found = json.loads(typed(ended, "--json"))
    rows = objects_of(ended).to_pylist()
    branch = {row["group"]: row["branch"] for row in rows}
    assert sorted(group["group"] for group in found["groups"]) == [0, 1, 2, 3]
    assert {group["class"] for group in found["groups"]} - {None}
    for group in found["groups"]:
        own = [row for row in rows if row["group"] == group["group"]]
        assert group["objects"] == len(own)
        assert group["kept"] == sum(row["kept"] for row in own)
        # the pilot is the whole of so small a release
        assert group["share"] == pytest.approx(len(own) / 64)
        assert group["agreement"] == pytest.approx(np.mean([row["agreement"] for row in own]))
        assert group["branch"] == branch[group["group"]]
        assert 0 < group["jaccard"] <= 1
    assert len(found["merges"]) == 3
    assert sum(merge["loses"] for merge in found["merges"]) == pytest.approx(1)
    top = found["merges"][-1]
    assert top["groups"] + top["with"] == [group["group"] for group in found["groups"]]
    assert [len({branch[group] for group in side}) for side in (top["groups"], top["with"])] == [1, 1]


def test_numbers_that_so_few_objects_do_not_carry_are_shown(ended):
    found = json.loads(typed(ended, "--json"))
    assert (found["pilot"], found["own"]) == (64, 4)
    assert [each["groups"] for each in found["numbers"]] == [4, 5]
    assert found["notes"] == [
        "64 objects carry 6 groups at most (five that differ in each half): left out are 10, 15, 20, 25, 30, 40, 50, 60."
    ]
    chosen = json.loads(typed(ended, "--json", "--numbers", "6, 2"))
    assert [each["groups"] for each in chosen["numbers"]] == [2, 4, 6]
    assert chosen["notes"] == []
    assert chosen["groups"] == found["groups"]


def test_run_that_has_not_voted_has_no_groups_to_look_at(again):
    before = groups(str(again))
    for lost in ("votes", "catalog", "embeddings", "models/classes.json", "published.json", "objects"):
        path = again / lost
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = groups(str(again))
    assert [group.group for group in found.groups] == [group.group for group in before.groups]
    assert [group.jaccard for group in found.groups] == [group.jaccard for group in before.groups]
    assert {(group.objects, group.kept, group.class_) for group in found.groups} == {(None, None, None)}
    assert "share" in typed(again)


def test_run_on_an_object_store_has_other_groups(ended, bucket):
    store = s3fs.S3FileSystem()
    for name in (
        "run.json",
        "models/components.safetensors",
        "models/ensemble.safetensors",
        "models/classes.json",
    ):
        store.pipe(f"{bucket}/run/{name}", (ended / name).read_bytes())
    here, there = json.loads(typed(ended, "--json")), json.loads(typed(f"{bucket}/run", "--json"))
    assert {**here, "run": ""} == {**there, "run": ""}


@pytest.mark.parametrize("width", [80, 120])
def test_tree_is_broken_over_lines(ended, monkeypatch, capsys, width):
    monkeypatch.setattr(console, "width", width)
    found = groups(str(ended))
    printing_groups.groups(found)
    lines = capsys.readouterr().out.split("\n")
    assert max(map(len, lines)) <= width
    shown = [line for line in lines if re.search("[┐┘┬┤]", line)]
    assert [int(line.split()[0]) for line in shown] == [group.group for group in found.groups]
    assert any("flat [and]" in line for line in shown)


def test_report_has_the_groups_in_another_order_than_their_tree(ended, tmp_path):
    page = Path(report(str(ended), Options(out=str(tmp_path / "page"), stamps=1, umap=False)))
    order = re.findall(r'<article class="group" id="group-(\d+)"', page.read_text(encoding="utf-8"))
    assert [int(group) for group in order] == [group.group for group in groups(str(ended)).groups]
    assert (page.parent / "plots" / "tree.svg").read_bytes().startswith(b"<?xml")


def test_what_has_no_groups_is_looked_at(again, tmp_path):
    with pytest.raises(Refused, match=r"nothing: there is no run here\. Start one: tuningfork run"):
        groups(str(tmp_path / "nothing"))
    (again / "models" / "ensemble.safetensors").unlink()
    with pytest.raises(Refused, match=r"nothing is fitted\. Finish it: tuningfork run .*survey\.toml --out"):
        groups(str(again))


@pytest.mark.parametrize(
    ("points", "name"),
    [
        ([0.0, 1.0], "cost $5 and $6"),
        ([0.0, 1.0], "\N{CYCLONE} arms"),
        ([1.0, 1.0, 1.0], None),
        ([0.0, 1e-9, 1.0], "<b>"),
    ],
)
def test_figure_of_the_tree_fails_for_names_or_groups_that_coincide(points, name):
    tree = group_tree(np.array(points)[:, None], np.ones(len(points)))
    known = [{"name": 0, "objects": 3, "class": name}]
    first, again = (dendrogram.draw(tree, known, 2) for _ in range(2))
    assert first == again
    ET.fromstring(first)


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("components", {"pilot": np.zeros(5, np.float32)}),
        ("components", {"pilot": np.full((64, 8), np.nan, np.float32)}),
        ("components", {"pilot": np.zeros((0, 8), np.float32)}),
        ("ensemble", {"centres": np.zeros((4, 7), np.float32)}),
        ("ensemble", {"centres": np.full((4, 8), np.inf, np.float32)}),
        ("ensemble", {"families": np.array([9], np.uint8)}),
        ("ensemble", {"starts": np.array([0, 3], np.int64)}),
        ("ensemble", {"bags": np.zeros(1, np.int32)}),
        ("ensemble", {"prototypes": np.zeros((3, 8), np.float32)}),
        ("components", None),
        ("ensemble", None),
    ],
)
def test_damaged_file_ends_in_a_traceback(again, file, changed):
    url = f"{again}/models/{file}.safetensors"
    if changed is None:
        Path(url).write_bytes(Path(url).read_bytes()[:100])
    else:
        arrays.save(url, {**arrays.load(url), **changed})
    with pytest.raises(
        CorruptFile, match=rf"{file}\.safetensors: is damaged .*Delete it and run again"
    ) as error:
        groups(str(again))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("numbers", ["1", "5,", "5;6", "five", "1001", "-5", "0x5", "9" * 5000])
def test_numbers_that_are_none_are_tried(ended, numbers):
    done = CliRunner().invoke(app, ["groups", str(ended), f"--numbers={numbers}"])
    assert isinstance(done.exception, BadRequest)
    assert "is no number of groups" in str(done.exception)
