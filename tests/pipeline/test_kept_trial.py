"""A trial is made once for the same stamps, options, code and machine, and never taken for another's."""

from __future__ import annotations

import json
import os

import pytest

from pipeline.config.file import parse
from pipeline.plan import kept_trial, run_time
from pipeline.plan.make_plan import make_plan


@pytest.fixture
def tried(monkeypatch, tmp_path):
    """Plans that a trial was made for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made, rates = [], run_time._rates

    def counted(plan, left, selected):
        made.append(plan)
        return rates(plan, left, selected)

    monkeypatch.setattr(run_time, "_rates", counted)
    return made


@pytest.fixture
def judge(tiny):
    def judge(**sections):
        config = parse(tiny.config(**sections), "survey.toml")
        plan = make_plan(config, str(tiny.folder), "survey.toml", str(tiny.folder.parent / "run"))
        return run_time.estimate(plan)

    return judge


def test_the_same_plan_is_tried_again(tried, judge):
    first = judge()
    assert judge() == first
    assert len(tried) == 1


@pytest.mark.parametrize(
    "sections",
    [
        {"encode": {"threads": 2}},
        {"encode": {"batch_size": 8}},
        {"measure": {"quantities": ["gini"]}},
        {"images": {"size": 24}},
        {"run": {"slice_rows": 8}},
    ],
)
def test_another_plan_is_judged_by_it(tried, judge, sections):
    judge()
    judge(**sections)
    assert len(tried) == 2


def test_images_that_changed_are_judged_by_it(tried, judge, tiny):
    judge()
    os.utime(tiny.folder / "images" / "t0_r.fits", (1e9, 1e9))
    judge()
    assert len(tried) == 2


def test_other_code_or_another_machine_is_judged_by_it(tried, judge, monkeypatch):
    judge()
    monkeypatch.setattr(kept_trial, "_code", lambda: "other")
    judge()
    monkeypatch.setattr(kept_trial, "_machine", lambda: ["other"])
    judge()
    assert len(tried) == 3


@pytest.mark.parametrize("text", ["", "[]", '{"slice": 1}', '{"slice": null}', "\udcff"])
def test_what_is_no_trial_is_taken_for_one(tried, judge, text):
    judge()
    (file,) = kept_trial.folder().glob("*.json")
    file.write_bytes(text.encode(errors="surrogateescape"))
    judge()
    assert len(tried) == 2
    assert json.loads(file.read_text())["usable"] == 1.0


def test_a_plan_fails_where_nothing_can_be_kept(tried, judge, tmp_path):
    (tmp_path / "cache").write_text("a file, not a folder")
    assert judge().objects == judge().objects == 64
    assert len(tried) == 2


def test_a_plan_fails_where_a_user_has_no_home(tried, judge, monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("pipeline.plan.kept_trial.Path.home", no_home)
    assert judge().objects == judge().objects == 64
    assert len(tried) == 2


def test_trials_pile_up(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kept_trial, "MOST", 2)
    for number in range(4):
        kept_trial.keep(f"key{number}", {"rate": number})
        os.utime(kept_trial.folder() / f"key{number}.json", (1e9 + number, 1e9 + number))
    assert kept_trial.kept("key0", ["rate"]) is None
    assert kept_trial.kept("key3", ["rate"]) == [3.0]
    assert len(list(kept_trial.folder().iterdir())) == 2
