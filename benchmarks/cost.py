"""What full releases take: docs/scaling.md's tables of rates, workers and releases, computed from what other benchmarks measured.

python -m benchmarks.cost      (after `python -m benchmarks pipeline memory scaling`)
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import read_csv, with_tables

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
CORES = 2
"""Of the machine that measured."""
RELEASES = {"Euclid Q1": 26e6, "Euclid, wide": 26e6 / 63.1 * 14_000, "LSST": 20e9}
NODES, CORES_A_NODE = 64, 32
STAMP = 64 * 64 * 4
"""Bytes of a stamp, a band."""
WRITTEN = 1_400
"""Bytes an object, as `plan` says of 320 features."""
SLICE_ROWS = 1_024
CORE_HOUR, PUT, GB_MONTH = 0.0425, 0.005 / 1000, 0.023
"""USD: see the page."""
GPU_RATE, GPU_HOUR = 100_000, 4.92
"""Stamps a second, an estimate, and USD: see the page."""

Row = tuple[str, Callable[[float], str]]


def rates() -> dict[str, float]:
    """Objects a second and core, by the page's letters."""
    seconds = {row["what"]: float(row["seconds"]) for row in read_csv("pipeline")}
    objects = float(read_csv("pipeline")[0]["objects"])
    stage = "run: encoding stage"
    start = seconds[stage] - seconds[f"{stage}, without its start"]
    million = next(row for row in read_csv("memory") if row["objects"] == "1000000")
    took = {name: float(s) for name, s in re.findall(r"(\w+) \d+ MiB (\d+) s", million["stages"])}
    return {
        "e": objects / (seconds[stage] - start) / CORES,
        "m": objects / (seconds[f"{stage}, measuring all but Sersic fits"] - start) / CORES,
        "s": objects / (seconds[f"{stage}, measuring everything"] - start) / CORES,
        "p": 1e6 / took["encode"] / CORES,
        "v": 1e6 / (took["reduce"] + took["vote"] + took["publish"]) / CORES,
    }


def tables() -> dict[str, str]:
    """By the names of their markers."""
    rate = rates()
    whats = {
        "e": ("encode galaxies, no measuring", "performance.md, pipeline efficiency, without the start of workers"),
        "m": ("encode and measure all but Sersic fits", "the same"),
        "s": ("encode and measure everything", "the same"),
        "p": ("read, pass on and write stamps of 32 pixels, with the smallest encoder", "memory and the number of objects, a million of them"),
        "v": ("reduce, vote and publish", "the same, of 96 features; a fit takes 23 s whatever the number of objects"),
    }  # fmt: skip
    return {
        "rates": _table(
            ["letter", "what", "objects a second and core", "from"],
            [[letter, what, _rounded(rate[letter]), source] for letter, (what, source) in whats.items()],
        ),
        "workers": _table(
            ["cores", "", "objects a second, encoding", "share of the bare loop", "whole run"],
            [list(row.values()) for row in read_csv("scaling")],
        ),
        "releases": _table(
            ["", *RELEASES], [[name, *map(cell, RELEASES.values())] for name, cell in _rows(rate)]
        ),
        "gpus": _table(
            ["", *list(RELEASES)[1:]],
            [[name, *map(cell, list(RELEASES.values())[1:])] for name, cell in _gpu_rows(rate)],
        ),
    }


def core_hours(objects: float, encode: float, vote: float) -> float:
    """Of encoding at one rate and everything after it at another."""
    return objects / 3600 * (1 / encode + 1 / vote)


def _rows(rate: dict[str, float]) -> list[Row]:
    def each(unit: float) -> Callable[[float], str]:
        return lambda n: " / ".join(_rounded(core_hours(n, rate[k], rate["v"]) * unit) for k in "ems")

    return [
        ("objects", lambda n: f"{n / 1e6:.0f} million" if n < 1e9 else f"{n / 1e9:.1f} billion"),
        ("core-hours: encode / and measure / and Sersic fits (e / m / s)", each(1)),
        (f"hours on {NODES} nodes of {CORES_A_NODE} cores", each(1 / (NODES * CORES_A_NODE))),
        ("cost of cores, USD", each(CORE_HOUR)),
        (f"stamps read, TB a band ({STAMP >> 10} KiB each)", lambda n: _rounded(n * STAMP / 1e12)),
        (f"written, TB ({WRITTEN / 1000} KB an object, as `plan` says)", lambda n: _rounded(n * WRITTEN / 1e12)),
        ("parts of 1,024 rows / 16,384 rows, thousands", lambda n: f"{_rounded(n / 1024e3)} / {_rounded(n / 16384e3)}"),
        ("PUTs of parts, two a slice of 1,024 rows, USD", lambda n: _rounded(2 * n / SLICE_ROWS * PUT)),
        ("a month of all that is written, USD", lambda n: _rounded(n * WRITTEN / 1e9 * GB_MONTH)),
    ]  # fmt: skip


def _gpu_rows(rate: dict[str, float]) -> list[Row]:
    return [
        ("GPU-hours (estimate)", lambda n: _rounded(n / GPU_RATE / 3600)),
        ("USD of GPUs (estimate)", lambda n: _rounded(n / GPU_RATE / 3600 * GPU_HOUR)),
        ("core-hours beside them, no measuring", lambda n: _rounded(core_hours(n, rate["p"], rate["v"]))),
        ("core-hours of measuring all but Sersic fits", lambda n: _rounded(n / 3600 * (1 / rate["m"] - 1 / rate["e"]))),
    ]  # fmt: skip


def _rounded(value: float) -> str:
    """Two digits, and no more zeros than that."""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{float(f'{value:.2g}'):g}"


def _table(columns: list[str], lines: list[list[str]]) -> str:
    numbers = [all(line[i][0] in "-0123456789" for line in lines) for i in range(len(columns))]
    rows = [columns, ["---:" if number else "---" for number in numbers], *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), tables()), encoding="utf-8")
