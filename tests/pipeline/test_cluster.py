"""Where Ray cannot start, or no cluster answers, one line says so; and a busy machine is given time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import pytest

from catalogs.errors import Fault, Refused
from pipeline.engine import private_cluster
from pipeline.engine.cluster import refuse_or_wait
from pipeline.engine.temp_folder import temp_faults
from tests.survey.conftest import COMMAND, write_toml

CONNECT = """
import sys
from pipeline.cli import main as cli
from pipeline.engine.cluster import cluster
from pipeline.config.run import Run

def app():
    with cluster(Run(object_store_gib=0.1), *sys.argv[1:]):
        import ray
        print("connected to", ray.get_runtime_context().gcs_address, flush=True)

cli.app = app
cli.main()
"""
"""A command that only connects, ended as every command is."""


START = """
        class Encoder:
            def __init__(self):
                raise RuntimeError("Torch not compiled with CUDA enabled.")
        ray.get(ray.remote(num_cpus=0)(Encoder).remote().__ray_ready__.remote())
"""
"""What comes after connecting where an actor cannot start."""


def connect(*address: str, then: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    env = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | environment
    command = [sys.executable, "-c", CONNECT.replace("\ncli.app", f"{then}\ncli.app"), *address]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    """What was said, where a command stopped as ours do."""
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = done.stdout.strip().splitlines()
    assert line.startswith("stopped: ")
    return line


def nobody() -> str:
    """An address where nothing listens."""
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{each.getsockname()[1]}"


QUICK = {"RAY_gcs_rpc_server_connect_timeout_s": "1", "RAY_py_gcs_connect_timeout_s": "1"}
"""How long Ray waits for a cluster's head."""


def test_a_cluster_that_is_not_there_ends_in_a_traceback(tiny, tmp_path):
    address, config = nobody(), write_toml(tiny.config(), tiny.folder / "survey.toml")
    run = [COMMAND, "run", config, "--out", tmp_path / "run", "--address", address]
    done = subprocess.run(run, capture_output=True, text=True, timeout=300, env={**os.environ, **QUICK})
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert f"stopped: no Ray cluster at {address}, after " in done.stdout.splitlines()[-1]
    assert "--address" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("nowhere", "Invalid address"),
        pytest.param("ray://127.0.0.1:1", "connection timeout", marks=pytest.mark.slow),
    ],
)
def test_an_address_that_is_none_ends_in_a_traceback(address, word):
    line = one_line(connect(address, RAY_CLIENT_MAX_CONNECT_RETRIES="1"))
    assert f"no Ray cluster at {address}" in line
    assert word in line


def test_ray_that_cannot_start_ends_in_a_traceback():
    line = one_line(connect(RAY_TMPDIR="/dev/null/ray"))
    assert "Ray did not start on this machine, after " in line
    assert "/dev/null/ray" in line


def test_a_run_without_an_address_joins_the_cluster_of_somebody_else():
    """Ray would: `ray start` leaves its address where every user's Ray looks for it."""
    other = nobody()
    with tempfile.TemporaryDirectory() as short:  # names of sockets must be
        (Path(short) / "ray").mkdir()
        (Path(short) / "ray" / "ray_current_cluster").write_text(other)
        done = connect(RAY_TMPDIR=short, RAY_ADDRESS=other)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "connected to 127.0.0.1:" in done.stdout
    assert other not in done.stdout


def hold_up_raylet(seconds: float, found: list[psutil.Process]) -> None:
    """Stop the next raylet that a child of this process starts, as a starved machine would."""
    limit = time.monotonic() + 120
    while not found and time.monotonic() < limit:
        found += [each for each in psutil.Process().children(recursive=True) if each.name() == "raylet"]
        time.sleep(0.01)
    found[0].suspend()
    threading.Event().wait(seconds)
    if found[0].is_running():
        found[0].resume()


@pytest.fixture
def held_up():
    """`held_up(seconds)` makes the next raylet wait so long."""
    threads = []

    def hold(seconds: float) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        threads.append(threading.Thread(target=hold_up_raylet, args=(seconds, found)))
        threads[-1].start()
        return found

    yield hold
    for thread in threads:
        thread.join()


@pytest.mark.slow
def test_a_busy_machine_is_given_half_a_minute(held_up):
    held_up(45)
    done = connect()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "connected" in done.stdout


@pytest.mark.slow
def test_a_machine_too_busy_for_ray_ends_in_a_traceback_or_leaves_processes(held_up):
    raylets = held_up(60)
    line = one_line(connect(RAY_raylet_start_wait_time_s="5"))
    assert "Ray did not start on this machine, after 3" in line
    assert "timed out during startup" in line
    assert "less is running" in line
    (raylet,) = raylets
    raylet.wait(60)


def test_a_limit_that_a_user_sets_is_overruled():
    """Here, no time at all."""
    line = one_line(connect(RAY_gcs_server_port_wait_time_s="0"))
    assert "Ray did not start" in line
    assert "Timed out waiting for file" in line


@pytest.mark.slow
def test_actor_that_cannot_start_does_not_say_why():
    done = connect(then=START)
    assert done.returncode == 3, done.stdout + done.stderr
    line = done.stdout.strip().splitlines()[-1]
    assert line.startswith("stopped: an actor cannot start: RuntimeError: Torch not compiled with CUDA")
    assert "run the same command again" in line


def test_cluster_that_may_grow_is_waited_for(capsys):
    lacking = [Fault("survey.toml", "1 workers need 1 GPUs, and there are 0", "Lower it", key="train.gpus")]
    refuse_or_wait(lacking, "auto")
    told = " ".join(capsys.readouterr().out.split())
    assert (
        told == "note: train.gpus: 1 workers need 1 GPUs, and there are 0: waiting for the cluster to grow."
    )
    for own in (None, "local"):
        refuse_or_wait([], own)
        with pytest.raises(Refused, match="train.gpus"):
            refuse_or_wait(lacking, own)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "missing below a file"])
def test_a_home_that_cannot_be_written_to_ends_in_a_traceback(tmp_path, kind):
    """Read-only ones too, which root cannot make of a plain folder."""
    home = tmp_path / "home"
    home.write_text("")
    done = connect(HOME=str(home if kind == "file" else home / "below"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "connected to 127.0.0.1:" in done.stdout


def test_a_token_without_a_home_is_not_everybodys(tmp_path, monkeypatch):
    (tmp_path / "home").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    private_cluster._keep_token_private()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_half_written_token_is_taken(tmp_path, monkeypatch):
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    private_cluster._keep_token_private()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


@pytest.mark.slow
def test_a_temporary_folder_too_long_for_sockets_is_not_named(tiny, tmp_path):
    long = tmp_path / ("x" * 80)
    long.mkdir()
    line = one_line(connect(TMPDIR=str(long), RAY_TMPDIR=""))
    for word in ("TMPDIR", str(long), f"is {len(str(long))} bytes long", "107", "RAY_TMPDIR", "/tmp"):
        assert word in line
    config = write_toml(tiny.config(), tiny.folder / "survey.toml")
    env = {k: v for k, v in os.environ.items() if k != "RAY_TMPDIR"} | {"TMPDIR": str(long)}
    for command in ("plan", "run"):
        typed = [COMMAND, command, config, "--out", tmp_path / "run"]
        done = subprocess.run(typed, capture_output=True, text=True, timeout=300, env=env)
        assert done.returncode == 2, done.stdout + done.stderr
        assert f"TMPDIR, value {long}: is {len(str(long))} bytes long" in done.stdout
        assert not (tmp_path / "run").exists()


def test_a_temporary_folder_that_cannot_be_one(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/dev/null/ray")
    (fault,) = temp_faults()
    assert "RAY_TMPDIR, value /dev/null/ray: cannot be written to" in str(fault)


def test_a_full_temporary_folder_is_learned_of_after_a_minute(monkeypatch, tmp_path):
    monkeypatch.setattr("pipeline.engine.temp_folder.LEAST", 1 << 60)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    (fault,) = temp_faults()
    assert "RAY_TMPDIR, value /tmp: is on a disk that is full" in str(fault)
