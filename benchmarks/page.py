"""The page docs/performance.md: one section a benchmark, its table straight from its CSV."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from benchmarks.common import machine, read_csv, write_csv

HEAD = """# Performance

`make bench` reproduces every number on this page (`python -m benchmarks NAME` one table), and generates the page from
the CSV files in `benchmarks/results`. The programs compared in a table ran in the same run, on the same machine, on the same input;
if there is a physical upper limit, it is in the table. The docstring of each script describes the measurement, and why the comparison
is fair.
"""


@dataclass(frozen=True)
class Section:
    """What the page says about one benchmark."""

    name: str
    title: str
    measured: str
    against: str
    target: str
    quick: list[str] = field(default_factory=list)
    """Arguments of a smoke run."""


SECTIONS = (
    Section(
        "stamps",
        "Stamps from a tile",
        "64-pixel float32 stamps a second, cut around 20,000 positions of one 4000 x 4000 tile in the page cache, on one core.",
        "astropy's `Cutout2D` in a loop, Cutana from PyPI, and plain copying of as many bytes (the ceiling). "
        "Ratios are to the faster `Cutout2D` loop, the one on pixel positions.",
        "at least 40,000 stamps a second and core; half of the rate of plain tiles from compressed ones in slices.",
        ["--positions", "3000", "--few", "400", "--side", "1000", "--repeats", "1"],
    ),
    Section(
        "unwrap",
        "Polar unwrapping",
        "Time for one 100-pixel stamp to become a polar image of 125 angles by 200 radii.",
        "the published algorithm as a Python loop, with NumPy's scalars as published (the ratio), and with Python's own numbers.",
        "at least 500 times the loop as published.",
        ["--stamps", "128"],
    ),
    Section(
        "members",
        "Fitting and voting",
        "Seconds to draw 8 bags, fit 24 members (k-means, BIRCH and Ward on each bag), align them and let all of them vote "
        "on every object; 40 dimensions, 20 groups, two worker processes.",
        "one scikit-learn clusterer of each kind, fitted to all objects with its defaults.",
        "1,000,000 objects with 24 members fitted and voted on in at most 60 s.",
        ["--sizes", "5000"],
    ),
    Section(
        "pipeline",
        "The pipeline's efficiency",
        "Objects a second of `tuningfork run` (64-pixel stamps, one band, `timm:convnext_atto`), on two cores with the default two workers of one thread.",
        "the bare encoder with two threads, called in a loop on stamps that are in memory already.",
        "at least 0.8 of the bare loop in the encoding stage.",
        ["--objects", "1500"],
    ),
    Section(
        "scaling",
        "Cores and workers",
        "Objects a second of the encoding stage, and of the whole run, on one core and on two, with one, two and three encoders of one thread.",
        "the bare encoder with a thread for each core, on stamps in memory, on the same cores.",
        "the same catalog from all of them (`tests/cluster/test_workers.py`).",
        ["--objects", "1500"],
    ),
    Section(
        "plan",
        "What a plan takes",
        "CPU seconds and seconds by the clock of `tuningfork plan` on the release of `make demo`, the whole command: the first time, when it tries some "
        "stamps, and again, when it knows what the trial found. Compiled functions are kept from before.",
        "importing torch alone.",
        "2.5 s, the second time.",
        ["--repeats", "1", "--galaxies", "100"],
    ),
    Section(
        "plan_time",
        "The time that a plan states",
        "Seconds that `tuningfork plan` states, over those that the run takes after it; `trial s` is the time of the estimate. Stamps of several sizes, "
        "and pictures of real galaxies as `tuningfork pack` packs them.",
        "the run itself.",
        "within a factor of two at any stamp size, estimated in a few seconds.",
        ["--scale", "0.1", "--cases", "2", "--galaxies"],
    ),
    Section(
        "served",
        "Served encoding",
        "Stamps a second (galaxy-atto, 64 pixels, three bands) through a real tritonserver with two instances of one thread on the same two cores; "
        "queue and compute are the server's own times of a request.",
        "the encoder in two processes of one thread each, on stamps in memory.",
        "at least 0.9 of in process at the best setting, which is the default.",
        ["--stamps", "256", "--quick"],
    ),
    Section(
        "whole_runs",
        "Whole runs of everyday size",
        "A whole `tuningfork run` with its defaults: seconds by the clock, CPU seconds of all its processes, peak memory (PSS). Simulated galaxies of `make demo`, "
        "cutouts that are encoded alone (`timm:convnext_atto`), and the first run ever, whose caches are empty.",
        "Hyrax's `infer` on the same cutouts with the same network and nothing else, measured on 27 November 2026 on such a machine.",
        "2,000 galaxies in 15 s by the clock on two idle cores, 20 CPU seconds and 1 GiB; 100 galaxies in 6 s; 3,000 cutouts in half of Hyrax's CPU seconds; 15 s more the first time.",
        ["--scale", "0.03"],
    ),
    Section(
        "engines",
        "In one process, or on Ray",
        "A whole `tuningfork run` with `[run] engine` `local` and `ray`, one after the other: seconds by the clock, CPU seconds of all its processes, peak memory (PSS), and the engine that `auto` takes. "
        "Dear objects are simulated galaxies (64 px, everything measured, what `make demo` runs), cheap ones blobs that are not measured. "
        "These numbers are from a machine of two cores that others used at the same time, with a load of 4 to 8: there the clock says little, and CPU seconds are higher than on an idle one.",
        "each other.",
        "`auto` takes the engine that is done first.",
        ["--objects", "60"],
    ),
    Section(
        "cpu_profile",
        "Where the CPU goes",
        "Shares of CPU seconds in whole runs in one process, by py-spy: what `make demo` runs, everything measured, and stamps cut from FITS tiles, nothing measured. "
        "Half of the script's galaxies, on a machine with a load of 16.",
        "each other.",
        "reading, writing and passing on cost less than what is computed.",
        ["--scale", "0.05"],
    ),
    Section(
        "after_encoding",
        "After encoding",
        "Seconds of `tuningfork run` from encoded objects (96 features) to the published catalog, 24 members, on two cores: by the clock, and CPU seconds of all processes. "
        "Where `[run] engine` is `auto`, what is left once a million objects are encoded is little enough for one process, whoever encoded them. On Ray it took 150 CPU seconds (on a busy machine, where one process took 68).",
        "itself.",
        "a million objects in at most 45 s.",
        ["--objects", "3000"],
    ),
    Section(
        "memory",
        "Memory and the number of objects",
        "Peak memory (PSS, every page counted once) of a whole run with all its processes, in MiB; `processes_mib` is the "
        "private part at that moment, the rest libraries and Ray's object store. `stages` gives each stage's peak and seconds.",
        "itself, on releases of growing size.",
        "flat from 10,000 to 1,000,000 objects.",
        ["--objects", "3000"],
    ),
    Section(
        "margin",
        "Margin caches",
        "Seconds and peak memory (RSS) of publishing a catalog of 30 columns in partitions of at most 100,000 objects, without and with a margin of 5 arcsec; "
        "and the pairs that LSDB's cross-match loses with that catalog on the right, of objects that have a partner within 5 arcsec.",
        "LSDB's own generator of margins, which reads the same catalog into memory and writes the margin alone.",
        "no pair lost; the same rows as LSDB, in less time; no more memory than without a margin.",
        ["--objects", "4000", "--rows", "200"],
    ),
    Section(
        "export",
        "Exporting",
        "Seconds of `tuningfork export RUN FILE` and peak memory (RSS) of its process, both with the start of Python, for a catalog of 34 columns.",
        "what reads the same Parquet files and writes the same columns otherwise: astropy (through pandas), and DuckDB's `COPY`, which have no UCDs.",
        "memory that does not grow from 1,000,000 to 10,000,000 objects (a quarter at most).",
        ["--objects", "2000"],
    ),
)


def remember_machine(name: str) -> None:
    """Note the machine on which a benchmark has just run."""
    known = {row["benchmark"]: row["machine"] for row in read_csv("machines")}
    known[name] = machine()
    write_csv("machines", ("benchmark", "machine"), sorted(known.items()))


def render(remark: str = "") -> str:
    """The whole page; a benchmark that was run by itself says that its machine was not noted."""
    machines = {row["benchmark"]: row["machine"] for row in read_csv("machines")}
    parts = [HEAD, *([remark + "\n"] if remark else [])]
    for section in SECTIONS:
        command = f"python -m benchmarks {section.name}"
        rows = read_csv(section.name)
        parts.append(f"## {section.title}\n")
        parts.append(f"{section.measured}\n")
        parts.append(
            f"- Against: {section.against}\n- Target: {section.target}\n- Reproduced by: `{command}`"
        )
        parts.append(f"- Machine: {machines.get(section.name, 'not noted')}\n")
        parts.append(_table(rows) if rows else f"Not measured yet: `{command}` makes this table.\n")
    return "\n".join(parts)


def _table(rows: list[dict[str, str]]) -> str:
    columns = list(rows[0])
    numeric = [
        all(_shown(row[name]) != row[name] or _is_number(row[name]) for row in rows if row[name])
        for name in columns
    ]
    lines = [
        "| " + " | ".join(name.replace("_", " ") for name in columns) + " |",
        "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
    ]
    lines += [
        "| " + " | ".join(_shown(row[name]).replace("|", "\\|") for name in columns) + " |" for row in rows
    ]
    return "\n".join(lines) + "\n"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?", text) is not None


def _shown(text: str) -> str:
    """Whole numbers with separators, everything else as it is."""
    return f"{int(text):,}" if re.fullmatch(r"-?\d{4,}", text) else text
