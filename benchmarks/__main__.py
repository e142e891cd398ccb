"""Remake the numbers of docs/performance.md: `python -m benchmarks [NAME ...]`.

Every benchmark runs in a process of its own, one after the other, and leaves a CSV in benchmarks/results; the page is
written from those. With names, only these run; the page is written from all CSVs that are there. `--quick` tries every
script on small sizes in a copy of this folder and prints the page: it changes nothing here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import common, page

ROOT = Path(__file__).parents[1]


def run(name: str, arguments: list[str], folder: Path) -> bool:
    """Run one benchmark from the `benchmarks` that lies in a folder; False if it failed."""
    print(f"== {name}", flush=True)
    path = os.pathsep.join(filter(None, (str(folder), str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=False).returncode == 0


def main() -> None:
    """Run and write the page."""
    names = [section.name for section in page.SECTIONS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"any of {', '.join(names)}; default: all")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that every script works")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page from the CSVs")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(names))
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}: there are {', '.join(names)}")
    chosen = [section for section in page.SECTIONS if section.name in options.names or not options.names]
    if options.quick:
        with TemporaryDirectory() as scratch:
            copy = Path(scratch) / "benchmarks"
            shutil.copytree(
                Path(__file__).parent, copy, ignore=shutil.ignore_patterns("results", "__pycache__")
            )
            (copy / "results").mkdir()
            common.RESULTS = copy / "results"
            failed = [
                section.name for section in chosen if not run(section.name, section.quick, Path(scratch))
            ]
            for section in chosen:
                page.remember_machine(section.name)
            print(page.render(SMALL))
    else:
        failed = []
        for section in [] if options.page else chosen:
            if run(section.name, [], ROOT):
                page.remember_machine(section.name)
            else:
                failed.append(section.name)
        target = ROOT / "docs" / "performance.md"
        target.write_text(page.render(), encoding="utf-8")
        print(f"wrote {target.relative_to(ROOT)}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


SMALL = "**Smoke run on small sizes: these numbers say nothing.**"

if __name__ == "__main__":
    main()
