"""Objects are grouped by columns beside their embeddings: whatever is cut up, killed or taken over, and by no column that isn't there."""

from __future__ import annotations

import numpy as np
import pytest

from catalogs.errors import BadRequest, Refused
from pipeline import flow
from pipeline.config.file import parse
from pipeline.plan.make_plan import make_plan
from pipeline.rundir import arrays
from pipeline.rundir.run_directory import RunDirectory
from tests.survey.conftest import files_of, objects_of

COLUMNS = ["colour", "-colour / 2"]


@pytest.fixture
def coloured(tiny):
    """Objects of two colours, which no stamp shows; some have none."""
    number = np.arange(64)
    tiny.table["colour"] = np.where(number % 2, 1.0, -1.0) + 0.01 * number
    tiny.table["colour"][[5, 40]] = np.nan
    tiny.table["mode"] = np.full(64, 3)
    tiny.write(2)
    return tiny


def config(tiny, columns, **sections):
    values = tiny.config(
        survey={"keep": ["MAG", "colour", "mode"]}, measure={"quantities": ["gini"]}, **sections
    )
    values["reduce"] = {**values["reduce"], "columns": columns, "weight": 50.0}
    return values


def test_groups_follow_the_columns_however_objects_are_cut_up(coloured, runner, tmp_path):
    values = config(coloured, COLUMNS, run={"slice_rows": 64})
    runner(values, coloured.folder, tmp_path / "whole")
    whole = objects_of(tmp_path / "whole")
    known = [row for row in whole.to_pylist() if row["colour"] is not None]
    for group in {row["group"] for row in known}:
        assert len({row["colour"] > 0.3 for row in known if row["group"] == group}) == 1
    assert all(row["group"] is not None for row in whole.to_pylist())
    coloured.table = coloured.table[np.random.default_rng(1).permutation(64)]
    coloured.write(3)
    runner(config(coloured, COLUMNS, run={"slice_rows": 7}), coloured.folder, tmp_path / "parts")
    voted = ["object_id", "group", "kept", "distance", "confidence", "branch", "class_share"]
    assert objects_of(tmp_path / "parts").select(voted).equals(whole.select(voted))


@pytest.mark.slow
def test_both_engines_write_the_same(coloured, runner, tmp_path, ray_cluster):
    for engine in ("local", "ray"):
        runner(config(coloured, COLUMNS, run={"engine": engine}), coloured.folder, tmp_path / engine)
    assert files_of(tmp_path / "local") == files_of(tmp_path / "ray")


def test_a_run_like_another_scales_columns_as_there(coloured, runner, tmp_path):
    runner(config(coloured, COLUMNS), coloured.folder, tmp_path / "first")
    coloured.table["colour"] += 0.5
    coloured.write(2)
    short = {name: keys for name, keys in config(coloured, COLUMNS).items() if name not in ("reduce", "fit")}
    source, folder = str(coloured.folder / "survey.toml"), str(coloured.folder)
    plan = make_plan(
        parse(short, "survey.toml"), folder, source, str(tmp_path / "next"), like=str(tmp_path / "first")
    )
    plan.run.prepare(plan.record, anew=False, remedy="")
    flow.run(plan)
    first, after = (arrays.load(RunDirectory(str(tmp_path / name)).components) for name in ("first", "next"))
    assert (first["column_medians"] == after["column_medians"]).all()
    assert objects_of(tmp_path / "next")["group"].null_count == 0


def test_what_is_no_column_is_refused_before_the_run(coloured, runner, tmp_path):
    wrong = ["color", "sersic_n", "gini >", "gini > 0.4", "kept", "max(MAG)"]
    values = config(coloured, ["gini", *wrong], augment={"balance": True, "model": "efigi"})
    with pytest.raises(Refused) as refused:
        runner.plan(values, coloured.folder, tmp_path / "run")
    said = {fault.key: str(fault) for fault in refused.value.faults}
    assert "Did you mean 'colour'?" in said["reduce.columns.1"]
    assert "measures or keeps no such column" in said["reduce.columns.2"]
    assert "is not one SQL expression" in said["reduce.columns.3"]
    assert "must give a number, but gives BOOLEAN" in said["reduce.columns.4"]
    assert "no such column" in said["reduce.columns.5"]
    assert "among the functions that an expression may use" in said["reduce.columns.6"]
    assert "are not measured" in said["augment.balance"]
    assert "reduce.columns.0" not in said


def test_a_column_without_spread_is_named_when_it_is_known(coloured, runner, tmp_path):
    with pytest.raises(BadRequest, match=r"\[reduce\] columns, 'mode \* 2' has no spread.*Leave it out"):
        runner(config(coloured, ["MAG", "mode * 2"]), coloured.folder, tmp_path / "run")
    runner(config(coloured, ["MAG"]), coloured.folder, tmp_path / "run")
    assert objects_of(tmp_path / "run").num_rows == 64


def test_a_config_without_columns_keeps_the_fingerprints_it_had(tiny, runner, tmp_path):
    plain = runner.plan(tiny.config(), tiny.folder, tmp_path / "run").fingerprints
    heavier = tiny.config()
    heavier["reduce"] = {**heavier["reduce"], "weight": 3.0}
    assert runner.plan(heavier, tiny.folder, tmp_path / "run").fingerprints == plain
    heavier["reduce"]["columns"] = ["ra"]
    assert runner.plan(heavier, tiny.folder, tmp_path / "run").fingerprints["reduce"] != plain["reduce"]
