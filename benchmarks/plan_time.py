"""The time that a plan states, over the time that the run then takes.

    python -m benchmarks.plan_time [--scale 1.0] [--galaxies labels.csv ...]

Every row is one release that is planned and then run, on the cores of this machine, one command after the other. `stated` is the
plan's time, `actual` that of the `tuningfork run` from the moment at which its plan is printed; `trial` is what finding out took.
Releases are simulated blobs of several sizes and bands, and pictures of real galaxies that `tuningfork pack` makes a release of (the
tables that are named, by default those of EFIGI and Galaxy Zoo where they lie beside this repository). The target is a factor of two,
either way.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from benchmarks.common import write_csv
from benchmarks.releases import write_release
from catalogs.pack import pack
from pipeline.plan import kept_trial
from pipeline.plan.make_plan import plan_of
from pipeline.plan.run_time import estimate

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NOTHING = "[measure]\nquantities = []\n"
FITS = "[measure]\nfwhm = 0.6\n"
UNWRAPPED = '[encode]\nmodel = "timm:convnext_atto"\nunwrap = "moments"\n'
LARGE_INPUT = '[encode]\nmodel = "timm:convnext_atto"\ninput = 224\n'


@dataclass(frozen=True)
class Case:
    """A release and what is done with it."""

    what: str
    objects: int
    size: int
    config: str


BLOBS = (
    Case("measuring everything", 3000, 64, FITS),
    Case("measuring nothing", 20_000, 64, NOTHING),
    Case("measuring nothing, unwrapped", 10_000, 64, UNWRAPPED + NOTHING),
    Case("measuring nothing, input 224", 1500, 64, LARGE_INPUT + NOTHING),
    Case("measuring everything", 1000, 128, FITS),
    Case("measuring everything", 200, 256, FITS),
    Case("measuring everything", 80, 424, FITS),
    Case("measuring nothing", 3000, 424, NOTHING),
    Case("measuring everything", 40, 1024, FITS + "[fit]\ngroups = 5\n"),
)
"""Simulated releases."""


def planned_and_run(config: Path, out: Path) -> tuple[float, float, float]:
    """Seconds that a plan states, that its trial took, and that the run took after its plan."""
    plan = plan_of(config, str(out))
    estimate(plan)  # what is compiled at first use, a user has compiled once
    shutil.rmtree(kept_trial.folder())
    start = time.perf_counter()
    stated = estimate(plan).seconds
    trial = time.perf_counter() - start
    return stated, trial, run(config, out)


def run(config: Path, out: Path) -> float:
    """Seconds of a run from the moment at which it has printed its plan."""
    command = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--out", str(out)]
    environment = {**os.environ, "TERM": "dumb", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        begun, said = time.perf_counter(), []
        for line in process.stdout:
            said.append(line)
            if line.startswith("time "):
                begun = time.perf_counter()
    if process.returncode:
        sys.exit("".join(said))
    return time.perf_counter() - begun


def packed(labels: Path, folder: Path, galaxies: int) -> Path:
    """A release of the first pictures of a table; its config."""
    table = pd.read_csv(labels, dtype=str, nrows=galaxies)
    table["file"] = [str((labels.parent / name).resolve()) for name in table["file"]]
    folder.mkdir()
    table[["file"]].to_csv(folder / "labels.csv", index=False)
    pack(folder / "labels.csv", folder / "release", 2)
    return folder / "release" / "survey.toml"


def main() -> None:
    """Plan, run, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of objects")
    parser.add_argument("--cases", type=int, help="only so many of the simulated releases")
    tables = [path for name in ("efigi", "gz1") if (path := DATA / name / "labels.csv").exists()]
    parser.add_argument("--galaxies", type=Path, nargs="*", default=tables, help="tables of pictures")
    options = parser.parse_args()
    rows = []
    with TemporaryDirectory() as scratch:
        os.environ["XDG_CACHE_HOME"] = scratch  # trials that were kept before are nobody's here
        made = []
        for number, case in enumerate(BLOBS[: options.cases]):
            objects = max(40, int(case.objects * options.scale))
            config = write_release(Path(scratch) / f"blobs-{number}", objects, 2, case.size, case.config)
            made.append((f"blobs, {case.what}", case.size, objects, config))
        for labels in options.galaxies:
            objects = max(60, int(200 * options.scale))
            config = packed(labels, Path(scratch) / labels.parent.name, objects)
            size = plan_of(config, "nowhere").config.survey.images.size
            made.append((f"{labels.parent.name}, as packed", size, objects, config))
        for number, (what, size, objects, config) in enumerate(made):
            stated, trial, actual = planned_and_run(config, Path(scratch) / f"run-{number}")
            numbers = (f"{stated:.0f}", f"{actual:.0f}", f"{stated / actual:.2f}", f"{trial:.1f}")
            rows.append((what, size, objects, *numbers))
            print(*rows[-1], sep=", ", flush=True)
    columns = ("what", "stamp_px", "objects", "stated_s", "actual_s", "stated_over_actual", "trial_s")
    write_csv("plan_time", columns, rows)


if __name__ == "__main__":
    main()
