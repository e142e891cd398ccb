"""What whole runs take where users meet the tool first: the demo, a hundred galaxies, a folder's worth of cutouts, and the first run ever.

    python -m benchmarks.whole_runs [--scale 1.0]

Every row is one `tuningfork run` with its defaults, from the start of the command to its end; galaxies are simulated (64 px, everything
measured, as `make demo` has it), cutouts are blobs that are encoded by `timm:convnext_atto` and not measured. `cpu_s` are the CPU seconds
of the command and of all processes that it starts, `peak_mib` their memory (PSS). In the first run ever nothing is compiled and nothing
was tried: its caches are new folders.

Hyrax 0.13 is not installed here: its 34.6 and 36.9 CPU seconds for `infer` on 3,000 such cutouts, with the same network and nothing else,
are of 27 November 2026, on two shared cores of the same kind (1,103 MiB).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.common import write_csv
from benchmarks.engines import cost, simulated
from benchmarks.pipeline import quiet
from benchmarks.releases import write_release

COMMAND = [sys.executable, "-m", "pipeline.cli"]
CUTOUTS = '[encode]\nmodel = "timm:convnext_atto"\nunwrap = "none"\n[measure]\nquantities = []\n'
HYRAX = (34.6, 1103)
"""CPU seconds and MiB of `infer` alone, the better of two."""


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of objects")
    options = parser.parse_args()
    few, many, cutouts = (max(60, int(options.scale * number)) for number in (100, 2000, 3000))
    rows = []
    with TemporaryDirectory() as scratch:
        base = Path(scratch)
        os.environ["XDG_CACHE_HOME"] = str(base / "kept")
        demo, hundred = simulated(base / "demo", many), simulated(base / "hundred", few)
        blobs = write_release(base / "cutouts", cutouts, 4, 64, CUTOUTS)
        subprocess.run([*COMMAND, "warm-up"], check=True, capture_output=True, env=quiet())
        cases = [
            ("galaxies, everything measured", few, hundred),
            ("galaxies, everything measured", many, demo),
            ("cutouts, nothing measured", cutouts, blobs),
            ("galaxies, the first run ever", few, hundred),
        ]
        for number, (what, objects, config) in enumerate(cases):
            if "first" in what:
                os.environ["XDG_CACHE_HOME"] = str(base / "new")
                os.environ["NUMBA_CACHE_DIR"] = str(base / "new-loops")
            found = cost(config, base / f"run-{number}")
            numbers = (f"{found.wall:.1f}", f"{found.cpu_seconds:.1f}", f"{found.pss:.0f}")
            rows.append((what, objects, *numbers))
            print(*rows[-1], sep=", ", flush=True)
    rows.append(("cutouts, Hyrax 0.13 infer alone", 3000, "-", *map(str, HYRAX)))
    write_csv("whole_runs", ("what", "objects", "wall_s", "cpu_s", "peak_mib"), rows)


if __name__ == "__main__":
    main()
