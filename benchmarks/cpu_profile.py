"""Where the CPU goes: shares of readers, measurers, encoders, writers and barriers in whole runs in one process, sampled by py-spy.

    python -m benchmarks.cpu_profile [--scale 1]

Two runs: the simulated galaxies of `make demo`, everything measured; and stamps cut from FITS tiles, nothing measured. Each sample of a thread at work counts for the
first part below whose functions are on its stack. Seconds are shares of the CPU seconds that the system gives for the command.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.common import write_csv
from benchmarks.pipeline import quiet
from benchmarks.releases import write_release

RATE = 100
"""Samples a second."""
NOTHING = '[run]\nengine = "local"\n\n[measure]\nquantities = []\n'
PARTS = {
    "imports": r"<frozen importlib",
    "loading and compiling loops": r"numba/core",
    "writing parts": r"write_part",
    "reading: Arrow rows to and from stamps": r"pack\w* \(catalogs/packed|unpack \(|catalogs/encoded_stamps",
    "reading: images and catalogs": r"Read\.__call__|catalogs/slices|read \(catalogs/release",
    "segmenting and filling": r"actors/segmenter",
    "measuring": r"actors/measurer",
    "encoding": r"actors/(encoder|embedder|extents)",
    "plan, with its trial": r"pipeline/plan/|catalogs/inspect|_checked \(catalogs/tables",
    "reduce": r"pipeline/stages/reduce",
    "fit": r"pipeline/stages/fit",
    "vote": r"actors/voter|pipeline/stages/vote",
    "classify": r"pipeline/stages/classify",
    "publish": r"pipeline/stages/publish",
    "progress, threads": r"pipeline/engine/|pipeline/rundir/|concurrent/futures",
}
"""Parts, and what their stacks hold; the trial of a plan measures and encodes as a run does, and counts there."""
WAITING = r"(_worker \(concurrent/futures/thread|_Workers\.(written|_next)|\.wait \(threading|silenced \(catalogs/silence)[^;]*$"
"""Where threads wait: not all of it is seen as idle."""


def main() -> None:
    """Sample both runs and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of galaxies")
    options = parser.parse_args()
    demo, cut = (max(60, round(count * options.scale)) for count in (2000, 3000))
    rows = []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        runs = {
            f"{demo} simulated galaxies, everything measured": simulated(folder / "simulated", demo),
            f"{cut} stamps of FITS tiles, nothing measured": write_release(
                folder / "cut", cut, 4, 64, NOTHING
            ),
        }
        for number, (what, config) in enumerate(runs.items()):
            samples, seconds = sampled(config, folder / f"run{number}")
            total = sum(samples.values())
            rows += [
                (what, part, f"{100 * count / total:.1f}", f"{seconds * count / total:.2f}")
                for part, count in samples.most_common()
            ]
            rows.append((what, "all", "100.0", f"{seconds:.2f}"))
    write_csv("cpu_profile", ("run", "part", "percent", "cpu_s"), rows)


def simulated(folder: Path, galaxies: int) -> Path:
    """The release of `make demo`, to be run in one process."""
    made = ["simulate", str(folder), "--galaxies", str(galaxies), "--shards", "4", "--bands", "i"]
    subprocess.run([sys.executable, "-m", "pipeline.cli", *made], check=True, capture_output=True)
    config = folder / "local.toml"
    text = (folder / "survey.toml").read_text(encoding="utf-8")
    config.write_text(f'{text}\n[run]\nengine = "local"\n', encoding="utf-8")
    return config


def sampled(config: Path, out: Path) -> tuple[Counter[str], float]:
    """Samples of each part of a run, and its CPU seconds."""
    stacks = out.with_suffix(".stacks")
    record = ["record", "--rate", str(RATE), "--format", "raw", "--output", str(stacks), "--"]
    command = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--out", str(out)]
    before = os.times()
    subprocess.run(
        [str(Path(sys.executable).with_name("py-spy")), *record, *command],
        check=True,
        capture_output=True,
        env=quiet(),
    )
    after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    samples: Counter[str] = Counter()
    for line in stacks.read_text(encoding="utf-8").splitlines():
        stack, count = line.rsplit(" ", 1)
        if not re.search(WAITING, stack):
            samples[part_of(stack)] += int(count)
    return samples, seconds


def part_of(stack: str) -> str:
    """The part that a stack, `function (file:line);…`, counts for."""
    return next((part for part, held in PARTS.items() if re.search(held, stack)), "all else")


if __name__ == "__main__":
    main()
