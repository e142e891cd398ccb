"""A run in a folder of any name is a run like any other, and the ids that it keeps have all their digits wherever they are shown."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import duckdb
import lsdb
import numpy as np
import pyarrow.parquet as pq
import pytest

from catalogs import views
from pipeline.cli import printing
from pipeline.report.page import Options, report
from pipeline.results.label import label
from pipeline.rundir.status import status
from pipeline.validation.validate import validate
from tests.conftest import TinyRelease
from tests.survey.conftest import Runner, objects_of, write_toml

ODD = "a=b/Norder=1 'x' [DR1] ?*/#%20{x}::y"
ID = 1237648720693690487


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A release and its run, both below an odd folder, and another run beside it that a pattern would fit."""
    base = tmp_path_factory.mktemp("odd")
    tiny = TinyRelease(base / ODD / "release")
    number = tiny.table["NUMBER"]
    tiny.table["objID"] = ID + number
    tiny.table["unsigned"] = np.uint64(2**63) + number.astype(np.uint64)
    tiny.table["small"] = number
    tiny.table["DEC"][5] = -95.0
    tiny.write(2)
    keep = ["MAG", "objID", "unsigned", "small"]
    values = tiny.config(survey={"keep": keep}, measure={"quantities": ["shape", "gini"]})
    write_toml(values, tiny.folder / "survey.toml")
    plan = Runner()(values, tiny.folder, base / ODD / "run [1]")
    shutil.copytree(base / ODD / "run [1]", base / ODD / "run 1")
    return base / ODD / "run [1]", plan


def test_rows_of_another_run_are_counted(finished):
    run, _ = finished
    objects = objects_of(run)
    assert objects["object_id"].to_pylist() == list(range(1, 65))
    assert objects["unsigned"].to_pylist() == [2**63 + n for n in range(1, 65)]
    assert not {"a", "Norder", "Dir", "Npix"} & set(objects.column_names)
    shutil.copyfile(run / "catalog.duckdb", run.parent.parent.parent / "views.duckdb")
    with duckdb.connect(run.parent.parent.parent / "views.duckdb", read_only=True) as connection:
        assert connection.sql("SELECT count(*), max(objID) FROM objects").fetchall() == [(64, ID + 64)]
    assert len(lsdb.open_catalog(run / "catalog").compute()) == 63


def test_report_of_kept_ids_is_a_traceback_or_rounds_them(finished):
    run, _ = finished
    page = report(str(run), Options(umap=False, stamps=2))
    text = Path(page).read_text(encoding="utf-8")
    (embedded,) = re.findall(r'<script[^>]* id="data">(.*?)</script>', text, re.DOTALL)
    data = json.loads(embedded)
    shown = {row[0]: row[1] for row in next(iter(data["objects"].values()))["rows"]}
    number = shown["small"]
    assert shown["objID"] == str(ID + number)
    assert shown["unsigned"] == str(2**63 + number)
    drawn = {column["name"] for column in data["map"]["columns"]}
    assert {"MAG", "small"} <= drawn
    assert not {"objID", "unsigned"} & drawn


def test_truth_in_a_file_of_an_odd_name(finished, tmp_path):
    run, _ = finished
    truth = tmp_path / "truth [a].csv"
    truth.write_text("object_id,class\n" + "".join(f"{n},SPH\n" for n in range(1, 65)))
    (tmp_path / "truth a.csv").write_text("object_id,class\n1,other\n")
    page = report(str(run), Options(truth=str(truth), umap=False, stamps=1))
    assert "SPH" in Path(page).read_text(encoding="utf-8")


def test_other_commands_find_the_run(finished, tmp_path, capsys):
    run, plan = finished
    assert status(str(run)).rows == 64
    assert shlex.split(plan.command)[-1] == str(run)
    printing.summary(str(run))
    typed = [
        shlex.split(line)
        for line in capsys.readouterr().out.splitlines()
        if line.strip().startswith("tuningfork")
    ]
    assert [words[2] for words in typed] == [str(run), str(run)]
    names = tmp_path / "names.toml"
    names.write_text('author = "x"\n[groups]\n0 = "SPH"\n')
    label(str(run), names, author=None, config=None, address=None, forget=False)
    with views.connect(str(run)) as connection:
        assert connection.sql("SELECT count(*) > 0 FROM objects WHERE class = 'SPH'").fetchall() == [(True,)]
    validate(str(run), None)
    assert pq.read_table(run / "validation.parquet").num_rows
