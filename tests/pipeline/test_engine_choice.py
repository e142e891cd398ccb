"""Small work stays in this process, and nobody who asks for Ray goes without."""

from __future__ import annotations

import math
from typing import Any

import pytest

from catalogs.errors import BadRequest
from pipeline.config.file import Config, parse
from pipeline.plan import run_time
from pipeline.plan.engine_choice import OF_RAY, SMALL, chosen, engine_faults
from pipeline.plan.make_plan import make_plan
from pipeline.plan.run_time import Rates, estimate


@pytest.fixture
def config(tiny, monkeypatch):
    for name in OF_RAY:
        monkeypatch.delenv(name, raising=False)

    def config(**sections: dict[str, Any]) -> Config:
        return parse(tiny.config(**sections), "survey.toml")

    return config


def test_small_work_starts_ray(config):
    assert chosen(config(), SMALL)[0] == "local"
    assert chosen(config(), 0.0) == ("local", "0 s of work for one core, no more than 120")


def test_large_or_unknown_work_stays_in_one_process(config):
    assert chosen(config(), SMALL + 1)[0] == "ray"
    assert chosen(config(), math.nan) == ("ray", "how much work is left is not known")


@pytest.mark.parametrize(
    ("sections", "word"),
    [
        ({"encode": {"gpus": 1}}, "GPUs"),
        ({"run": {"dashboard": True}}, "dashboard"),
        ({"augment": {"balance": True, "model": "efigi"}}, "balanced bags"),
        ({"run": {"engine": "ray"}}, "run.engine"),
    ],
)
def test_config_that_asks_for_ray_goes_without(config, sections, word):
    engine, why = chosen(config(**sections), 1.0)
    assert engine == "ray"
    assert word in why


@pytest.mark.parametrize("name", OF_RAY)
def test_job_of_a_cluster_works_beside_it(config, monkeypatch, name):
    monkeypatch.setenv(name, "something")
    assert chosen(config(), 1.0) == ("ray", f"{name} is set")


@pytest.mark.parametrize("address", ["auto", "local", "head:6379"])
def test_address_is_passed_over(config, address):
    assert chosen(config(), 1.0, address) == ("ray", f"--address {address}")
    (fault,) = engine_faults(config(run={"engine": "local"}), "survey.toml", address)
    assert "survey.toml, key run.engine" in str(fault)
    assert "Leave --address out" in str(fault)


def test_large_work_leaves_a_process_that_was_asked_for(config):
    own = config(run={"engine": "local"})
    assert chosen(own, 1e6)[0] == chosen(own, math.nan)[0] == "local"
    assert not engine_faults(own, "survey.toml", None)
    with pytest.raises(BadRequest, match="--dashboard"):
        chosen(own, 1.0, dashboard=True)


def test_estimate_and_run_choose_apart(tiny, config, monkeypatch):
    plan = make_plan(config(), str(tiny.folder), "survey.toml", str(tiny.folder.parent / "run"))
    quick = estimate(plan)
    assert (quick.engine, run_time.engine_for(plan)) == ("local", "local")
    slow = Rates(slice=0.0, read=0.0, encode=0.01, measure=2.0, call=0.0, usable=1.0)
    monkeypatch.setattr(run_time, "_kept_rates", lambda *_: slow)
    large = estimate(plan)
    assert (large.engine, run_time.engine_for(plan)) == ("ray", "ray")
    assert "more than 120" in large.why
    assert large.rest - quick.rest == pytest.approx(
        run_time.COSTS.start + run_time.COSTS.barriers - run_time.LOCAL.start - run_time.LOCAL.barriers,
        abs=64 * run_time.COSTS.vote,
    )
