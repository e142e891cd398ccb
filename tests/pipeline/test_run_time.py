"""The time that a plan states rests on the release's own stamps, on what is left to do, and on the cores that there are."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from typer.testing import CliRunner

from catalogs import storage
from catalogs.slices import Slice
from pipeline.cli.main import app
from pipeline.config.file import parse
from pipeline.plan import run_time
from pipeline.plan.make_plan import make_plan
from pipeline.plan.plan import Plan
from pipeline.plan.run_time import Estimate, Rates, estimate
from tests.survey.conftest import write_toml

WORK = Rates(slice=0.0, read=0.0, encode=0.01, measure=0.03, call=0.0, usable=1.0)


@pytest.fixture
def plan(tiny):
    def plan(**sections: dict[str, Any]) -> Plan:
        config = parse(tiny.config(**sections), "survey.toml")
        return make_plan(config, str(tiny.folder), "survey.toml", str(tiny.folder.parent / "run"))

    return plan


def seconds(plan: Plan, slices: int = 40, cores: float = 2.0, rates: Rates = WORK) -> float:
    left = [Slice(0, 16 * k, 16 * k + 16) for k in range(slices)]
    return run_time._stamps(plan, left, rates, 1.0, cores)[0]


def test_workers_beyond_the_cores_do_not_speed_up(plan):
    alone, two, eight = (seconds(plan(encode={"workers": n})) for n in (1, 2, 8))
    assert alone / two == pytest.approx(2.0, rel=0.2)
    assert eight == pytest.approx(two)
    assert seconds(plan(encode={"workers": 8}), cores=8) < two / 3


def test_threads_share_the_cores_with_workers(plan):
    assert seconds(plan(encode={"threads": 4})) == pytest.approx(seconds(plan(encode={"threads": 2})))


def test_workers_beyond_the_slices_have_nothing_to_do(plan):
    eight = plan(encode={"workers": 8})
    assert seconds(eight, slices=1, cores=8) == pytest.approx(seconds(plan(), slices=1, cores=8))
    # three slices and two workers: one of them works while the other has ended
    assert seconds(plan(encode={"workers": 2}), slices=3, cores=8) == pytest.approx(
        seconds(plan(), slices=2, cores=8)
    )


def test_the_last_batch_of_a_slice_costs_as_much_as_a_full_one(plan):
    bare = WORK._replace(measure=0.0)
    padded = seconds(plan(encode={"batch_size": 128}), rates=bare)
    assert padded == pytest.approx(8 * seconds(plan(encode={"batch_size": 16}), rates=bare))


def test_trial_looks_at_the_stamps_of_the_release(plan):
    rates = run_time._rates(made := plan(), list(made.slices()), 1.0)
    assert rates.usable == 1.0
    assert rates.measure == rates.call == 0.0
    assert 0 < rates.encode < 10
    assert 0 <= rates.read < 10
    measured = plan(measure={"quantities": ["gini"]})
    assert run_time._rates(measured, list(measured.slices()), 1.0).measure > 0


def test_objects_that_are_not_usable_cost_nothing(plan, tiny):
    with fits.open(tiny.folder / "images" / "t0_r.fits", mode="update") as tile:
        tile[0].data[:] = np.nan
    rates = run_time._rates(made := plan(measure={"quantities": ["gini"]}), list(made.slices()), 1.0)
    assert (rates.usable, rates.encode, rates.measure) == (0.0, 0.0, 0.0)
    assert estimate(made).seconds > run_time.LOCAL.start
    on_ray = plan(measure={"quantities": ["gini"]}, run={"engine": "ray"})
    assert estimate(on_ray).seconds > run_time.COSTS.start


def test_only_what_is_left_is_reckoned(plan, tmp_path):
    made = plan()
    whole = estimate(made)
    assert whole.objects == 64
    for piece in list(made.slices())[:3]:
        storage.write(f"{made.run.objects}/{piece.name}.parquet", b"")
    assert estimate(made).objects == 16
    storage.write(made.run.published, b"{}")
    assert estimate(made).seconds == 0.0


def test_time_is_not_known_where_gpus_encode_but_measuring_is(plan, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    judged = estimate(plan(encode={"gpus": 1}, measure={"quantities": ["gini"]}))
    assert math.isnan(judged.seconds)
    assert judged.unknown == "as the GPU goes"
    assert judged.measuring > 0


def test_stamps_that_cannot_be_read_leave_the_time_unknown_and_say_why(plan, tiny):
    made = plan()
    (tiny.folder / "images" / "t0_r.fits").unlink()
    judged = estimate(made)
    assert math.isnan(judged.seconds)
    assert "t0_r.fits" in judged.unknown


def test_large_stamps_that_are_slow_to_measure_are_told_with_what_helps(plan):
    made = plan(images={"size": 424}, encode={"input": 64}, measure={"quantities": ["gini"]})
    slow = Estimate(objects=1000, stamps=800.0, measuring=700.0, rest=30.0)
    (note,) = run_time.notes(made, slow)
    for told in ("1.4 objects/s", "424 px", "pack --size 64", "--fit galaxy", "quantities"):
        assert told in note
    assert not run_time.notes(made, replace(slow, measuring=300.0))  # the encoder takes longer
    assert not run_time.notes(made, replace(slow, measuring=7.0, stamps=8.0))  # nobody minds
    assert not run_time.notes(plan(images={"size": 32}, encode={"input": 32}), slow)
    assert run_time.notes(made, replace(slow, stamps=math.nan))


def test_plan_states_the_time_and_json_has_none(tiny):
    config = write_toml(tiny.config(), tiny.folder / "survey.toml")
    told = CliRunner().invoke(app, ["plan", str(config), "--out", str(tiny.folder.parent / "run")])
    assert told.exit_code == 0, told.output
    assert "judged by a trial" in told.output
    told = CliRunner().invoke(app, ["plan", str(config), "--json", "--out", str(tiny.folder.parent / "run")])
    assert json.loads(told.output)["rows"] == 64


def test_cores_are_those_that_this_process_may_use():
    assert 1 <= run_time.usable_cores() <= 4096


def test_planning_for_the_default_encoder_loads_what_it_does_not_use(tiny, tmp_path, monkeypatch):
    """Modules that take a second or two of every command; the bundled encoder's trunk is our own, and a trial that was made is not made again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    encode = {"model": "galaxy-atto", "input": 64, "checkpoint": "bundled"}
    config = write_toml(tiny.config(encode=encode), tiny.folder / "survey.toml")
    code = (
        "import atexit, sys; from pipeline.cli.main import main\n"
        "atexit.register(lambda: print(*(set(sys.argv[-1].split(',')) & sys.modules.keys())))\n"
        "loaded, sys.argv[-1:] = sys.argv[-1], []\n"
        "atexit.register(lambda: sys.argv.append(loaded))\n"
        "main()"
    )
    heavy = "timm,torchvision,sklearn,ray,matplotlib,pandas,scipy.spatial,scipy.optimize,torch._dynamo,sympy"
    for unwanted in (heavy, f"{heavy},numba,scipy.special,pipeline.plan.trial"):
        command = [sys.executable, "-c", code, "plan", str(config), "--out", str(tmp_path / "run"), unwanted]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "judged by a trial" in done.stdout
        assert done.stdout.splitlines()[-1] == ""
