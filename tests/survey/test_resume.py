"""A run that was stopped anywhere goes on and ends with the bytes of one that never was."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from catalogs.errors import Refused
from pipeline.cli.main import app
from tests.conftest import TinyRelease
from tests.survey.conftest import COMMAND, Runner, files_of, tuningfork, write_toml

OTHER = {"local": "ray", "ray": "local"}


def by(engine: str, config: Path) -> Path:
    """The config, with the work done by an engine."""
    path = config.with_name(f"{engine}.toml")
    text = config.read_text(encoding="utf-8")
    path.write_text(text.replace("[run]\n", f'[run]\nengine = "{engine}"\n'), encoding="utf-8")
    return path


def started(config, out, *options) -> subprocess.Popen[str]:
    """A run, begun as the head of a process group."""
    command = [COMMAND, "run", config, "--out", out, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def kill(process: subprocess.Popen[str]) -> None:
    """`kill -9` its whole process group, if it has not ended by itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def wait_for_parts(out, number: int) -> None:
    """Return when so many slices are encoded."""
    limit = time.monotonic() + 120
    while len(list(out.glob("objects/part-*.parquet"))) < number:
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Config of a release of many slices, one of whose objects cannot be used."""
    tiny = TinyRelease(tmp_path_factory.mktemp("killed") / "release", per_side=12)
    tiny.table["RA"][7] = float("nan")
    tiny.write(3)
    values = tiny.config(run={"slice_rows": 8})
    return values, write_toml(values, tiny.folder / "survey.toml")


@pytest.mark.parametrize(
    ("first", "second"),
    [("local", "local"), ("ray", "local"), pytest.param("local", "ray", marks=pytest.mark.slow)],
)
def test_killed_run_goes_on_to_the_same_bytes(release, runner, request, tmp_path, first, second):
    """With the engine that it began with, or with the other one."""
    values, config = release
    if second == "ray":
        request.getfixturevalue("ray_cluster")
    runner(values, config.parent, tmp_path / "undisturbed")
    process = started(by(first, config), tmp_path / "run")
    wait_for_parts(tmp_path / "run", 3)
    kill(process)
    assert not (tmp_path / "run" / "published.json").exists()
    done = CliRunner().invoke(app, ["run", str(by(second, config)), "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert files_of(tmp_path / "run") == files_of(tmp_path / "undisturbed")


@pytest.fixture(scope="module")
def undisturbed(release, tmp_path_factory):
    """A config, and what it takes Ray to run it: the files that come of it, and seconds."""
    _, config = release
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    start = time.monotonic()
    done = tuningfork("run", by("ray", config), "--out", out)
    assert done.returncode == 0, done.stdout + done.stderr
    return config, files_of(out), time.monotonic() - start


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_a_random_moment_goes_on_to_the_same_bytes(undisturbed, tmp_path, seed):
    config, expected, seconds = undisturbed
    engine, quick = ("ray", 1.0) if seed % 2 else ("local", 0.5)
    process = started(by(engine, config), tmp_path / "run")
    time.sleep(random.Random(seed).uniform(0.15, 1.0) * seconds * quick)
    kill(process)
    done = tuningfork("run", by(OTHER[engine], config), "--out", tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_of(tmp_path / "run") == expected


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_interrupt_leaves_a_resumable_run_and_says_how_to_go_on(undisturbed, tmp_path, engine):
    config, expected, _ = undisturbed
    config = by(engine, config)
    process = started(config, tmp_path / "run")
    wait_for_parts(tmp_path / "run", 1)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130, text
    assert f"tuningfork run {config} --out {tmp_path / 'run'}" in text
    assert tuningfork("run", config, "--out", tmp_path / "run").returncode == 0
    assert files_of(tmp_path / "run") == expected


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A tiny release and a run of it that has ended."""
    base = tmp_path_factory.mktemp("ended")
    tiny = TinyRelease(base / "release")
    Runner()(tiny.config(), tiny.folder, base / "run")
    return tiny, base / "run"


@pytest.fixture
def again(ended, tmp_path):
    """The release, and a copy of the ended run to change."""
    tiny, run = ended
    return tiny, Path(shutil.copytree(run, tmp_path / "run"))


def test_changed_vote_keeps_the_embeddings_and_changes_the_catalog(again, runner):
    tiny, out = again
    parts = {p: p.stat().st_mtime_ns for p in (out / "objects").iterdir()}
    models = {p: p.stat().st_mtime_ns for p in (out / "models").glob("*.safetensors")}
    before = files_of(out)
    runner(tiny.config(vote={"rule": "unanimous"}), tiny.folder, out)
    assert {p: p.stat().st_mtime_ns for p in (out / "objects").iterdir()} == parts
    assert {p: p.stat().st_mtime_ns for p in (out / "models").glob("*.safetensors")} == models
    assert files_of(out) != before


def test_changed_encoder_is_mixed_in(again, runner):
    tiny, out = again
    with pytest.raises(Refused, match="encode.unwrap") as refused:
        runner(tiny.config(encode={"unwrap": "none"}), tiny.folder, out)
    assert "--anew" in str(refused.value)


@pytest.mark.slow
def test_anew_leaves_something_of_the_run_before(again, runner, tmp_path):
    tiny, out = again
    other = tiny.config(encode={"unwrap": "none"})
    runner(other, tiny.folder, out, anew=True)
    runner(other, tiny.folder, tmp_path / "fresh")
    assert files_of(out) == files_of(tmp_path / "fresh")


def test_a_part_that_was_lost_is_made_again(again, runner):
    tiny, out = again
    expected = files_of(out)
    for path in (
        *list((out / "objects").iterdir())[:2],
        *list((out / "votes").iterdir())[1:3],
        out / "published.json",
    ):
        path.unlink()
    runner(tiny.config(), tiny.folder, out)
    assert files_of(out) == expected
