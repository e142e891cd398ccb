"""`tuningfork simulate --cosmology`: a release of galaxies with redshifts, masses, SEDs and spectra, a stamp a row.

What is observed is in the catalog's columns, and so is the truth, which `truth.parquet` has, too.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from rich.console import Console
from rich.progress import Progress
from threadpoolctl import threadpool_limits

from pipeline.simulate import rendering
from pipeline.simulate.cosmic_columns import TRUTH_SCHEMA, header, rows
from pipeline.simulate.exposures import SIDE, detection, gain
from pipeline.simulate.filters import BANDS, ZEROPOINT
from pipeline.simulate.release import refuse, split, write_psf

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLOCK = 64
"""Galaxies that a process makes at a time."""
FITS_BLOCK = 2880


class Block(NamedTuple):
    """Galaxies to make: everything a worker needs to know."""

    shard: int
    seed: int
    first: int
    galaxies: int
    bands: tuple[str, ...]
    noisy: bool


def simulate_cosmic(
    directory: str | Path,
    galaxies: int,
    shards: int = 4,
    seed: int = 0,
    bands: Sequence[str] = ("g", "r", "i", "z", "y"),
    workers: int | None = None,
    *,
    noisy: bool = True,
) -> None:
    """Write a release of galaxies with a cosmology: the same arguments give the same bytes, whatever `workers`.

    Parameters
    ----------
    directory
        Where to; it must not exist or be empty. `survey.toml` is written last.
    galaxies
        Rows of the catalog.
    shards
        Files of the catalog.
    seed
        Not negative. A row depends on the seed, on its number and on the bands of its stamp, not on shards.
    bands
        Of the stamps: names from `pipeline.simulate.filters.BANDS`. The catalog has the magnitudes of all of them.
    workers
        Processes; default one a CPU.
    noisy
        False leaves the noise out of the stamps; the catalog and the truth stay as they are.

    Raises
    ------
    BadRequest
        If a number or band is impossible, or the folder is not empty.
    """
    directory, bands = Path(directory), tuple(bands)
    refuse(directory, galaxies, shards, seed, bands, workers)
    for folder in ("catalogs", "psf"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    for band in bands:
        write_psf(directory / "psf" / f"{band}.fits", band)
    sizes = split(galaxies, shards)
    blocks = _blocks(sizes, seed, bands, noisy=noisy)
    made = _make_all(blocks, workers or len(os.sched_getaffinity(0)))
    facts: list[pa.Table] = []
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("simulate", total=galaxies)
        for shard, size in enumerate(sizes):
            with (directory / "catalogs" / f"shard-{shard:04d}.fits").open("wb") as file:
                file.write(fits.PrimaryHDU().header.tostring().encode("ascii"))
                file.write(_header(bands, size).tostring().encode("ascii"))
                length = 0
                for table in islice(made, sum(block.shard == shard for block in blocks)):
                    length += file.write(table.tobytes())
                    facts.append(_truth(table))
                    progress.advance(bar, len(table))
                file.write(bytes(-length % FITS_BLOCK))
    pq.write_table(pa.concat_tables(facts), directory / "truth.parquet")
    (directory / "survey.toml").write_text(_config(bands), encoding="utf-8")


def _blocks(sizes: Sequence[int], seed: int, bands: tuple[str, ...], *, noisy: bool) -> list[Block]:
    starts = np.cumsum([0, *sizes])
    return [
        Block(shard, seed, first, min(BLOCK, int(starts[shard + 1]) - first), bands, noisy)
        for shard in range(len(sizes))
        for first in range(int(starts[shard]), int(starts[shard + 1]), BLOCK)
    ]


def _make_all(blocks: list[Block], workers: int) -> Iterator[np.ndarray]:
    workers = min(workers, len(blocks))
    if workers == 1:
        yield from map(_make, blocks)
        return
    # A forked child would inherit the threads' locks of whatever is imported here.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_make, blocks)


def _make(block: Block) -> np.ndarray:
    # Sums of products depend on how many threads share them.
    with threadpool_limits(1):
        return rows(block.seed, block.first, block.galaxies, block.bands, block.noisy)


def _truth(table: np.ndarray) -> pa.Table:
    # Arrow wants the machine's own byte order.
    native = {name: table[name].astype(table[name].dtype.newbyteorder("=")) for name in TRUTH_SCHEMA.names}
    native["class"] = native["class"].astype(str)
    return pa.table(native, schema=TRUTH_SCHEMA)


def _header(bands: tuple[str, ...], size: int) -> fits.Header:
    made = header(bands, size)
    made["MAGZERO"] = (ZEROPOINT, "AB magnitude of one nJy")
    made["PIXSCALE"] = (rendering.PIXEL_SCALE, "arcsec")
    made["BANDS"] = (",".join(bands), "of the stamps, in order")
    return made


def _config(bands: tuple[str, ...]) -> str:
    measured = bands[detection(bands)]
    kept = [name for band in BANDS for name in (f"mag_{band}", f"mag_{band}_err")]
    return f"""# A simulated release with a cosmology: `tuningfork run survey.toml --out RUN`. The truth is in truth.parquet and in the
# catalog's columns from `class` on. Vectors: sed, sed_ivar, sed_wavelength; spectrum, spectrum_ivar, spectrum_wavelength (nJy, nm).

[survey]
name = "simulated"
catalogs = "catalogs/*.fits"
id = "object_id"
ra = "ra"
dec = "dec"
keep = {json.dumps([*kept, "flux_radius", "redshift", "log_mass"])}

[survey.images]
layout = "column"
column = "IMAGE"
bands = {json.dumps(list(bands))}
size = {SIDE}
pixel_scale = {rendering.PIXEL_SCALE}
background = "none"   # nJy, of which the sky is subtracted

[measure]
band = "{measured}"
psf = "psf/{{band}}.fits"
gain = {gain(measured):.6g}
zeropoint = {ZEROPOINT}
"""
