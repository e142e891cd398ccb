"""Peak memory of a run by its number of objects: it should not grow with the release.

    python -m benchmarks.memory [--objects 10000 100000 1000000]

Twice a second, the memory of `tuningfork run` on Ray and of every process below it (Ray's daemons and workers) is added up as
PSS: private pages, and of every shared page each process's share, so that shared memory counts once. `processes` is the
private part (USS) at that moment; the rest is libraries and Ray's object store. Stamps are 32 pixels and the network the
smallest there is, so that a million objects pass in minutes: what a run holds depends on slices, not on what the encoder
does with them. The object store is limited to 256 MiB, which the smallest run fills already in part.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.common import write_csv
from benchmarks.pipeline import quiet
from benchmarks.releases import write_release

SIZE, INTERVAL, SHARD_ROWS = 32, 0.5, 50_000
CONFIG = """
[run]
engine = "ray"
slice_rows = 2048
object_store_gib = 0.25
interval = 5

[encode]
model = "timm:test_resnet"
input = 16
unwrap = "none"
batch_size = 512
threads = 1

[measure]
quantities = []
"""


@dataclass
class Sample:
    """Memory of all processes at one moment, MiB."""

    pss: float = 0.0
    uss: float = 0.0
    largest: str = ""
    """The processes that hold most, with their private memory."""


def sample(root: psutil.Process) -> Sample:
    """Memory of a process and of all below it."""
    pss = uss = 0.0
    each: list[tuple[float, str]] = []
    for process in [root, *root.children(recursive=True)]:
        try:
            memory = process.memory_full_info()
            name = (
                "driver" if process == root else (process.cmdline() or [process.name()])[0].rpartition("/")[2]
            )
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        pss, uss = pss + memory.pss / 2**20, uss + memory.uss / 2**20
        each.append((memory.uss / 2**20, name))
    largest = ", ".join(f"{name} {size:.0f}" for size, name in sorted(each, reverse=True)[:4])
    return Sample(pss, uss, largest)


class Watch(threading.Thread):
    """Samples a process tree until the process ends; keeps the peak of every stage."""

    def __init__(self, process: subprocess.Popen) -> None:
        super().__init__(daemon=True)
        self.process, self.stage = process, "plan"
        self.peaks: dict[str, Sample] = {}

    def run(self) -> None:
        root = psutil.Process(self.process.pid)
        while self.process.poll() is None:
            try:
                seen = sample(root)
            except psutil.NoSuchProcess:
                return
            self.peaks[self.stage] = max(
                self.peaks.get(self.stage, seen), seen, key=lambda moment: moment.pss
            )
            time.sleep(INTERVAL)


def measure(objects: int) -> tuple[dict[str, Sample], dict[str, float], float]:
    """Peak by stage, seconds by stage, and seconds of one whole run."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        config = write_release(folder / "release", objects, -(-objects // SHARD_ROWS), SIZE, CONFIG)
        command = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--out", str(folder / "run")]
        start, output, took = time.perf_counter(), [], {}
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=quiet()
        ) as process:
            watch = Watch(process)
            watch.start()
            for line in process.stdout:
                output.append(line)
                if line.startswith("{") and "state" in (said := json.loads(line)):
                    watch.stage = said["stage"]
                    took[said["stage"]] = said["seconds"]
        watch.join()
        if process.returncode:
            sys.exit("tuningfork run failed:\n" + "".join(output))
        return watch.peaks, took, time.perf_counter() - start


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    rows = []
    for objects in options.objects:
        peaks, took, seconds = measure(objects)
        stage, peak = max(peaks.items(), key=lambda item: item[1].pss)
        stages = ", ".join(f"{name} {peaks[name].pss:.0f} MiB {took.get(name, 0):.0f} s" for name in peaks)
        rows.append(
            (objects, f"{peak.pss:.0f}", f"{peak.uss:.0f}", stage, f"{seconds:.0f}", stages, peak.largest)
        )
        print(*rows[-1], flush=True)
    write_csv(
        "memory",
        ("objects", "peak_mib", "processes_mib", "peak_in", "seconds", "stages", "largest_at_the_peak"),
        rows,
    )


if __name__ == "__main__":
    main()
