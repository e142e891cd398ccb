"""A release goes by the groups of another one's run: groups and names mean the same in both, and the other run may vanish."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import s3fs
from typer.testing import CliRunner

from catalogs.errors import FileChanged, Refused
from pipeline import flow
from pipeline.cli.main import app
from pipeline.config.file import parse
from pipeline.output.lock import locked
from pipeline.plan.make_plan import make_plan
from pipeline.report.page import Options, report
from pipeline.results.label import label
from pipeline.rundir.run_directory import RunDirectory
from pipeline.rundir.status import status
from tests.conftest import TinyRelease
from tests.survey.conftest import Runner, files_of, objects_of, tuningfork, write_toml
from tests.survey.test_resume import kill, started

SPLIT = {"class": "round", "when": "gini > 0.4", "into": "bright"}
NAMES = {"by": "column", "column": "kind", "smallest_share": 0.2, "split": [SPLIT]}


def short(tiny: TinyRelease, **sections) -> dict:
    """A config that says nothing of groups."""
    values = tiny.config(measure={"quantities": ["gini"]}, **sections)
    return {name: keys for name, keys in values.items() if name not in ("reduce", "fit")}


def like(values: dict, tiny: TinyRelease, out: Path | str, run: Path | str | None):
    """Plan a run that goes by another one, or by what it began with."""
    source = str(tiny.folder / "survey.toml")
    run = None if run is None else str(run)
    return make_plan(parse(values, "survey.toml"), str(tiny.folder), source, str(out), like=run)


def begun(values: dict, tiny: TinyRelease, out: Path | str, run: Path | str | None):
    """The same, run through."""
    plan = like(values, tiny, out, run)
    plan.run.prepare(plan.record, anew=False, remedy=f"{plan.command} --anew")
    flow.run(plan)
    return plan


def groups_in(out: Path) -> list[dict]:
    return json.loads((out / "models" / "classes.json").read_text())["groups"]


def names_in(out: Path) -> list[str | None]:
    return [group["class"] for group in groups_in(out)]


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The first release, and a run of it that has ended."""
    base = tmp_path_factory.mktemp("first")
    tiny = TinyRelease(base / "release")
    tiny.table["kind"] = np.array(["round", "flat", "flatter"])[np.arange(64) % 3]
    tiny.table["RA"][3] = np.nan
    tiny.write(2)
    values = tiny.config(
        survey={"keep": ["MAG", "kind"]}, measure={"quantities": ["gini"]}, classes=NAMES, vote={"keep": 0.5}
    )
    write_toml(values, tiny.folder / "survey.toml")
    Runner()(values, tiny.folder, base / "run")
    return tiny, values, base / "run"


@pytest.fixture(scope="module")
def second(first, tmp_path_factory):
    """The next release, which has no labels, its config, and a run of it that goes by the first one."""
    base = tmp_path_factory.mktemp("second")
    tiny = TinyRelease(base / "release", shards=1, per_side=6)
    values = short(tiny)
    write_toml(values, tiny.folder / "survey.toml")
    run = shutil.copytree(first[2], base / "gone")
    begun(values, tiny, base / "run", run)
    shutil.rmtree(run)
    return tiny, values, base / "run"


@pytest.fixture
def again(second, tmp_path):
    tiny, values, run = second
    return tiny, values, Path(shutil.copytree(run, tmp_path / "again"))


def test_a_release_has_other_groups_by_its_own_run(first, tmp_path):
    tiny, _, run = first
    values = short(tiny, survey={"keep": ["MAG", "kind"]}, run={"slice_rows": 7})
    begun(values, tiny, tmp_path / "run", run)
    assert files_of(tmp_path / "run") == files_of(run)
    mine, theirs = (
        json.loads((out / "models" / "classes.json").read_text()) for out in (tmp_path / "run", run)
    )
    assert {**mine, "fit": ""} == {**theirs, "fit": ""}
    assert objects_of(run)["class"].to_pylist().count("bright")


def test_another_release_has_other_names_or_needs_more_than_it_has(first, second):
    _, _, run = first
    _, _, out = second
    for kept in ("class", "by", "author", "notes"):
        assert [g[kept] for g in groups_in(out)] == [g[kept] for g in groups_in(run)]
    mine, theirs = (json.loads((o / "models" / "classes.json").read_text()) for o in (out, run))
    assert [mine[k] for k in ("level", "threshold")] == [theirs[k] for k in ("level", "threshold")]
    objects = objects_of(out).to_pandas()
    assert len(objects) == 36
    assert [g["objects"] for g in groups_in(out)] == [(objects["group"] == g).sum() for g in range(4)]
    named = objects["class_share"].notna()
    assert named.any()
    assert (objects["kept"] == (objects["class_share"] >= np.float32(mine["threshold"])))[named].all()
    assert (objects["class"] == "bright").sum() == mine["split"][0]["objects"]
    assert {key for group in groups_in(out) for key in group["evidence"]} == {"medians"}


def test_what_is_known_of_a_run_needs_the_other_one(second, tmp_path):
    _, _, out = second
    found = status(str(out))
    assert (found.reduced, found.fitted, found.published) == (True, True, True)
    assert found.like is not None
    for words in (
        ["status", out],
        ["status", out, "--json"],
        ["groups", out],
        ["query", out, "--name", "classes"],
    ):
        done = CliRunner().invoke(app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
    page = Path(report(str(out), Options(out=str(tmp_path / "page"), stamps=1, umap=False)))
    assert found.like in page.read_text(encoding="utf-8")
    done = CliRunner().invoke(app, ["validate", str(out)])
    assert done.exit_code in (0, 3), done.output


def test_a_run_that_was_stopped_goes_on_without_the_other_one(again, runner):
    tiny, values, out = again
    expected = files_of(out)
    gone = status(str(out)).like
    assert gone is not None
    assert not Path(gone).exists()
    (out / "published.json").unlink()
    shutil.rmtree(out / "models")
    shutil.rmtree(out / "votes")
    for given in (None, gone):
        assert like(values, tiny, out, given).like.source == str(out / "like")
    runner(values, tiny.folder, out)
    assert files_of(out) == expected
    # even where its slices are encoded again
    plan = like({**values, "run": {"slice_rows": 5}}, tiny, out, None)
    plan.run.prepare(plan.record, anew=True, remedy="")
    flow.run(plan)
    assert files_of(out) == expected


@pytest.mark.slow
def test_a_run_that_was_stopped_while_it_copied_lacks_models(first, second, tmp_path):
    _, _, run = first
    tiny, values, expected = second
    out, other = tmp_path / "run", Path(shutil.copytree(run, tmp_path / "other"))
    plan = like(values, tiny, out, other)
    plan.run.prepare(plan.record, anew=False, remedy="")
    (out / "like" / "models").mkdir(parents=True)
    (out / "like" / "models" / "components.safetensors").write_bytes(b"half of it")
    label(str(other), _names(tmp_path, '0 = "OTHER"'))
    with pytest.raises(FileChanged, match="has changed since this run began"):
        flow.run(plan)
    with pytest.raises(Refused, match=r"stopped before it had copied .* --like "):
        like(values, tiny, out, None)
    shutil.rmtree(other)
    with pytest.raises(Refused, match="there is no run here"):
        like(values, tiny, out, None)
    shutil.copytree(run, other)
    begun(values, tiny, out, None)
    assert files_of(out) == files_of(expected)


def _names(folder: Path, lines: str) -> Path:
    path = folder / "names.toml"
    path.write_text(f'author = "E"\n[groups]\n{lines}\n', encoding="utf-8")
    return path


def test_names_that_the_other_run_got_later_do_not_reach_this_one(first, again, tmp_path):
    _, _, run = first
    tiny, values, out = again
    other = Path(shutil.copytree(run, tmp_path / "other"))
    label(str(other), _names(tmp_path, '0 = "SPH"\n1 = "LTD"'))
    votes = {p: p.stat().st_mtime_ns for p in (out / "votes").iterdir()}
    plan = begun(values, tiny, out, other)
    assert plan.like.run == str(other)
    assert names_in(out)[:2] == ["SPH", "LTD"]
    assert groups_in(out)[0]["author"] == "E"
    assert {p: p.stat().st_mtime_ns for p in (out / "votes").iterdir()} == votes
    # and what people say of this run's groups comes before that
    label(str(out), _names(tmp_path, '1 = "IRR"'))
    assert names_in(out)[:2] == ["SPH", "IRR"]
    assert groups_in(out)[1]["evidence"]["otherwise"] == {"class": "LTD", "by": "label"}
    assert names_in(other)[:2] == ["SPH", "LTD"]


@pytest.mark.slow
def test_models_are_exchanged_under_a_run(first, again, runner, tmp_path):
    tiny, values, run = first
    later, short_values, out = again
    runner({**values, "fit": {**values["fit"], "seed": 3}}, tiny.folder, tmp_path / "other")
    plan = like(short_values, later, out, tmp_path / "other")
    with pytest.raises(Refused, match="--like gives others") as refused:
        plan.run.check(plan.record, remedy="tuningfork run --anew")
    assert "--anew" in str(refused.value)
    plan = like(short(tiny), tiny, tmp_path / "other", run)
    with pytest.raises(Refused, match="goes by the models of its own fit"):
        plan.run.check(plan.record, remedy="")
    with pytest.raises(Refused, match="cannot go by itself"):
        like(short_values, later, out, out)


def test_embeddings_that_mean_something_else_are_put_into_these_groups(first, tmp_path):
    tiny, _, run = first
    values = short(
        tiny,
        images={"size": 24, "background": "none", "pixel_scale": 0.3, "position": "pixel"},
        encode={"unwrap": "none", "stretch": "linear", "turns": 2, "neighbours": "keep"},
        denoise={},
        fit={"groups": 5, "bags": 2},
        vote={"rule": "unanimous"},
        classes={"by": "none"},
        reduce={"components": 8},
    )
    values["fit"] = {"groups": 5, "bags": 2}
    with pytest.raises(Refused) as refused:
        like(values, tiny, tmp_path / "run", run)
    faults = {fault.key: fault for fault in refused.value.faults}
    of_images = {f"survey.images.{key}" for key in ("size", "background", "pixel_scale")}
    of_encode = {f"encode.{key}" for key in ("unwrap", "stretch", "turns", "neighbours")}
    assert set(faults) == {*of_images, *of_encode, "denoise", "fit.groups", "vote.rule", "classes.by"}
    assert faults["fit.groups"].value == "5"
    for fault in faults.values():
        assert f" in {run}" in fault.problem
        assert fault.value
        assert fault.remedy


def test_other_bands_and_weights_go_unseen(first, tmp_path):
    _, _, run = first
    tiny = TinyRelease(tmp_path / "release", bands=("g",))
    other = {"model": "timm:test_vit", "input": 32}
    with pytest.raises(Refused) as refused:
        like(short(tiny, encode={**other, "precision": "bfloat16"}), tiny, tmp_path / "run", run)
    keys = {fault.key for fault in refused.value.faults}
    assert {"survey.images.bands", "encode.model"} <= keys
    record = RunDirectory(str(run)).record()
    changed = Path(shutil.copytree(run, tmp_path / "changed"))
    record["seen"]["weights"] = "0" * 64
    (changed / "run.json").write_text(json.dumps(record))
    with pytest.raises(
        Refused, match=r"encode\.checkpoint, value \"weights .*: is \"weights 000000000000\" in"
    ):
        like(short(first[0]), first[0], tmp_path / "run", changed)


def test_rules_on_single_objects_lack_their_columns(first, tmp_path):
    tiny, _, run = first
    values = {**short(tiny), "measure": {"quantities": []}}
    with pytest.raises(Refused, match=r"classes\.split\.0\.when.*Keep or measure what it reads"):
        like(values, tiny, tmp_path / "run", run)


def test_a_run_that_can_t_be_gone_by(first, tmp_path):
    tiny, _, ended = first
    out = tmp_path / "run"

    def refused(run: Path | str, words: str) -> None:
        with pytest.raises(Refused, match=words) as found:
            like(short(tiny), tiny, out, run)
        (fault,) = found.value.faults
        assert fault.remedy
        assert "\n" not in str(fault)

    refused(tmp_path / "absent", "there is no run here. Give --like a run that has ended")
    refused(tiny.folder, "holds no run. Give --like a run that has ended")
    run = Path(shutil.copytree(ended, tmp_path / "other"))
    with locked(str(run), "run"):
        refused(run, "tuningfork run works there .* Wait until it has ended")
    for lost, words in (("classes.json", "no classes yet"), ("ensemble.safetensors", "nothing is fitted")):
        path = run / "models" / lost
        content = path.read_bytes()
        path.unlink()
        refused(run, f"{words}. Finish it: tuningfork run ")
        path.write_bytes(content[: len(content) // 2])
        refused(run, rf"models/{lost}: is damaged .* Restore it")
        path.write_bytes(content)
    record = json.loads((run / "run.json").read_text())
    record["seen"]["values"] -= 1
    (run / "run.json").write_text(json.dumps(record))
    refused(run, "made by a version whose catalog values are others")
    del record["seen"]
    (run / "run.json").write_text(json.dumps(record))
    refused(run, "did not record what its network saw. Run it again with this version")
    (run / "run.json").write_text("{")
    refused(run, "is damaged")
    assert not out.exists()


@pytest.mark.slow
def test_models_on_an_object_store_are_out_of_reach(first, second, bucket, tmp_path):
    tiny, values, expected = second
    store = s3fs.S3FileSystem()
    for path in (first[2] / "run.json", *(first[2] / "models").iterdir()):
        store.pipe(f"{bucket}/run/{path.relative_to(first[2])}", path.read_bytes())
    begun(values, tiny, tmp_path / "run", f"{bucket}/run")
    assert files_of(tmp_path / "run") == files_of(expected)


def test_commands_do_not_say_whose_models_they_are(first, second, tmp_path):
    _, _, run = first
    tiny, _, _ = second
    planned = CliRunner().invoke(
        app, ["plan", str(tiny.folder / "survey.toml"), "--out", str(tmp_path / "run"), "--like", str(run)]
    )
    assert planned.exit_code == 0, planned.output
    assert "those of" in planned.output
    assert "nothing is fitted" in planned.output
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_classes_depend_on_workers_or_sharding(first, second, tmp_path):
    _, _, run = first
    tiny, values, expected = second
    other = TinyRelease(tmp_path / "release", shards=3, per_side=6)
    spread = {"run": {"slice_rows": 5}, "encode": {**values["encode"], "workers": 4}}
    begun({**values, **spread}, tiny, tmp_path / "spread", run)
    assert files_of(tmp_path / "spread") == files_of(expected)
    begun(values, other, tmp_path / "sharded", run)
    mine, theirs = (
        objects_of(out).drop_columns(["shard", "row"]) for out in (tmp_path / "sharded", expected)
    )
    assert mine.equals(theirs)


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0, 0.002, 0.01, 5, 15, 30])
def test_killed_after_it_has_begun_goes_on_to_other_bytes(first, second, tmp_path, seconds):
    _, _, run = first
    tiny, _, expected = second
    out, config = tmp_path / "run", tiny.folder / "survey.toml"
    other = shutil.copytree(run, tmp_path / "other")
    process = started(config, out, "--like", other)
    limit = time.monotonic() + 120
    while not (out / "run.json").exists():
        assert time.monotonic() < limit
        time.sleep(0.001)
    time.sleep(seconds)
    kill(process)
    copied = (out / "models" / "ensemble.safetensors").exists()
    if copied:
        shutil.rmtree(other)
    done = tuningfork("run", config, "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_of(out) == files_of(expected)
