"""Stamps a second: 64-pixel stamps of one tile of a survey, ours beside astropy's Cutout2D, Cutana and plain copying.

    python -m benchmarks.stamps [--positions 20000]

One float32 tile with a TAN WCS, positions scattered over it without order, the file in the page cache, one core for
everything but Cutana's worker processes, which run free. Every contestant reads the same file, opening included, and
ends with a copy of every stamp in memory. Ours is timed twice: `catalogs.images.cut` does what Cutout2D does here (pixel
positions in, pixels out); `catalogs.stamps.stamps_of` is what a run does (ra and dec in; WCS, sky subtraction and flags),
in slices of 1,024 and of 256 rows as in a run (where the tile is compressed, it is decoded once for all of them), and in
one call (which decodes it once anyway; nothing is kept then). Cutana starts from ra and dec and subtracts nothing. Its fastest
public path is `create_cutouts_direct` with `do_only_cutout_extraction` (in process, no resizing, normalisation or flux
conversion); `StreamingOrchestrator` in memory, its own choice for more than 1,000 sources, refuses raw extraction, so
there it gets target_resolution = 64, normalisation "none", float32 and no checks. The ceiling is `np.copyto` of as many
bytes into an array that is there already. Best of the repeats for each.
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS

from benchmarks.common import best, write_csv
from benchmarks.releases import tan_wcs
from catalogs import images, tile_cache
from catalogs.stamps import stamps_of
from catalogs.survey import Images, Survey

SIZE, SLICES, MARGIN = 64, (1024, 256), 40


def write_tiles(folder: Path, side: int) -> dict[str, Path]:
    """The same noise as a plain, a gzipped and a tile-compressed file."""
    pixels = np.random.default_rng(0).standard_normal((side, side), dtype=np.float32)
    header = tan_wcs(side).to_header()
    tiles = {
        kind: folder / name
        for kind, name in (("plain", "tile.fits"), ("gzip", "tile.fits.gz"), ("fz", "tile.fits.fz"))
    }
    fits.PrimaryHDU(pixels, header).writeto(tiles["plain"])
    with tiles["plain"].open("rb") as plain, gzip.open(tiles["gzip"], "wb", compresslevel=4) as packed:
        shutil.copyfileobj(plain, packed)
    fits.CompImageHDU(pixels, header, compression_type="RICE_1").writeto(tiles["fz"])
    return tiles


def by_copying(n: int, repeats: int) -> float:
    """Stamps a second of copying memory to memory."""
    there = np.ones((n, SIZE, SIZE), np.float32)
    to = np.zeros_like(there)
    to.fill(0)  # its pages exist before the clock starts
    return n / best(lambda: np.copyto(to, there), repeats)


def by_cutout2d(tile: Path, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    """The loop that most people write."""
    with fits.open(tile, memmap=True) as file:
        pixels = file[0].data
        return [Cutout2D(pixels, centre, SIZE, copy=True).data for centre in zip(x, y, strict=True)]


def by_cutout2d_on_sky(tile: Path, ra: np.ndarray, dec: np.ndarray) -> list[np.ndarray]:
    """The same loop from ra and dec, each stamp with its WCS."""
    with fits.open(tile, memmap=True) as file:
        pixels, wcs = file[0].data, WCS(file[0].header)
        centres = SkyCoord(ra, dec, unit="deg")
        return [Cutout2D(pixels, centre, SIZE, wcs=wcs, copy=True).data for centre in centres]


def ours(
    kind: str, tile: Path, x: np.ndarray, y: np.ndarray, repeats: int
) -> list[tuple[str, str, float, str]]:
    """Rates of `cut` and of `stamps_of`."""
    layout = Images(layout="tiles", path=str(tile), bands=["r"], size=SIZE)
    survey = Survey(catalogs="-", id="ID", ra="RA", dec="DEC", images=layout)
    ra, dec = tan_wcs(images.open_image(str(tile)).shape[0]).all_pix2world(x, y, 0)
    rows = pa.table({"RA": ra, "DEC": dec})

    def by_slices(most: int) -> None:
        tile_cache.resize(0)  # decoding the tile counts, once
        tile_cache.resize(tile_cache.LIMIT)
        for start in range(0, len(x), most):
            stamps_of(survey, rows.slice(start, min(most, len(x) - start)), "/")

    tile_cache.resize(0)
    cut = best(lambda: images.cut(images.open_image(str(tile)), x, y, SIZE), repeats)
    whole = best(lambda: stamps_of(survey, rows, "/"), repeats)
    found = [
        ("tuningfork: cut", kind, len(x) / cut, "pixel positions to pixels"),
        ("tuningfork: stamps_of, one call", kind, len(x) / whole, "with WCS, sky subtraction and flags"),
    ]
    for most in SLICES:
        parts = len(x) / best(lambda most=most: by_slices(most), repeats)
        found.append(
            (
                f"tuningfork: stamps_of, slices of {most}",
                kind,
                parts,
                "the same, as a run reads; decoded once",
            )
        )
    return found


def cutana_config(folder: Path):
    """Cutana's settings for nothing but cutting."""
    from cutana import get_default_config

    config = get_default_config()
    config.output_dir = str(folder)
    config.apply_flux_conversion = False
    config.normalisation_method = "none"
    config.data_type = "float32"
    config.target_resolution = SIZE
    config.selected_extensions = [{"name": "PRIMARY", "ext": "PrimaryHDU"}]
    config.channel_weights = {"PRIMARY": [1.0]}
    config.skip_catalogue_validation = config.skip_fits_check = True
    config.log_level = config.console_log_level = "CRITICAL"
    return config


def cutana_direct(tile: Path, ra: np.ndarray, dec: np.ndarray, folder: Path, repeats: int) -> float:
    """Stamps a second in this process."""
    import pandas as pd
    from cutana import create_cutouts_direct

    ids = [f"s{i}" for i in range(len(ra))]
    sources = pd.DataFrame(
        {"SourceID": ids, "RA": ra, "Dec": dec, "diameter_pixel": SIZE, "fits_file_paths": f"['{tile}']"}
    )
    sources.to_parquet(folder / "sources.parquet")
    config = cutana_config(folder)
    config.do_only_cutout_extraction = True
    return len(ra) / best(lambda: create_cutouts_direct(sources, config, max_workers=1), repeats)


def cutana_streaming(folder: Path, sources: int, workers: int) -> tuple[float, float]:
    """Stamps a second with worker processes: everything counted, and without the processes' start."""
    from cutana import StreamingOrchestrator

    config = cutana_config(folder)
    config.source_catalogue = str(folder / "sources.parquet")
    config.max_workers, config.process_threads = workers, 1
    config.N_batch_cutout_process = 10_000
    config.loadbalancer.skip_memory_calibration_wait = True
    config.loadbalancer.main_process_memory_reserve_gb = 0.5
    config.loadbalancer.max_sources_per_process = -(-sources // workers)
    orchestrator = StreamingOrchestrator(config)
    start, found = time.perf_counter(), 0
    try:
        orchestrator.init_streaming(
            sources,
            write_to_disk=False,
            max_workers=workers,
            min_workers=workers,
            max_shm_memory_consumption=2**31,
        )
        for _ in range(orchestrator.get_batch_count()):
            found += len(orchestrator.next_batch()["cutouts"])
        seconds = time.perf_counter() - start
        info = orchestrator.get_worker_info().values()
    finally:
        orchestrator.cleanup()
    assert found == sources, f"Cutana returned {found} of {sources} stamps"
    working = sum(worker.performance["total_runtime"] for worker in info) / workers
    return sources / seconds, sources / working


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--positions", type=int, default=20_000)
    parser.add_argument("--few", type=int, default=4_000, help="positions for Cutout2D")
    parser.add_argument("--side", type=int, default=4_000, help="of the tile, pixels")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore", AstropyWarning)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    n = options.positions
    x, y = np.random.default_rng(1).uniform(MARGIN, options.side - MARGIN, (2, n))
    measured: list[tuple[str, str, float, str]] = []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tiles = write_tiles(folder, options.side)
        few = slice(options.few)
        same, _ = images.cut(images.open_image(str(tiles["plain"])), x[few], y[few], SIZE)
        assert np.array_equal(same, by_cutout2d(tiles["plain"], x[few], y[few])), "ours and Cutout2D differ"

        ceiling = by_copying(n, options.repeats)
        reference = options.few / best(lambda: by_cutout2d(tiles["plain"], x[few], y[few]), options.repeats)
        ra, dec = tan_wcs(options.side).all_pix2world(x, y, 0)
        sky = slice(options.few // 4)
        on_sky = (options.few // 4) / best(
            lambda: by_cutout2d_on_sky(tiles["plain"], ra[sky], dec[sky]), min(options.repeats, 3)
        )
        measured.append(
            ("memcpy: np.copyto", "-", ceiling, "the ceiling: as many bytes, from memory to memory")
        )
        measured.append(
            (
                "astropy: Cutout2D loop",
                "plain",
                reference,
                f"pixel positions, memory-mapped, copy=True, {options.few} positions",
            )
        )
        note = f"SkyCoord and wcs given, {options.few // 4} positions"
        measured.append(("astropy: Cutout2D loop on the sky", "plain", on_sky, note))
        for kind, tile in tiles.items():
            measured += ours(kind, tile, x, y, options.repeats)

        direct = cutana_direct(tiles["plain"], ra, dec, folder, options.repeats)
        measured.append(
            ("cutana: create_cutouts_direct", "plain", direct, "raw extraction in process, with WCS")
        )
        os.sched_setaffinity(0, cores)
        for workers in sorted({1, len(cores)}):
            rate, steady = cutana_streaming(folder, n, workers)
            note = f"worker processes of their own; {steady:,.0f}/s without their start"
            measured.append((f"cutana: streaming, {workers} workers", "plain", rate, note))
    plain = {what: rate for what, kind, rate, _ in measured if kind == "plain"}
    write_csv(
        "stamps",
        ("what", "file", "stamps_per_s", "ratio_to_cutout2d", "ratio_to_plain", "share_of_memcpy", "note"),
        [
            (
                *row[:2],
                f"{row[2]:.0f}",
                f"{row[2] / reference:.1f}",
                f"{row[2] / plain[row[0]]:.2f}" if row[0].startswith("tuningfork") else "-",
                f"{row[2] / ceiling:.4f}",
                row[3],
            )
            for row in measured
        ],
    )


if __name__ == "__main__":
    main()
