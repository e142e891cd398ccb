"""The command that serves, as a user types it, and served runs beside runs in process."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from catalogs.errors import Refused
from pipeline.config.file import parse
from pipeline.plan.make_plan import make_plan
from pipeline.plan.run_time import estimate
from pipeline.serving.serve import CLIENT_MEMORY, _supports, find, serving
from tests.cluster.nodes import machines
from tests.conftest import TinyRelease
from tests.serving.conftest import free_ports
from tests.survey.conftest import COMMAND, Runner, files_of, tuningfork, write_toml


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return TinyRelease(tmp_path_factory.mktemp("served") / "release")


@pytest.fixture
def runner() -> Runner:
    return Runner()


def served(tiny: TinyRelease, ports, **encode):
    keys = {"served_by": "tritonserver", "endpoints": [ports.endpoint], "timeout": 20.0, **encode}
    return tiny.config(encode=keys)


@pytest.fixture(scope="module")
def command(release, tmp_path_factory):
    """`tuningfork export-encoder` and `serve`, and the ports it listens on."""
    folder, ports = tmp_path_factory.mktemp("serve"), free_ports()
    config = write_toml(served(release, ports), release.folder / "served.toml")
    exported = tuningfork("export-encoder", config, folder / "repository")
    assert exported.returncode == 0, exported.stdout + exported.stderr
    options = ["--port", ports.grpc, "--http-port", ports.http, "--metrics-port", ports.metrics]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [COMMAND, "serve", folder / "repository", *map(str, options)], stdout=log, stderr=log
        )
        limit = time.monotonic() + 120
        while "ready: " not in (folder / "log").read_text():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < limit
            time.sleep(0.2)
        yield ports
        shared = set(Path("/dev/shm").glob(f"tuningfork-{process.pid}-*"))
        assert shared  # the server's own, while it runs
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert not set(Path("/dev/shm").glob(f"tuningfork-{process.pid}-*"))


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_served_run_has_another_catalog(command, release, runner: Runner, tmp_path, request, engine):
    if engine == "ray":
        request.getfixturevalue("ray_cluster")
    runner(release.config(), release.folder, tmp_path / "here")
    before = set(Path("/dev/shm").glob(f"tuningfork-{os.getpid()}-*"))  # other tests' clients
    by = {"run": {"engine": engine, "slice_rows": 16}}
    runner(served(release, command) | by, release.folder, tmp_path / "there")
    assert set(Path("/dev/shm").glob(f"tuningfork-{os.getpid()}-*")) <= before
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")


def test_server_keeps_its_metrics_to_itself(command):
    with urllib.request.urlopen(f"http://127.0.0.1:{command.metrics}/metrics", timeout=10) as page:
        assert b'nv_inference_request_success{model="encoder"' in page.read()


def test_plan_lets_another_encoder_pass(command, release, runner: Runner, tmp_path):
    with pytest.raises(Refused, match="stretch = 'asinh', not 'linear'"):
        runner.plan(served(release, command, stretch="linear"), release.folder, tmp_path)


def test_plan_lets_a_dead_server_pass(release, runner: Runner, tmp_path):
    ports = free_ports()
    with pytest.raises(Refused, match=rf"{ports.endpoint}.*does not answer"):
        runner.plan(served(release, ports), release.folder, tmp_path)


def test_plan_for_a_cluster_wants_its_servers_here(release, tmp_path):
    """127.0.0.1 is another server on every node that encodes, and the driver may run where there is none."""
    ports = free_ports()
    config = parse(served(release, ports), "survey.toml")
    plan = make_plan(config, str(release.folder), "survey.toml", str(tmp_path), "head:6379")
    (note,) = [note for note in plan.notes if ports.endpoint in note]
    assert "does not answer here" in note
    assert math.isnan(estimate(plan, "head:6379").seconds)


def test_plan_for_a_cluster_lets_a_dead_server_elsewhere_pass(release, tmp_path):
    endpoints = ["grpc://127.0.0.1:1", "grpc://nowhere.invalid:8001"]
    config = parse(served(release, free_ports(), endpoints=endpoints), "survey.toml")
    with pytest.raises(Refused, match=r"nowhere\.invalid:8001.*does not answer"):
        make_plan(config, str(release.folder), "survey.toml", str(tmp_path), "head:6379")


@pytest.fixture(scope="module")
def joined():
    """A cluster that a run joins."""
    with machines("127.0.2") as cluster:
        cluster.add("--num-cpus=4")
        yield cluster


@pytest.mark.slow
def test_run_on_a_cluster_has_another_catalog_where_only_encoders_see_servers(
    joined, release, runner: Runner, tmp_path
):
    """The server is not there when the plan looks, and is when encoders ask."""
    ports = free_ports()
    config = write_toml(served(release, ports), release.folder / "joined.toml")
    export = tuningfork("export-encoder", config, tmp_path / "repository")
    assert export.returncode == 0, export.stdout + export.stderr
    said = tmp_path / "said"
    with said.open("wb") as stream:
        run = [COMMAND, "run", config, "--out", tmp_path / "run", "--address", joined.address]
        process = subprocess.Popen(run, stdout=stream, stderr=stream, env=joined.env)
        limit = time.monotonic() + 200
        while "does not answer here" not in said.read_text():
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < limit
            time.sleep(0.1)
        with (tmp_path / "log").open("wb") as log, serving(tmp_path / "repository", ports, log=log.fileno()):
            assert process.wait(300) == 0, said.read_text()
    runner(release.config(), release.folder, tmp_path / "here")
    assert files_of(tmp_path / "run") == files_of(tmp_path / "here")


@pytest.mark.slow
def test_encoder_without_its_server_waits_for_ever(joined, release, tmp_path):
    ports = free_ports()
    config = write_toml(served(release, ports, patience=1.0), release.folder / "alone.toml")
    run = [COMMAND, "run", config, "--out", tmp_path / "run", "--address", joined.address]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300, env=joined.env)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    told = [line for line in done.stdout.splitlines() if "no server answered for 1 s" in line]
    assert told
    assert all(ports.endpoint in line for line in told)


@pytest.mark.slow
def test_run_without_its_server_ends_as_if_done(release, runner: Runner, tmp_path):
    """Exit code 3, with the endpoint; once the server is back the same command finishes."""
    ports = free_ports()
    keys = {"run": {"slice_rows": 1}, "encode": {"patience": 1.0, "in_flight": 1}}
    values = served(release, ports, **keys["encode"]) | {"run": keys["run"]}
    config = write_toml(values, release.folder / "lost.toml")
    export = tuningfork("export-encoder", config, tmp_path / "repository")
    assert export.returncode == 0, export.stdout + export.stderr
    run = [COMMAND, "run", config, "--out", tmp_path / "run"]
    with (tmp_path / "log").open("wb") as log:
        with serving(tmp_path / "repository", ports, log=log.fileno()) as server:
            process = subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            limit = time.monotonic() + 300
            while len(list((tmp_path / "run" / "objects").glob("part-*"))) < 5:
                assert time.monotonic() < limit
                time.sleep(0.02)
            os.killpg(server.pid, signal.SIGKILL)
            said, _ = process.communicate(timeout=100)
        assert process.returncode == 3, said
        assert ports.endpoint in said
        parts = len(list((tmp_path / "run" / "objects").glob("part-*")))
        assert parts < len(release.table)
        with serving(tmp_path / "repository", ports, log=log.fileno()):
            again = subprocess.run(run, capture_output=True, text=True, timeout=200)
    assert again.returncode == 0, again.stdout
    runner(release.config(run=keys["run"]), release.folder, tmp_path / "here")
    assert files_of(tmp_path / "run") == files_of(tmp_path / "here")


def test_server_lost_while_a_run_is_planned_ends_in_a_traceback():
    code = (
        "from pipeline.cli import main as cli\nfrom actors.serving.contract import ServingError\n"
        "def app():\n    raise ServingError('grpc://there:1: gone')\ncli.app = app\ncli.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert "grpc://there:1: gone" in done.stdout
    assert "Traceback" not in done.stderr


def test_server_is_given_an_option_that_it_does_not_know():
    """It would not start: its help is asked first. The wheel's server is older than the option."""
    server = find()
    assert _supports(server, "--grpc-port")
    assert _supports(server, CLIENT_MEMORY) == (server.wheel is None)
    assert not _supports(server, "--no-such-option")


def test_serving_nothing_starts_a_server(tmp_path):
    done = tuningfork("serve", tmp_path)
    assert done.returncode == 2
    assert "is no model repository" in done.stdout
