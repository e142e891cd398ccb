"""What a whole `tuningfork run` costs in this process and on Ray, by the number of objects and by what each of them takes; and which of them `auto` chooses.

    python -m benchmarks.engines [--objects 100 2000 20000]

Every row is one run with a warm cache of compiled functions and with the defaults. Dear objects are simulated galaxies of 64 pixels,
everything measured: what `make demo` runs. Cheap ones are blobs of 64 pixels, which are only encoded. `cpu_s` are the CPU seconds of the command and of all processes that it started, `peak_mib` their memory (PSS,
looked at twice a second), `processes` how many there were. CPU seconds say more than the clock where others use the machine.
"""

from __future__ import annotations

import argparse
import itertools
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks.common import write_csv
from benchmarks.memory import sample
from benchmarks.pipeline import quiet
from benchmarks.releases import write_release
from pipeline.plan.make_plan import plan_of
from pipeline.plan.run_time import estimate

ENGINES = ("local", "ray")
INTERVAL = 0.5
SHARDS = 4
CHEAP = "[measure]\nquantities = []\n"


@dataclass
class Cost:
    """Of one command and of all processes below it."""

    wall: float = 0.0
    pss: float = 0.0
    processes: int = 0
    cpu: dict[tuple[int, float], float] = field(default_factory=dict)
    """Seconds of each process, by its number and start, when it was last looked at."""
    waited: float = 0.0
    """What the system says of the command and of the processes that were waited for."""

    @property
    def cpu_seconds(self) -> float:
        """The larger of the two: each of them misses some."""
        return max(self.waited, sum(self.cpu.values()))

    def look(self, root: psutil.Process) -> None:
        """Look at them once."""
        every = [root, *root.children(recursive=True)]
        self.processes = max(self.processes, len(every))
        for process in every:
            try:
                times = process.cpu_times()
                self.cpu[process.pid, process.create_time()] = times.user + times.system
            except psutil.NoSuchProcess:
                continue
        self.pss = max(self.pss, sample(root).pss)


def cost(config: Path, out: Path) -> Cost:
    """What a run costs."""
    command = [sys.executable, "-m", "pipeline.cli", "run", str(config), "--out", str(out)]
    seen, over, begun = Cost(), threading.Event(), time.perf_counter()
    log = out.with_suffix(".log")
    with log.open("w") as said, subprocess.Popen(command, stdout=said, stderr=said, env=quiet()) as process:

        def watch() -> None:
            root = psutil.Process(process.pid)
            while not over.wait(INTERVAL):
                try:
                    seen.look(root)
                except psutil.NoSuchProcess:
                    return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        over.set()
        thread.join()
    if process.returncode:
        sys.exit(log.read_text())
    seen.wall, seen.waited = time.perf_counter() - begun, used.ru_utime + used.ru_stime
    return seen


def simulated(folder: Path, galaxies: int) -> Path:
    """The demo's release, of so many galaxies; its config."""
    words = ["simulate", str(folder), "--galaxies", str(galaxies), "--shards", str(SHARDS), "--bands", "i"]
    subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *words], check=True, capture_output=True, env=quiet()
    )
    return folder / "survey.toml"


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, nargs="+", default=[100, 2000, 20_000])
    options = parser.parse_args()
    rows = []
    with TemporaryDirectory() as scratch:
        for kind, objects in itertools.product(("cheap", "dear"), options.objects):
            release = Path(scratch) / f"{kind}-{objects}"
            made = (
                simulated(release, objects)
                if kind == "dear"
                else write_release(release, objects, SHARDS, config=CHEAP)
            )
            own, costs = made.read_text(), {}
            auto = estimate(plan_of(made, str(Path(scratch) / "nowhere"))).engine
            for engine in ENGINES:
                config = release / f"{engine}.toml"
                config.write_text(f'{own}\n[run]\nengine = "{engine}"\n')
                found = costs[engine] = cost(config, Path(scratch) / f"{engine}-{kind}-{objects}")
                ratio = found.cpu_seconds / costs["local"].cpu_seconds
                numbers = (f"{found.wall:.1f}", f"{found.cpu_seconds:.1f}", f"{found.pss:.0f}")
                rows.append((kind, objects, engine, *numbers, found.processes, f"{ratio:.2f}", auto))
                print(*rows[-1], flush=True)
    columns = (
        "kind",
        "objects",
        "engine",
        "wall_s",
        "cpu_s",
        "peak_mib",
        "processes",
        "cpu_over_local",
        "auto",
    )
    write_csv("engines", columns, rows)


if __name__ == "__main__":
    main()
