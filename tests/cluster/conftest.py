"""What the runs on clusters share: a release of simulated galaxies, and the catalog of an undisturbed run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster.nodes import Machines, machines
from tests.cluster.runs import Run
from tests.survey.conftest import tuningfork

GALAXIES, SLICE_ROWS = 50_000, 500
SLICES = GALAXIES // SLICE_ROWS
WORKERS = 3
COST = "seconds lost"


@dataclass(frozen=True)
class Undisturbed:
    """What a run is compared with."""

    config: Path
    files: dict[str, bytes]
    seconds: float


def write_config(release: Path, name: str, encode: str, slice_rows: int = SLICE_ROWS) -> Path:
    """A config beside the release's own, whose numbers for encoders are `encode`."""
    own = (release / "survey.toml").read_text(encoding="utf-8")
    text = own.replace("[measure]\n", '[measure]\nquantities = ["gini"]\n')
    text = text[: text.index("# Medians")]
    path = release / f"{name}.toml"
    tail = f"[run]\nslice_rows = {slice_rows}\nread_cpus = 1\ninterval = 1.0\n[encode]\n{encode}\n[fit]\ngroups = 12\nbags = 4\n"
    path.write_text(text + tail, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Simulated galaxies in eight shards: three minutes, and 3 GB that are thrown away."""
    folder = tmp_path_factory.mktemp("release") / "simulated"
    done = tuningfork("simulate", folder, "--galaxies", str(GALAXIES), "--shards", "8", timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    yield folder
    shutil.rmtree(folder)


def three_workers() -> Iterator[Machines]:
    """A head without work, and three workers."""
    with machines() as cluster:
        for _ in range(WORKERS):
            cluster.add("--num-cpus=2")
        yield cluster


@pytest.fixture(scope="session")
def undisturbed(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A run without faults, on the same kind of cluster."""
    config = write_config(release, "three", f"workers = {WORKERS}")
    for cluster in three_workers():
        run = Run(config, tmp_path_factory.mktemp("undisturbed") / "run", cluster)
        run.begin()
        seconds = run.finish()
    return Undisturbed(config, run.files(), seconds)


@pytest.fixture
def cluster() -> Iterator[Machines]:
    """A cluster for one test."""
    yield from three_workers()


@pytest.fixture
def cost(
    record_property: Callable[[str, object], None], undisturbed: Undisturbed
) -> Callable[[float, int], None]:
    """Say what faults cost, for the summary."""

    def say(seconds: float, faults: int = 1) -> None:
        record_property(COST, (seconds - undisturbed.seconds) / faults)
        record_property("seconds undisturbed", undisturbed.seconds)

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each kind of fault."""
    lines = [
        f"{values[COST]:7.1f} s lost a fault, of {values['seconds undisturbed']:.0f} s: {report.nodeid.split('::')[-1]}"
        for report in terminalreporter.getreports("passed")
        if COST in (values := dict(report.user_properties))
    ]
    if lines:
        terminalreporter.section("what faults cost")
        terminalreporter.write_line("\n".join(lines))
