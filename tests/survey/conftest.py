"""Runs end to end: in this process, which does the work itself unless a config asks for Ray, or as the command that a user types."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catalogs import views
from pipeline import flow
from pipeline.cli.main import main
from pipeline.config.file import parse
from pipeline.plan.make_plan import make_plan
from pipeline.plan.plan import Plan

COMMAND = str(Path(sys.executable).with_name("tuningfork"))


class Runner:
    """Runs configs, given as dictionaries, in this process."""

    def plan(self, values: dict[str, Any], folder: Path, out: Path) -> Plan:
        return make_plan(parse(values, "survey.toml"), str(folder), str(folder / "survey.toml"), str(out))

    def __call__(self, values: dict[str, Any], folder: Path, out: Path, *, anew: bool = False) -> Plan:
        plan = self.plan(values, folder, out)
        plan.run.prepare(plan.record, anew=anew, remedy=f"{plan.command} --anew")
        flow.run(plan)
        return plan


@pytest.fixture
def runner() -> Runner:
    return Runner()


@pytest.fixture(params=["local", "ray"])
def engine(request) -> str:
    """Both engines, one after the other; Ray is there already."""
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    return request.param


def write_toml(values: dict[str, Any], path: Path) -> Path:
    """Write a config file."""

    def section(keys: dict[str, Any], name: str) -> str:
        plain, text = "", ""
        for key, value in keys.items():
            inner = f"{name}.{key}".lstrip(".")
            if isinstance(value, dict):
                text += f"[{inner}]\n" + section(value, inner)
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                text += "".join(f"[[{inner}]]\n" + section(each, inner) for each in value)
            else:
                plain += f"{key} = {json.dumps(value)}\n"
        return plain + text

    path.write_text(section(values, ""), encoding="utf-8")
    return path


def tuningfork(*arguments: str | Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Type a command, in a process group of its own."""
    command = [COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, start_new_session=True)


def typed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The same without the process: what a command says that is refused, or does a little; one that stops with faults takes its process along."""
    words, said, code = ["tuningfork", *map(str, arguments)], io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        patch.setattr(sys, "argv", words)
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(words, code, said.getvalue(), "")


def objects_of(out: Path) -> pa.Table:
    """The whole catalog, ordered by id."""
    with views.connect(str(out)) as connection:
        return connection.sql("SELECT * FROM objects ORDER BY object_id").to_arrow_table()


def files_of(out: Path) -> dict[str, bytes]:
    """Every published file and its bytes; the database of views names its own folder, so it is left out."""
    published = [out / "unplaced.parquet", *(out / "catalog").rglob("*"), *(out / "embeddings").rglob("*")]
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(published) if p.is_file()}
