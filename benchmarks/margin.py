"""What a margin cache costs, and what it saves: pairs of a cross-match by LSDB with the catalog on the right.

    python -m benchmarks.margin [--objects 1000000] [--rows 100000]

Objects of 30 columns lie evenly in a square of 200 objects to the square arcmin and are published in partitions of `--rows` at most,
by the functions that a run publishes with, one partition after the other. Every object has a partner that is less than 5 arcsec away
from it; LSDB looks for it among up to 20 neighbours. Against: LSDB's own generator of margins, which takes the whole catalog into
memory, on the same files. Seconds are of one process; the peak is that of its memory (RSS), each in a process of its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.common import write_csv
from catalogs import hats_catalog, hats_margin, hats_metadata
from catalogs.hats_catalog import INDEX, INDEX_FIELD
from catalogs.hats_margin import Border, Cover

ARCSEC, DENSITY, COLUMNS = 5.0, 200.0, 30


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    with TemporaryDirectory() as scratch:
        rows = [
            line
            for what in (bare, with_margin, by_lsdb, matched_without, matched)
            for line in [alone(what, scratch, options.objects, options.rows)]
        ]
    columns = ("what", "objects", "partitions", "margin_rows", "pairs_lost", "seconds", "peak_mib")
    write_csv("margin", columns, rows)


def alone(what: Any, *arguments: Any) -> tuple[Any, ...]:
    """A line of the table, made in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_measured, (what, *arguments))


def _measured(what: Any, *arguments: Any) -> tuple[Any, ...]:
    warnings.simplefilter("ignore")
    (line,) = [what(*arguments)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return (*line[:-1], f"{line[-1]:.1f}", peak)


def positions(objects: int, *, partners: bool) -> tuple[np.ndarray, np.ndarray]:
    """Right ascension and declination of the objects, or of their partners, degrees."""
    rng = np.random.default_rng(7)
    side = np.sqrt(objects / DENSITY) / 60
    ra, dec = rng.uniform(-side / 2, side / 2, (2, objects)) + np.array([[150.0], [2.0]])
    if partners:
        away, turn = rng.uniform(0, 0.999 * ARCSEC / 3600, objects), rng.uniform(0, 2 * np.pi, objects)
        ra, dec = ra + away * np.cos(turn), dec + away * np.sin(turn)
    return ra, dec


def table(objects: int, *, partners: bool = False) -> pa.Table:
    """What is published."""
    ra, dec = positions(objects, partners=partners)
    fields = [INDEX_FIELD, *(pa.field(name, pa.float64()) for name in ("ra", "dec"))]
    columns = [pa.array(hats_catalog.spatial_index(ra, dec)), pa.array(ra), pa.array(dec)]
    rows = pa.Table.from_arrays(columns, schema=pa.schema(fields)).append_column(
        "object_id", pa.array(np.arange(objects))
    )
    rng = np.random.default_rng(8)
    for number in range(0 if partners else COLUMNS - 4):
        rows = rows.append_column(f"value_{number}", pa.array(rng.normal(size=objects).astype(np.float32)))
    return rows


def publish(folder: str, rows: pa.Table, most_rows: int, arcsec: float) -> tuple[int, int, float]:
    """Write a collection: partitions, rows of the margin, seconds."""
    pixels, numbers = np.unique(rows[INDEX].to_numpy() >> 2 * (29 - hats_catalog.ORDER), return_counts=True)
    counts = dict(zip(pixels.tolist(), numbers.tolist(), strict=True))
    found = list(hats_catalog.partitions(counts, most_rows))
    of_partition = [rows.filter(pa.array(each.holds(rows[INDEX].to_numpy()))) for each in found]
    start = time.perf_counter()
    cover = Cover.of(found, arcsec) if arcsec else None
    of_target: dict[Any, list[Border]] = {}
    for partition, own in zip(found, of_partition, strict=True):
        hats_catalog.write_partition(f"{folder}/catalog", partition, own)
        if cover is not None:
            file = f"{folder}/margin/borders/{partition.first}.parquet"
            for border in hats_margin.set_aside(file, cover, own):
                of_target.setdefault(border.target, []).append(border)
    hats_metadata.finish(f"{folder}/catalog", "bench", found, rows.num_rows, counts)
    targets, total = sorted(of_target, key=lambda each: each.first), 0
    if cover is not None:
        for target in targets:
            total += hats_catalog.write_partition(
                f"{folder}/margin", target, hats_margin.collect(of_target[target])
            )
        hats_metadata.finish_margin(
            f"{folder}/margin",
            "bench_5arcs",
            targets,
            total,
            primary="catalog",
            arcsec=arcsec,
            schema=rows.schema,
        )
    hats_metadata.write_collection(folder, "bench", "catalog", ["margin"] if arcsec else [], {})
    return len(found), total, time.perf_counter() - start


def bare(scratch: str, objects: int, most_rows: int) -> tuple[Any, ...]:
    """The catalog, without a margin."""
    partitions, _, seconds = publish(f"{scratch}/bare", table(objects), most_rows, 0)
    publish(f"{scratch}/partners", table(objects, partners=True), most_rows, 0)
    return "publish without a margin", objects, partitions, "-", "-", seconds


def with_margin(scratch: str, objects: int, most_rows: int) -> tuple[Any, ...]:
    """The catalog with its margin."""
    partitions, rows, seconds = publish(f"{scratch}/ours", table(objects), most_rows, ARCSEC)
    return "publish with a margin of 5 arcsec", objects, partitions, rows, "-", seconds


def by_lsdb(scratch: str, objects: int, _: int) -> tuple[Any, ...]:
    """The margin of the catalog that is written already."""
    import lsdb
    from lsdb.loaders.dataframe.margin_catalog_generator import MarginCatalogGenerator

    # The library compiles what it aligns pixels with when it is first called: not counted.
    small = lsdb.open_catalog(f"{scratch}/partners")
    small.hc_structure.generate_negative_tree_pixels()
    start = time.perf_counter()
    catalog = lsdb.open_catalog(f"{scratch}/bare")
    margin = MarginCatalogGenerator(catalog, margin_threshold=ARCSEC).create_catalog()
    assert margin is not None
    margin.write_catalog(Path(scratch) / "theirs", catalog_name="theirs")
    seconds = time.perf_counter() - start
    rows = margin.hc_structure.catalog_info.total_rows
    return "LSDB's margin of it", objects, len(catalog.get_healpix_pixels()), rows, "-", seconds


def matched(scratch: str, objects: int, _: int) -> tuple[Any, ...]:
    """Cross-match with the collection."""
    return _match("cross-match with the margin", scratch, "ours", objects)


def matched_without(scratch: str, objects: int, _: int) -> tuple[Any, ...]:
    """Cross-match with the catalog alone."""
    return _match("cross-match without", scratch, "bare", objects)


def _match(what: str, scratch: str, name: str, objects: int) -> tuple[Any, ...]:
    import lsdb

    start = time.perf_counter()
    right = lsdb.open_catalog(f"{scratch}/{name}", columns=["object_id", "ra", "dec"])
    pairs = lsdb.open_catalog(f"{scratch}/partners").crossmatch(
        right, radius_arcsec=ARCSEC, n_neighbors=20, suffixes=("_l", "_r"), suffix_method="all_columns"
    )
    found = pairs.compute(progress_bar=False)
    own = int((found["object_id_l"] == found["object_id_r"]).sum())
    seconds = time.perf_counter() - start
    margin = "-" if right.margin is None else right.margin.hc_structure.catalog_info.total_rows
    return what, objects, len(right.get_healpix_pixels()), margin, objects - own, seconds


if __name__ == "__main__":
    main()
