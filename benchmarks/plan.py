"""What `tuningfork plan` takes: CPU seconds and seconds by the clock of the whole command, from its start to its end.

    python -m benchmarks.plan [--repeats 5]

The release is the one of `make demo`: 2,000 simulated galaxies in 16 tiles, everything measured. Each case is a process of its own, and
the least of its repeats counts. The first plan of a config tries some stamps; the second one knows from it. `import torch` alone, and
`tuningfork --version`, are the floor.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.common import write_csv
from benchmarks.pipeline import quiet

COMMAND = [sys.executable, "-m", "pipeline.cli"]


def spent(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """CPU seconds and seconds by the clock of a command."""
    begun, before = time.perf_counter(), os.times()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return used, time.perf_counter() - begun


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--galaxies", type=int, default=2000)
    options = parser.parse_args()
    rows = []
    with TemporaryDirectory() as scratch:
        release = Path(scratch) / "release"
        simulate = ["simulate", str(release), "--galaxies", str(options.galaxies), "--shards", "4"]
        subprocess.run([*COMMAND, *simulate, "--bands", "i"], check=True, capture_output=True, env=quiet())
        subprocess.run([*COMMAND, "warm-up"], check=True, capture_output=True, env=quiet())
        plan = [*COMMAND, "plan", str(release / "survey.toml"), "--out", str(Path(scratch) / "run")]
        cases = {
            "import torch": [sys.executable, "-c", "import torch"],
            "tuningfork --version": [*COMMAND, "--version"],
            "tuningfork plan, the first one": plan,
            "tuningfork plan, again": plan,
        }
        for what, command in cases.items():
            times = []
            for repeat in range(options.repeats):
                kept = f"kept-{repeat}" if what.endswith("first one") else "kept-0"
                environment = {**quiet(), "XDG_CACHE_HOME": str(Path(scratch) / kept)}
                times.append(spent(command, environment))
            rows.append((what, *(f"{min(each):.2f}" for each in zip(*times, strict=True))))
            print(*rows[-1], sep=", ", flush=True)
    write_csv("plan", ("what", "cpu_s", "wall_s"), rows)


if __name__ == "__main__":
    main()
