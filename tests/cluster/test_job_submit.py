"""`ray job submit --working-dir .` does what docs/operations.md says, word by word, on a cluster that wants a token."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import TinyRelease
from tests.k8s.manifests import ROOT
from tests.serving.conftest import free_ports
from tests.survey.browser import until
from tests.survey.conftest import files_of, tuningfork, write_toml

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
PATIENCE = 600.0
"""Seconds that a step may take on a busy machine."""


@dataclass
class Cluster:
    """One that was started as an administrator would."""

    url: str
    token: str

    def environment(self) -> dict[str, str]:
        """What somebody who uses it has set before."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        return clean | {"PATH": f"{BIN}:{os.environ['PATH']}"}


@pytest.fixture(scope="module")
def cluster():
    """A head with two CPUs, by `ray start`; its folder is short, for there are sockets in it."""
    ports, agent, token = free_ports(), free_ports(), secrets.token_hex(32)
    own = Cluster(f"http://127.0.0.1:{ports.http}", token)
    options = {
        "port": ports.grpc,
        "dashboard-port": ports.http,
        "dashboard-host": "127.0.0.1",
        "dashboard-agent-listen-port": agent.http,  # it runs the jobs; other clusters may have the usual one
        "node-ip-address": "127.0.0.1",
        "num-cpus": 2,
        "object-store-memory": 150 << 20,
    }
    with tempfile.TemporaryDirectory(prefix="tf-") as folder:
        command = [str(BIN / "ray"), "start", "--head", "--block", "--disable-usage-stats"]
        command += [f"--{key}={value}" for key, value in {**options, "temp-dir": folder}.items()]
        environment = own.environment() | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            until(lambda: answers(own), PATIENCE)
            yield own
        finally:
            process.send_signal(signal.SIGTERM)  # it takes the rest of the cluster along
            process.wait(60)


def answers(cluster: Cluster) -> bool:
    """Whether its job server is there."""
    headers = {"Authorization": f"Bearer {cluster.token}"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{cluster.url}/api/jobs/", headers=headers), timeout=10
        ):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """A folder with a config and nothing else; the release lies elsewhere."""
    base = tmp_path_factory.mktemp("submitted")
    tiny = TinyRelease(base / "release", per_side=20)
    values = tiny.config(
        images={"path": f"{tiny.folder}/images/{{TILE}}_{{band}}.fits"},
        encode={"model": "galaxy-atto", "input": 128, "turns": 4},
    )
    values["survey"]["catalogs"] = f"{tiny.folder}/catalogs/*.fits"
    (base / "survey").mkdir()
    write_toml(values, base / "survey" / "survey.toml")
    return base


def documented() -> list[str]:
    """The lines of the page, without what is said beside them."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    block = page.partition("### As a job of the cluster")[2].split("```")[1]
    return [line.partition(" #")[0].strip() for line in block.strip().splitlines()]


def typed(lines: list[str], cluster: Cluster, base: Path, token: str | None = None) -> subprocess.Popen[str]:
    """Type lines of the page in a shell, with this machine's names for the page's."""
    text = "\n".join(lines)
    ours = {
        "RAY_AUTH_TOKEN=…": f"RAY_AUTH_TOKEN={token or cluster.token}",
        "http://head:8265": cluster.url,
        "/shared/run": f"{base}/run",
    }
    for theirs, own in ours.items():
        assert theirs in text or theirs == "/shared/run"
        text = text.replace(theirs, own)
    return subprocess.Popen(
        ["bash", "-euc", text],
        cwd=base,
        env=cluster.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def parts(base: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (base / "run" / "objects").glob("part-*")}


def test_page_and_job_differ(cluster, survey):
    *before, submit, stop, again = documented()
    assert before[-1] == "cd survey"
    assert (
        submit
        == again
        == ("ray job submit --working-dir . -- tuningfork run survey.toml --out /shared/run --address auto")
    )
    first = typed([*before, submit], cluster, survey)
    early = until(lambda: parts(survey) or first.poll() is not None, PATIENCE)
    assert first.poll() is None, first.communicate()[0]
    said = ""
    while "submitted successfully" not in said:
        said += first.stdout.readline()
    (job,) = set(re.findall(r"raysubmit_\w+", said))
    stopping = typed([*before, stop.replace("raysubmit_…", job)], cluster, survey)
    assert "stopped" in stopping.communicate(timeout=PATIENCE)[0]
    said += first.communicate(timeout=PATIENCE)[0]
    assert not (survey / "run" / "catalog").exists()
    kept = parts(survey)
    assert set(early) <= set(kept)

    second = typed([*before, again], cluster, survey)
    said = second.communicate(timeout=PATIENCE)[0]
    assert second.returncode == 0, said
    assert "succeeded" in said
    assert kept.items() <= parts(survey).items()  # nothing was encoded twice
    here = tuningfork("run", survey / "survey" / "survey.toml", "--out", survey / "here", timeout=600)
    assert here.returncode == 0, here.stdout + here.stderr
    assert files_of(survey / "run") == files_of(survey / "here")

    third = typed([*before, again], cluster, survey)
    assert '"state": "start"' not in third.communicate(timeout=PATIENCE)[0]
    assert third.returncode == 0


def test_job_of_somebody_without_the_token(cluster, survey):
    *before, submit, _, _ = documented()
    stranger = typed([*before, submit], cluster, survey, token="0" * 64)
    said = stranger.communicate(timeout=PATIENCE)[0]
    assert stranger.returncode != 0
    assert "submitted successfully" not in said
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{cluster.url}/api/jobs/", timeout=30)


def test_config_that_is_refused_is_a_job_that_succeeds(cluster, survey):
    *before, submit, _, _ = documented()
    refused = typed([*before, submit.replace("survey.toml", "missing.toml")], cluster, survey)
    said = refused.communicate(timeout=PATIENCE)[0]
    assert refused.returncode == 1
    assert "missing.toml" in said
    assert "exit code 2" in said


def test_repository_is_too_large_or_other_code_runs(cluster, survey):
    """What is uploaded of it is what is in version control, and the job imports that."""
    *before, _, _, _ = documented()
    script = "import pipeline, catalogs; print('imported', pipeline.__file__, catalogs.__file__)"
    before[-1] = f"cd {ROOT}"
    done = typed([*before, f'ray job submit --working-dir . -- python -c "{script}"'], cluster, survey)
    said = done.communicate(timeout=PATIENCE)[0]
    assert done.returncode == 0, said
    assert len(re.findall(r"_ray_pkg_\w+/(?:pipeline|catalogs)/__init__.py", said)) == 2, said
