"""Who does the work is nobody's business but the clock's: this process and Ray make the same files of the same release."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from typer.testing import CliRunner

from catalogs.errors import Refused
from pipeline import flow
from pipeline.cli.main import app
from pipeline.config.file import parse
from pipeline.plan import run_time
from pipeline.plan.make_plan import make_plan
from pipeline.plan.run_time import Rates
from tests.conftest import TinyRelease
from tests.survey.conftest import Runner, write_toml

TYPED = """
import sys
from pipeline.cli import main as cli

app = cli.app

def typed():
    try:
        app(standalone_mode=False)
    finally:
        print("ray" in sys.modules, file=sys.stderr)

cli.app = typed
cli.main()
"""
"""A command that says at its end whether it has loaded Ray."""


def everything(out: Path) -> dict[str, bytes]:
    """Every file of a run, but its record and the database of views, which name the engine and the folder."""
    files = {str(path.relative_to(out)): path for path in out.rglob("*") if path.is_file()}
    return {
        name: path.read_bytes() for name, path in files.items() if name not in {"run.json", "catalog.duckdb"}
    }


@pytest.fixture(scope="module")
def release(tmp_path_factory) -> TinyRelease:
    """Two bands, objects that cannot be used, holes, and slices of which the last is short."""
    tiny = TinyRelease(tmp_path_factory.mktemp("engines") / "release", bands=("g", "r"))
    tiny.table["RA"][3], tiny.table["DEC"][4], tiny.table["DEC"][5] = np.nan, -95.0, 40.0
    tiny.write(3)
    with fits.open(tiny.folder / "images" / "t0_r.fits", mode="update") as file:
        file[0].data[20, 140:150] = np.nan
    return tiny


def values(release: TinyRelease, engine: str) -> dict:
    return release.config(
        run={"engine": engine, "slice_rows": 9},
        measure={"quantities": ["gini", "cas", "mid", "sersic"], "band": "r"},
        encode={"workers": 2},
        publish={"rows_per_partition": 16},
    )


@pytest.fixture(scope="module")
def local(release, tmp_path_factory) -> Path:
    """A run in this process."""
    out = tmp_path_factory.mktemp("local") / "run"
    Runner()(values(release, "local"), release.folder, out)
    return out


def test_ray_writes_other_bytes(release, local, ray_cluster, tmp_path):
    Runner()(values(release, "ray"), release.folder, tmp_path / "run")
    assert len(everything(local)) > 30
    assert everything(tmp_path / "run") == everything(local)


def test_ray_keeps_what_one_process_ends_sooner(release, local, ray_cluster, tmp_path, monkeypatch):
    """Much to measure is Ray's; what is left once all is encoded is little, and has the same bytes."""
    slow = Rates(slice=0.0, read=0.0, encode=0.01, measure=9.0, call=0.0, usable=1.0)
    started, real = [], flow.started
    monkeypatch.setattr(run_time, "_kept_rates", lambda *_: slow)
    monkeypatch.setattr(
        flow, "started", lambda name, *rest, **more: started.append(name) or real(name, *rest, **more)
    )
    Runner()(values(release, "auto"), release.folder, tmp_path / "run")
    assert started == ["ray", "local"]
    assert everything(tmp_path / "run") == everything(local)


def test_threads_and_workers_change_the_bytes(release, local, tmp_path):
    config = values(release, "local")
    config["encode"] |= {"workers": 1, "threads": 2}
    Runner()(config, release.folder, tmp_path / "run")
    assert everything(tmp_path / "run") == everything(local)


def test_small_work_loads_ray_or_starts_processes(release, local, tmp_path):
    config = write_toml(values(release, "auto"), release.folder / "auto.toml")
    done = subprocess.run(
        [sys.executable, "-c", TYPED, "run", str(config), "--out", str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr.splitlines()[-1] == "False"
    assert "this process, without Ray" in done.stdout
    assert everything(tmp_path / "run") == everything(local)


def test_engine_is_another_run(release, local, tmp_path):
    """A run that has ended is one, whoever is asked to do it again."""
    before = everything(local)
    config = write_toml(values(release, "ray"), release.folder / "ray.toml")
    again = CliRunner().invoke(app, ["run", str(config), "--out", str(local)])
    assert again.exit_code == 0, again.output
    assert everything(local) == before


def test_progress_lines_differ(release, tmp_path, capsys):
    Runner()(values(release, "local"), release.folder, tmp_path / "run")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    ended = {line["stage"]: line for line in lines if line["state"] == "done"}
    assert list(ended) == ["encode", "reduce", "fit", "vote", "classify", "publish"]
    assert ended["encode"]["objects"] == ended["vote"]["total"] == 64


def test_what_this_process_cannot_do_is_refused(release, tmp_path):
    config = values(release, "local")
    config["run"]["dashboard"] = True
    with pytest.raises(Refused) as refused:
        make_plan(
            parse(config, "survey.toml"), str(release.folder), "survey.toml", str(tmp_path / "run"), "auto"
        )
    assert [fault.key for fault in refused.value.faults] == ["run.engine"] * 2
    for wanted in ("run.dashboard", "--address"):
        assert f"{wanted} asks for more" in str(refused.value)
