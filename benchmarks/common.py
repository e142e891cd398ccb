"""What the benchmarks share: a clock, the results folder and the description of the machine."""

from __future__ import annotations

import csv
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "astropy", "pyarrow", "ray", "torch", "timm", "scikit-learn", "hats", "duckdb", "cutana")


def best(work: Callable[[], object], repeats: int = 5) -> float:
    """Shortest time of one call, in seconds: what else the machine did can only lengthen it."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def write_csv(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Write `results/NAME.csv`; what was measured is shown."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    if name != "machines":
        print(path.read_text(), flush=True)
    return path


def read_csv(name: str) -> list[dict[str, str]]:
    """Rows of `results/NAME.csv`; none if it was never made."""
    path = RESULTS / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def with_tables(page: str, tables: Mapping[str, str]) -> str:
    """A page's text with other tables between its markers, `<!-- name -->` and `<!-- /name -->`."""
    for name, table in tables.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        assert page.count(start) == page.count(end) == 1, f"the page has lost its markers {name}"
        before, _, rest = page.partition(start)
        _, _, after = rest.partition(end)
        page = f"{before}{start}{table}{end}{after}"
    return page


def machine() -> str:
    """CPU, cores, memory and versions, in one line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        cpu = names[0] if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {installed(name)}" for name in PACKAGES if installed(name))
    return f"{cpu}, {os.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}, {versions}"


def installed(package: str) -> str | None:
    """Version of an installed package."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
