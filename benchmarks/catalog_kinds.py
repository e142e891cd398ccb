"""How fast catalogs of each kind are read, and what one Parquet file of 10⁷ rows, or 200,000 shards, take.

    python -m benchmarks.catalog_kinds [--rows 1000000] [--rows-of-one 10000000] [--shards 200000]

`objects_per_s` is reading slices of 16,384 rows (id, position, two magnitudes, a text) one after the other in one process, files in the page cache;
the peer is what pyarrow reads of the same Parquet file and columns in batches of as many rows. Memory is a process's peak above what it has
after its imports. A plan of shards opens every footer and resolves columns, as `tuningfork plan` does before it looks at rows.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table

from benchmarks.common import best, write_csv
from catalogs import hats_catalog, hats_metadata
from catalogs.inspect import inspect_catalogs
from catalogs.slices import slices_of
from catalogs.survey import Survey

SLICE = 16_384
COLUMNS = ["ID", "RA", "DEC", "G", "R", "FIELD"]


def catalog(rows: int, start: int = 0) -> pa.Table:
    """Columns of a survey's catalog, of which a run reads some."""
    rng = np.random.default_rng(start)
    columns = {
        "ID": np.arange(start, start + rows),
        "RA": rng.uniform(0, 360, rows),
        "DEC": np.degrees(np.arcsin(rng.uniform(-1, 1, rows))),
        "G": rng.normal(20, 1, rows).astype(np.float32),
        "R": rng.normal(20, 1, rows).astype(np.float32),
        "FIELD": np.char.add("f", rng.integers(0, 99, rows).astype(str)),
    }
    more = {f"M{n}": rng.normal(size=rows).astype(np.float32) for n in range(14)}
    return pa.table({**columns, **more})


def survey(catalogs: str, key: str = "ID") -> Survey:
    """A config of which the catalog alone matters."""
    images = {"layout": "tiles", "path": "{FIELD}_{band}.fits", "bands": ["r"], "size": 64}
    return Survey.model_validate(
        {"catalogs": catalogs, "id": key, "ra": "RA", "dec": "DEC", "keep": ["G", "R"], "images": images}
    )


def read_all(catalogs: str, key: str = "ID") -> int:
    """Read a release slice by slice."""
    release = inspect_catalogs(survey(catalogs, key), "/")
    read = 0
    for piece in slices_of(release.shards, SLICE):
        table = release.shards[piece.shard].table
        read += table.read(piece.start, piece.stop, release.columns.names).num_rows
    return read


def bare(path: Path) -> int:
    """What pyarrow reads by itself."""
    return sum(
        batch.num_rows
        for batch in pq.ParquetFile(path).iter_batches(SLICE, columns=COLUMNS, use_threads=False)
    )


def write_hats(rows: pa.Table, folder: Path) -> None:
    """The rows as HATS, in 48 partitions."""
    index = hats_catalog.spatial_index(rows["RA"].to_numpy(), rows["DEC"].to_numpy())
    rows = rows.rename_columns(["object_id", *rows.column_names[1:]]).append_column(
        "_healpix_29", pa.array(index)
    )
    found = [hats_catalog.Partition(1, pixel) for pixel in range(48)]
    for partition in found:
        hats_catalog.write_partition(str(folder), partition, rows.filter(pa.array(partition.holds(index))))
    counts = Counter((index >> 2 * (29 - hats_catalog.ORDER)).tolist())
    hats_metadata.finish(str(folder), "made", found, rows.num_rows, counts)


def peak() -> float:
    """Largest memory of this process until now, MiB."""
    # ru_maxrss is the parent's too
    return int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 1024


def apart(*arguments: str) -> list[float]:
    """Seconds and MiB that a part of this benchmark takes in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.catalog_kinds", "--apart", *arguments]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return [float(number) for number in answer.stdout.split()]


def in_apart(what: str, catalogs: str) -> None:
    """Read, or plan, and print seconds and MiB."""
    bare_memory, start = peak(), time.perf_counter()
    if what == "read":
        read_all(catalogs)
    else:
        inspect_catalogs(survey(catalogs), "/")
    print(time.perf_counter() - start, peak() - bare_memory, time.process_time())


def many_shards(folder: Path, shards: int) -> None:
    """Files of 5,000 rows that take little room, as their values are all alike."""
    rows = pa.table({name: pa.repeat(values[0], 5000) for name, values in zip(*_columns(), strict=True)})
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    data = sink.getvalue().to_pybytes()
    for number in range(shards):
        place = folder / f"{number // 1000:04d}"
        place.mkdir(exist_ok=True)
        (place / f"{number:06d}.parquet").write_bytes(data)


def _columns() -> tuple[list[str], list[pa.ChunkedArray]]:
    rows = catalog(1)
    return rows.column_names, rows.columns


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rows-of-one", type=int, default=10_000_000)
    parser.add_argument("--shards", type=int, default=200_000)
    parser.add_argument("--apart", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.apart:
        in_apart(*options.apart)
        return
    with TemporaryDirectory() as scratch:
        folder, rows = Path(scratch), catalog(options.rows)
        pq.write_table(rows, folder / "one.parquet")
        Table({name: rows[name].to_numpy() for name in rows.column_names[:5]} | {"FIELD": rows["FIELD"].to_pylist()} | {name: rows[name].to_numpy() for name in rows.column_names[6:]}).write(folder / "one.fits")  # fmt: skip
        write_hats(rows, folder / "hats")
        peer = best(lambda: bare(folder / "one.parquet"), 3)
        found = [("pyarrow, bare", f"{options.rows / peer:.3g}", "1.00")]
        for kind, place, key in [
            ("Parquet", "one.parquet", "ID"),
            ("HATS, 48 partitions", "hats", "object_id"),
            ("FITS", "one.fits", "ID"),
        ]:
            seconds = best(lambda place=place, key=key: read_all(str(folder / place), key), 3)
            found.append((kind, f"{options.rows / seconds:.3g}", f"{peer / seconds:.2f}"))
        write_csv("catalog_kinds", ("kind", "objects_per_s", "of_pyarrow"), found)
        with pq.ParquetWriter(folder / "large.parquet", rows.schema) as writer:
            for start in range(0, options.rows_of_one, 500_000):
                count = min(500_000, options.rows_of_one - start)
                writer.write_table(catalog(count, start), row_group_size=1_000_000)
        large = apart("read", str(folder / "large.parquet"))
        (folder / "many").mkdir()
        many_shards(folder / "many", options.shards)
        many = apart("plan", str(folder / "many" / "*" / "*.parquet"))
        numbers = [
            (
                f"one Parquet file of {options.rows_of_one:,} rows, read",
                f"{large[0]:.1f}",
                f"{large[2]:.1f}",
                f"{large[1]:.0f}",
            ),
            (
                f"{options.shards:,} Parquet shards, planned",
                f"{many[0]:.1f}",
                f"{many[2]:.1f}",
                f"{many[1]:.0f}",
            ),
        ]
        write_csv("catalog_sizes", ("what", "seconds", "cpu_seconds", "peak_mib"), numbers)


if __name__ == "__main__":
    main()
