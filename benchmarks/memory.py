"""Peak memory of a run by its number of objects: it should not grow with the release.

    python -m benchmarks.memory [--objects 10000 100000 1000000]

Twice a second, the memory of `tuningfork run` and of every process below it (Ray's daemons and workers) is added up as
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
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.common import write_csv
from benchmarks.pipeline import quiet
from benchmarks.releases import write_release

SIZE, INTERVAL, SHARD_ROWS = 32, 0.5, 50_000
CONFIG = """
[run]
slice_rows = 2048
object_store_gib = 0.25
interval = 5

[encode]
model = "timm:test_resnet"
input = 16
unwrap = "none"
batch_size = 512
threads = 1
"""


def usage(root: psutil.Process) -> tuple[float, float]:
    """PSS and USS of a process and all below it, MiB."""
    pss = uss = 0
    for process in [root, *root.children(recursive=True)]:
        try:
            memory = process.memory_full_info()
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        pss, uss = pss + memory.pss, uss + memory.uss
    return pss / 2**20, uss / 2**20


class Watch(threading.Thread):
    """Samples a process tree until the process ends; keeps the peak of every stage."""

    def __init__(self, process: subprocess.Popen) -> None:
        super().__init__(daemon=True)
        self.process, self.stage, self.peaks = process, "plan", {}

    def run(self) -> None:
        root = psutil.Process(self.process.pid)
        while self.process.poll() is None:
            try:
                seen = usage(root)
            except psutil.NoSuchProcess:
                return
            self.peaks[self.stage] = max(self.peaks.get(self.stage, (0.0, 0.0)), seen)
            time.sleep(INTERVAL)


def measure(objects: int) -> tuple[dict[str, tuple[float, float]], dict[str, float], float]:
    """Peak (PSS, USS) by stage, seconds by stage, and seconds of one whole run."""
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
                if line.startswith('{"stage"'):
                    said = json.loads(line)
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
        stage, (peak, private) = max(peaks.items(), key=lambda item: item[1])
        stages = ", ".join(f"{name} {peaks[name][0]:.0f} MiB {took.get(name, 0):.0f} s" for name in peaks)
        rows.append((objects, f"{peak:.0f}", f"{private:.0f}", stage, f"{seconds:.0f}", stages))
        print(*rows[-1], flush=True)
    write_csv("memory", ("objects", "peak_mib", "processes_mib", "peak_in", "seconds", "stages"), rows)


if __name__ == "__main__":
    main()
