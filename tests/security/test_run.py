"""While a run or a server is up, nothing of it listens beyond this machine; afterwards no secret is in what it left."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from pipeline.serving.serve import serving
from tests.conftest import TinyRelease
from tests.serving.conftest import OPTIONS, free_ports
from tests.survey.conftest import COMMAND, tuningfork, write_toml

pytestmark = pytest.mark.slow

SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED000000001",
    "AWS_SECRET_ACCESS_KEY": "planted-secret-2f9c",
    "AWS_SESSION_TOKEN": "planted-session-7b1e",
    "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/planted-google.json",
    "AZURE_STORAGE_KEY": "planted-azure-55aa",
}
PATIENCE = 500
"""Seconds that a run may take on a busy machine."""
NO_AGENT = 500
"""Ray's answer to whoever may submit a job, where another Ray on this machine has the port of its agent."""
ENDPOINTS = ["/api/version", "/api/jobs/", "/nodes?view=summary", "/api/v0/actors", "/logs"]


def listeners(process: psutil.Process) -> set[tuple[str, str]]:
    """Name and address of everything that a process and its children listen on."""
    found = set()
    for each in [process, *process.children(recursive=True)]:
        try:
            for one in each.net_connections("inet"):
                if one.status == psutil.CONN_LISTEN or (one.type == socket.SOCK_DGRAM and not one.raddr):
                    found.add((each.name(), one.laddr.ip))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def beyond(found: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Those that others can reach."""

    def local(text: str) -> bool:
        address = ipaddress.ip_address(text)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback

    return {(name, address) for name, address in found if not local(address)}


def asked(url: str, token: str | None, body: bytes | None = None) -> int:
    """The HTTP status of an answer."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    if token is not None:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@dataclass
class Watched:
    """What was seen of a run."""

    code: int
    said: str
    out: Path
    listened: set[tuple[str, str]] = field(default_factory=set)
    answers: dict[str, dict[str, int]] = field(default_factory=dict)
    token: str = ""
    token_mode: int = 0
    logs: set[Path] = field(default_factory=set)


def watch(folder: Path, *options: str) -> Watched:
    """Type `tuningfork run`, which starts Ray, with secrets in the environment and a home of its own, and look at it until it ends."""
    tiny = TinyRelease(folder / "release")
    config = write_toml(tiny.config(run={"slice_rows": 2, "engine": "ray"}), tiny.folder / "survey.toml")
    out, home = folder / "run", folder / "home"
    home.mkdir()
    env = {**os.environ, **SECRETS, "HOME": str(home), "OMP_NUM_THREADS": "1"}
    env["RAY_agent_register_timeout_ms"] = "300000"  # machines that test are busy
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        env.pop(name, None)
    log = folder / "said"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [COMMAND, "run", str(config), "--out", str(out), *options],
            stdout=stream,
            stderr=stream,
            env=env,
            start_new_session=True,
        )
        seen = Watched(-1, "", out)
        try:
            _look(process, seen, log, home)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    token = home / ".ray" / "auth_token"
    seen.token, seen.token_mode = token.read_text(), token.stat().st_mode & 0o777
    seen.code, seen.said = process.wait(), log.read_text()
    return seen


def _look(process: subprocess.Popen[bytes], seen: Watched, log: Path, home: Path) -> None:
    limit = time.monotonic() + PATIENCE
    while process.poll() is None:
        assert time.monotonic() < limit, log.read_text()
        me = psutil.Process(process.pid)
        try:
            seen.listened |= listeners(me)
            lines = [line for each in me.children(recursive=True) for line in each.cmdline()]
        except psutil.NoSuchProcess:
            continue
        seen.logs |= {Path(hit[1]).parent for line in lines if (hit := re.search(r"--log_dir=(\S+)", line))}
        page = re.search(r"Ray dashboard: (http://\S+)", log.read_text())
        if page and not seen.answers:
            token = (home / ".ray" / "auth_token").read_text()
            tokens = {"none": None, "wrong": "0" * 64, "right": token}
            seen.answers = {kind: _statuses(page[1], given) for kind, given in tokens.items()}
        time.sleep(0.2)


def _statuses(page: str, token: str | None) -> dict[str, int]:
    job = json.dumps({"entrypoint": "true"}).encode()
    return {
        **{path: asked(page + path, token) for path in ENDPOINTS},
        "submit": asked(f"{page}/api/jobs/", token, job),
    }


@pytest.fixture(scope="module", params=[[], ["--dashboard"]], ids=["plain", "dashboard"])
def watched(request, tmp_path_factory) -> Watched:
    seen = watch(tmp_path_factory.mktemp("watched"), *request.param)
    assert seen.code == 0, seen.said
    assert len(seen.listened) > 3, "nothing was seen: the test looks at the wrong processes"
    return seen


def test_nothing_of_a_run_listens_beyond_this_machine(watched):
    assert not beyond(watched.listened)


def test_the_dashboard_and_its_jobs_want_the_token(watched):
    if not watched.answers:
        assert "dashboard" not in watched.said
        return
    refused = {**watched.answers["none"], **{f"wrong {k}": v for k, v in watched.answers["wrong"].items()}}
    assert set(refused.values()) <= {401, 403}, refused
    assert watched.answers["right"]["submit"] in {200, NO_AGENT}
    assert watched.answers["right"]["/api/version"] == 200
    assert watched.answers["right"]["/api/jobs/"] == 200
    assert not {401, 403} & set(watched.answers["right"].values())


def test_the_token_is_its_users_alone(watched):
    assert re.fullmatch(r"[0-9a-f]{64}", watched.token)
    assert watched.token_mode == 0o600


def test_no_secret_is_in_what_a_run_leaves(watched):
    made = tuningfork("report", watched.out)
    assert made.returncode == 0, made.stdout + made.stderr
    secrets = [*SECRETS.values(), watched.token]
    assert watched.logs
    folders = [watched.out, *watched.logs]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 20
    kept = {str(path): path.read_bytes() for path in files} | {"said": watched.said.encode()}
    assert not [
        (name, secret) for name, content in kept.items() for secret in secrets if secret.encode() in content
    ]


def test_a_server_listens_on_this_machine_alone(tmp_path, monkeypatch):
    from actors.serving.repository import Serving, export

    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    export(OPTIONS, tmp_path / "repository", Serving())
    with (
        (tmp_path / "log").open("wb") as log,
        serving(tmp_path / "repository", free_ports(), log=log.fileno()) as process,
    ):
        found = listeners(psutil.Process(process.pid))
    assert len(found) >= 1
    assert not beyond(found)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [p for p in files for secret in SECRETS.values() if secret.encode() in p.read_bytes()]
