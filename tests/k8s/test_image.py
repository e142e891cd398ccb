"""What the image and the job start is a command that exists, of the versions that were tested."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import tomllib

import pytest
import typer

from pipeline.cli.main import app
from tests.k8s.manifests import OVERLAYS, ROOT, pods, rayjob, rendered

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
KUBERAY = {"bash", "wget"}
"""What KubeRay's start command and probes call in the image."""
UsageError = typer.BadParameter.__base__


def parsed(words: list[str]) -> str:
    """The command that the words would run, after the real parser has taken all of them."""
    assert words[0] in SCRIPTS, f"{words[0]} is no command of ours"
    command = typer.main.get_command(app)
    path, rest = words[0], words[1:]
    while hasattr(command, "commands"):
        context = command.context_class(command, info_name=path)
        name, command, rest = command.resolve_command(context, rest)
        path = f"{path} {name}"
    command.make_context(path, rest)
    return path


def stages() -> dict[str, str]:
    """The Dockerfile's stages by name."""
    parts = re.split(r"(?m)^FROM ", DOCKERFILE)[1:]
    return {re.match(r"\S+ AS (\w+)", part)[1]: part for part in parts}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_job_that_is_no_command(overlay):
    job = rayjob(rendered(overlay))
    assert parsed(shlex.split(job["spec"]["entrypoint"])) == "tuningfork run"
    for pod in pods(job):
        for container in pod.containers:
            if container.get("command", [""])[0] in SCRIPTS:
                assert parsed(container["command"]) == "tuningfork export-encoder"


@pytest.mark.parametrize(
    "command",
    [
        "tuningfrok run survey.toml --out run",
        "tuningfork survey survey.toml --out run",
        "tuningfork run survey.toml",
        "tuningfork run survey.toml --out run --adress auto",
        "tuningfork export-encoder survey.toml /models --instances two",
    ],
)
def test_parser_sees(command):
    with pytest.raises((AssertionError, UsageError)):
        parsed(shlex.split(command))


def test_image_starts_a_command_that_exists():
    for name in ("ray", "server"):
        (entrypoint,) = re.findall(r"(?m)^ENTRYPOINT (.*)$", stages()[name])
        assert parsed([*json.loads(entrypoint), "run", "c", "--out", "r"]) == "tuningfork run"


def test_image_runs_as_the_user_of_the_manifests():
    for name in ("ray", "server"):
        (user,) = re.findall(r"(?m)^USER (\d+):(\d+)$", stages()[name])
        for overlay in OVERLAYS:
            for pod in pods(rayjob(rendered(overlay))):
                context = pod.spec["securityContext"]
                assert (str(context["runAsUser"]), str(context["runAsGroup"])) == user


def test_image_has_what_kuberay_calls():
    (packages,) = re.findall(r"apt-get install -y --no-install-recommends (.*?) &&", stages()["ray"])
    assert set(packages.split()) >= KUBERAY


def test_image_is_of_the_pinned_versions():
    install = (ROOT / "k8s" / "install.sh").read_text(encoding="utf-8")
    commands = re.findall(r'(?m)^"\$pip" install .*$', install)
    assert commands
    assert all('-c "$source/constraints.txt"' in command for command in commands)
    assert "pip install" not in DOCKERFILE.replace("/install.sh", "")
    python = re.search(r"ARG PYTHON=(\S+)", DOCKERFILE)[1]
    assert (
        python
        in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    )


def test_install_script_refuses_a_device_that_is_none():
    done = subprocess.run(
        ["bash", ROOT / "k8s" / "install.sh", "true", ".", "tpu"], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "not tpu" in done.stderr


def test_everything_that_is_copied_is_let_into_the_build():
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert ignore[1] == "*"
    let_in = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        word for line in re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", DOCKERFILE) for word in line.split()
    }
    copied |= set(re.findall(r"source=([\w./]+)", DOCKERFILE))
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)
