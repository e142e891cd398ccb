"""The wheel that `python -m build` makes installs in an empty venv, and what is in it simulates and runs a release."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


def typed(*command: str | Path, **options) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The commands of an empty venv that has the wheel; what it depends on is lent by the venv of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    clone = folder / "clone"
    typed("git", "clone", "--quiet", ROOT, clone)
    typed(sys.executable, "-m", "build", "--wheel", "--outdir", folder, clone)
    (wheel,) = folder.glob("*.whl")
    typed(sys.executable, "-m", "venv", folder / "venv")
    commands = folder / "venv" / "bin"
    typed(commands / "python", "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    site = typed(commands / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # after the wheel's own folder, and without the finder of an editable install
    (Path(site) / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return commands


def test_installed_package_is_not_the_checkout(installed, tmp_path):
    where = typed(installed / "python", "-c", "import pipeline; print(pipeline.__file__)", cwd=tmp_path)
    assert "venv" in where
    assert str(ROOT) not in where


def test_wheel_lacks_the_decision_trees(installed, tmp_path):
    code = "from kernels.tree_text import bundled, bundled_names; print(len([bundled(name) for name in bundled_names()]))"
    assert typed(installed / "python", "-c", code, cwd=tmp_path).strip() == "6"


def test_wheel_lacks_something_that_a_run_needs(installed, tmp_path):
    typed(
        installed / "tuningfork",
        "simulate",
        tmp_path / "release",
        "--galaxies",
        "120",
        "--shards",
        "2",
        cwd=tmp_path,
    )
    config = tmp_path / "release" / "survey.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(f"{text}\n[fit]\ngroups = 3\nbags = 2\n", encoding="utf-8")
    said = typed(installed / "tuningfork", "run", config, "--out", tmp_path / "run", cwd=tmp_path)
    assert "catalog:" in said
    assert "agreement" in typed(
        installed / "tuningfork", "query", tmp_path / "run", "--name", "agreement", cwd=tmp_path
    )
    typed(installed / "tuningfork", "report", tmp_path / "run", "--no-umap", cwd=tmp_path)
    assert (tmp_path / "run" / "report" / "index.html").exists()
