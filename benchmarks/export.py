"""Time and memory to write a catalog as one file: `tuningfork export`, beside astropy and DuckDB.

    python -m benchmarks.export [--objects 100000 1000000 10000000]

The catalog has the columns that a run publishes, with random values, in partitions of 122,880 objects. Every program is a process of
its own that reads these Parquet files and writes one file; its time and its largest resident memory are the system's, and hold the
start of Python (and for ours, two passes over the catalog where the format needs them). Files are in the page cache.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import write_csv
from benchmarks.pipeline import quiet

PARTITION = 122_880
MEASURED = 22
FORMATS = ("fits", "vot", "parquet", "csv")
ASTROPY = """
import sys, pandas
from astropy.table import Table
table = Table.from_pandas(pandas.read_parquet(sys.argv[1], dtype_backend="numpy_nullable"))
for name in ("shard", "class"):  # it writes no nulls among texts
    table[name] = table[name].filled("").astype(str) if hasattr(table[name], "filled") else table[name].astype(str)
table.write(sys.argv[2], **({"format": "votable", "tabledata_format": "binary2"} if sys.argv[2].endswith("vot") else {}))
"""
DUCKDB = """
import sys, duckdb
duckdb.sql(f"COPY (SELECT * FROM read_parquet('{sys.argv[1]}/*.parquet')) TO '{sys.argv[2]}'")
"""
LAUNCHER = """
import os, sys, time
start = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ), 0)
print(time.perf_counter() - start, usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A small process between: to Linux, a program's peak memory is at least that of the process that started it."""
LARGEST = {"fits": 1_000_000, "vot": 100_000, "parquet": 10_000_000, "csv": 10_000_000}
"""Objects that the others are tried with: astropy holds all rows in memory, and takes ten minutes for a VOTable of a million."""
RIVALS = {
    "fits": ("astropy", ASTROPY),
    "vot": ("astropy", ASTROPY),
    "parquet": ("DuckDB", DUCKDB),
    "csv": ("DuckDB", DUCKDB),
}


def partition(start: int, rows: int) -> pa.Table:
    """Some objects with the columns that a run publishes."""
    draw = np.random.default_rng(start)
    number = np.arange(start, start + rows)
    unusable = draw.random(rows) < 0.02
    columns: dict[str, tuple[object, dict[str, str]]] = {
        "_healpix_29": (number << 30, {"ucd": "pos.healpix"}),
        "object_id": (number + 2**60, {"ucd": "meta.id;meta.main"}),
        "ra": (draw.uniform(0, 360, rows), {"unit": "deg", "ucd": "pos.eq.ra;meta.main"}),
        "dec": (draw.uniform(-90, 90, rows), {"unit": "deg", "ucd": "pos.eq.dec;meta.main"}),
        "shard": (np.full(rows, "catalogs/shard-000017.fits"), {"description": "location in the release"}),
        "row": (number, {}),
        "flags": (draw.integers(0, 64, rows, np.int32), {"ucd": "meta.code.qual"}),
    }
    for which in range(MEASURED):
        values = pa.array(draw.normal(size=rows).astype(np.float32), mask=unusable)
        columns[f"measured_{which}"] = (values, {"unit": "arcsec", "description": "a measured quantity"})
    columns |= {
        "group": (pa.array(draw.integers(0, 20, rows, np.int16), mask=unusable), {"ucd": "meta.code.class"}),
        "kept": (pa.array(draw.random(rows) < 0.6, mask=unusable), {}),
        "agreement": (pa.array(draw.random(rows).astype(np.float32), mask=unusable), {}),
        "runner_up": (pa.array(draw.integers(0, 20, rows, np.int16), mask=draw.random(rows) < 0.5), {}),
        "class": (pa.array(draw.choice(["SPH", "ETD", "LTD", "UNC"], rows), mask=unusable), {}),
    }
    arrays = [pa.array(values) for values, _ in columns.values()]
    fields = [
        pa.field(name, array.type, metadata=texts)
        for (name, (_, texts)), array in zip(columns.items(), arrays, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds and peak memory (MiB) of a command."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, *command],
        capture_output=True,
        text=True,
        env=quiet(),
        check=False,
    )
    if done.returncode:
        sys.exit(f"{command} failed:\n{done.stdout}{done.stderr}")
    seconds, kibibytes = done.stdout.splitlines()[-1].split()
    return float(seconds), float(kibibytes) / 1024


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    options = parser.parse_args()
    rows = []
    for objects in options.objects:
        with TemporaryDirectory() as scratch:
            run = Path(scratch) / "run"
            (run / "catalog").mkdir(parents=True)
            for start in range(0, objects, PARTITION):
                table = partition(start, min(PARTITION, objects - start))
                pq.write_table(table, run / "catalog" / f"part-{start:09d}.parquet", compression="zstd")
            for form in FORMATS:
                file = Path(scratch) / f"objects.{form}"
                name, script = RIVALS[form]
                commands = {
                    "tuningfork export": ["-m", "pipeline.cli", "export", str(run), str(file)],
                }
                if objects <= LARGEST[form]:
                    commands[name] = ["-c", script, str(run / "catalog"), str(file)]
                for program, arguments in commands.items():
                    seconds, peak = measure([sys.executable, *arguments])
                    size = file.stat().st_size / 2**20
                    file.unlink()
                    rate = f"{objects / seconds:.0f}"
                    rows.append(
                        (objects, form, program, f"{seconds:.1f}", rate, f"{peak:.0f}", f"{size:.0f}")
                    )
                    print(*rows[-1], flush=True)
    write_csv(
        "export", ("objects", "format", "program", "seconds", "rows_per_s", "peak_mib", "file_mib"), rows
    )


if __name__ == "__main__":
    main()
