"""What a release costs once it is encoded: reduce, fit, vote, classify and publish, in one process and on Ray.

    python -m benchmarks.after_encoding [--objects 1000000]

A release of `benchmarks.memory` (stamps of 32 pixels, the smallest network, 96 features, positions in no order) is encoded once. Then `tuningfork run` goes on from its
parts, with each engine, from a folder that holds nothing but them. Seconds are those of the run's own progress lines; CPU seconds those of the command and of
all processes below it, looked at with each of these lines. CPU seconds say more than the clock where others use the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.common import write_csv
from benchmarks.memory import CONFIG, SHARD_ROWS, SIZE
from benchmarks.pipeline import quiet
from benchmarks.releases import write_release

ENGINES = ("local", "ray")
RAY = 'engine = "ray"'
STAGES = ("reduce", "fit", "vote", "classify", "publish")
ENCODED = ("run.json", "images.parquet", "objects")
"""What a run directory holds when its objects are encoded."""

Seconds = tuple[float, float]
"""By the clock, and of CPUs."""


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    options = parser.parse_args()
    rows = []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shards = -(-options.objects // SHARD_ROWS)
        config = write_release(folder / "release", options.objects, shards, SIZE, CONFIG)
        stages_of(with_engine(config, "local"), folder / "encoded")
        for engine in options.engines:
            out = folder / engine
            encoded_copy(folder / "encoded", out)
            found = stages_of(with_engine(config, engine), out)
            found = {stage: found[stage] for stage in STAGES}
            found["all"] = tuple(sum(each) for each in zip(*found.values(), strict=True))
            rows += [
                (options.objects, engine, stage, f"{wall:.1f}", f"{cpu:.1f}")
                for stage, (wall, cpu) in found.items()
            ]
    write_csv("after_encoding", ("objects", "engine", "stage", "seconds", "cpu_s"), rows)


def with_engine(config: Path, engine: str) -> Path:
    """The same release with another engine."""
    other = config.with_name(f"{engine}.toml")
    text = config.read_text(encoding="utf-8")
    assert RAY in text
    other.write_text(text.replace(RAY, f'engine = "{engine}"'), encoding="utf-8")
    return other


def encoded_copy(run: Path, out: Path) -> None:
    """A run directory as it is before anything is reduced."""
    out.mkdir()
    for name in ENCODED:
        if (run / name).is_dir():
            shutil.copytree(run / name, out / name, copy_function=os.link)
        else:
            shutil.copy(run / name, out / name)


def stages_of(config: Path, out: Path) -> dict[str, Seconds]:
    """Seconds of each stage of a run."""
    command = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--out", str(out)]
    begun: dict[str, float] = {}
    found: dict[str, Seconds] = {}
    said = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=quiet()
    ) as process:
        root, seen = psutil.Process(process.pid), {}
        for line in process.stdout:
            said.append(line)
            if not line.startswith("{") or "state" not in (told := json.loads(line)):
                continue
            used = cpu_seconds(root, seen)
            begun.setdefault(told["stage"], used)
            if told["state"] == "done":
                found[told["stage"]] = told["seconds"], used - begun[told["stage"]]
    if process.returncode:
        sys.exit("tuningfork run failed:\n" + "".join(said))
    return found


def cpu_seconds(root: psutil.Process, seen: dict[int, float]) -> float:
    """Of a process and all below it, so far; `seen` keeps those of processes that have ended since."""
    for process in [root, *root.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seen[process.pid] = times.user + times.system
    return sum(seen.values())


if __name__ == "__main__":
    main()
