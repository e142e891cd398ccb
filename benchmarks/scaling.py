"""Scaling on one machine: objects a second of a run on one core and on two, with one, two and three workers.

    python -m benchmarks.scaling [--objects 16000]

A run and all of its processes are kept on the cores by their affinity, and so is the bare loop beside it: the encoder on
stamps in memory, with a thread for each core, see `benchmarks.pipeline`. Two cores say how a machine is filled, and nothing about
networks between machines.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.common import write_csv
from benchmarks.pipeline import CONFIG, SHARDS, SIZE, bare, encoding, run
from benchmarks.releases import write_release

WORKERS = (1, 2, 3)
"""As many as leave a reader room on two CPUs."""


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=16_000)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = write_release(folder / "release", options.objects, SHARDS, SIZE, CONFIG)
        rows = [
            row
            for number in range(1, len(cores) + 1)
            for row in on_cores(cores[:number], config, options.objects, folder)
        ]
    os.sched_setaffinity(0, cores)
    write_csv("scaling", ("cores", "what", "objects_per_s", "share_of_bare", "whole_run_objects_per_s"), rows)


def on_cores(cores: list[int], config: Path, objects: int, folder: Path) -> list[tuple]:
    """Lines of the table for runs on these cores alone."""
    os.sched_setaffinity(0, cores)
    alone = max(bare(config, len(cores)).values())
    rates = {}
    for workers in WORKERS:
        lines, seconds = run(with_workers(config, workers), folder / f"{len(cores)}-{workers}")
        rates[workers] = objects / encoding(lines)["seconds"], objects / seconds
    return [
        (len(cores), "bare encoder loop", f"{alone:.0f}", "1.00", "-"),
        *(
            (len(cores), f"run, {workers} workers", f"{stage:.0f}", f"{stage / alone:.2f}", f"{whole:.0f}")
            for workers, (stage, whole) in rates.items()
        ),
    ]


def with_workers(config: Path, workers: int) -> Path:
    """The same release with so many encoders."""
    other = config.with_name(f"workers{workers}.toml")
    text = config.read_text(encoding="utf-8").replace("[encode]\n", f"[encode]\nworkers = {workers}\n")
    other.write_text(text, encoding="utf-8")
    return other


if __name__ == "__main__":
    main()
