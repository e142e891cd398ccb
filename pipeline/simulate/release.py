"""`tuningfork simulate`: a survey release with known truth, in the layout of real ones.

Tiles hold galaxies of every class, faint neighbours that no catalog lists, a few stars and noise. The
catalog holds what SExtractor would have measured; `truth.parquet` holds what was drawn.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from rich.console import Console
from rich.progress import Progress

from catalogs.errors import BadRequest
from pipeline.simulate import rendering
from pipeline.simulate.mosaics import DENSITY, TILE_GALAXIES, TILE_SIDE, Table, Tile, draw_tile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CENTRE = (150.1, 2.2)
"""Where the survey lies: ra, dec in degrees."""
DENSEST = 200.0
"""Galaxies an arcmin², at most: a full tile is still wider than the margins of its stamps."""
# Name, FITS format, unit, UCD.
GROUPED_BY = [
    *("ln(sersic_n)", "concentration", "gini", "m20", "asymmetry", "smoothness"),
    *("sersic_ellipticity", "ellipticity", "ln(r50)"),
]
"""Of the config's `[reduce] columns`."""
COLUMNS = [
    ("NUMBER", "K", None, "meta.id;meta.main"),
    ("ALPHA_J2000", "D", "deg", "pos.eq.ra;meta.main"),
    ("DELTA_J2000", "D", "deg", "pos.eq.dec;meta.main"),
    ("X_IMAGE", "D", "pix", "pos.cartesian.x;instr.det"),
    ("Y_IMAGE", "D", "pix", "pos.cartesian.y;instr.det"),
    ("MAG_AUTO", "E", "mag", "phot.mag"),
    ("FLUX_AUTO", "E", "ct", "phot.count"),
    ("FLUX_RADIUS", "E", "pix", "phys.angSize"),
    ("A_IMAGE", "E", "pix", "phys.angSize.smajAxis"),
    ("B_IMAGE", "E", "pix", "phys.angSize.sminAxis"),
    ("THETA_IMAGE", "E", "deg", "pos.posAng"),
    ("SNR_WIN", "E", None, "stat.snr"),
    ("FLAGS", "I", None, "meta.code"),
    ("TILE", "8A", None, "meta.id;obs.field"),
]
TRUTH = pa.schema(
    [
        ("object_id", pa.int64()),
        ("class", pa.string()),
        ("merger", pa.bool_()),
        ("magnitude", pa.float64()),  # total, in the catalog's band
        ("sersic_n", pa.float64()),  # of the component with the most light
        ("r_e", pa.float64()),  # semi-major half-light radius, arcsec
        ("ellipticity", pa.float64()),  # 1 - b/a
        ("position_angle", pa.float64()),  # degrees east of north
        ("arms", pa.int64()),
        ("arm_strength", pa.float64()),  # share of the disk's light
        ("knots", pa.int64()),
        ("bulge_to_total", pa.float64()),
        ("sn", pa.float64()),  # of a matched filter, without neighbours, in the catalog's band
    ]
)


def simulate(
    directory: str | Path,
    galaxies: int,
    shards: int = 4,
    seed: int = 0,
    bands: Sequence[str] = ("i",),
    workers: int | None = None,
    *,
    density: float = DENSITY,
    noisy: bool = True,
) -> None:
    """Write a simulated release: the same arguments give the same bytes, whatever `workers`.

    Parameters
    ----------
    directory
        Where to; it must not exist or be empty. `survey.toml` is written last.
    galaxies
        Rows of the catalog.
    shards
        Files of the catalog; each holds all objects of its tiles.
    seed
        Not negative. A galaxy depends on the seed and on its number alone, not on bands or shards.
    bands
        Names from `pipeline.simulate.rendering.BANDS`.
    workers
        Processes; default one a CPU.
    density
        Catalogued galaxies an arcmin², at most 200; the smallest tiles, 256 pixels wide, may have fewer.
    noisy
        False leaves the noise out of the images; the catalog and the truth stay as they are.

    Raises
    ------
    BadRequest
        If a number or band is impossible, or the folder is not empty.
    """
    directory, bands = Path(directory), tuple(bands)
    refuse(directory, galaxies, shards, seed, bands, workers, density)
    tiles = list(_plan(directory, galaxies, shards, seed, bands, density, noisy=noisy))
    for folder in ("images", "psf", "catalogs"):
        (directory / folder).mkdir(parents=True, exist_ok=True)
    for band in bands:
        write_psf(directory / "psf" / f"{band}.fits", band)
    pending: list[Table] = []
    console = Console(stderr=True)
    with (
        Progress(console=console, disable=not console.is_terminal) as progress,
        pq.ParquetWriter(directory / "truth.parquet", TRUTH) as truth,
    ):
        bar = progress.add_task("simulate", total=galaxies)
        done = _draw_all(tiles, workers or len(os.sched_getaffinity(0)))
        for place, (tile, (rows, facts)) in enumerate(zip(tiles, done, strict=True), start=1):
            pending.append(rows)
            truth.write_table(pa.table(facts, schema=TRUTH))
            progress.advance(bar, tile.count)
            if place == len(tiles) or tiles[place].shard != tile.shard:
                _write_catalog(directory / "catalogs" / f"shard-{tile.shard:04d}.fits", pending)
                pending = []
    (directory / "survey.toml").write_text(_config(bands), encoding="utf-8")


def refuse(
    directory: Path,
    galaxies: int,
    shards: int,
    seed: int,
    bands: tuple[str, ...],
    workers: int | None,
    density: float = DENSITY,
) -> None:
    """Raise `BadRequest` for a release that can't be made."""
    for name, value, least in (
        ("galaxies", galaxies, 1),
        ("shards", shards, 1),
        ("seed", seed, 0),
        ("workers", workers, 1),
    ):
        if value is not None and value < least:
            raise BadRequest(f"{name} is {value}: give at least {least}")
    if shards > galaxies:
        raise BadRequest(f"{shards} shards for {galaxies} galaxies: every shard needs at least one")
    if not 0 < density <= DENSEST:
        raise BadRequest(
            f"density is {density:g}: give galaxies an arcmin², more than 0 and at most {DENSEST:g}"
        )
    known = ", ".join(rendering.BANDS)
    if not bands:
        raise BadRequest(f"no bands: give one or more of {known}")
    if unknown := [band for band in bands if band not in rendering.BANDS]:
        raise BadRequest(f"unknown bands {', '.join(map(repr, unknown))}: choose from {known}")
    if len(set(bands)) < len(bands):
        raise BadRequest(f"bands {', '.join(bands)}: one is named twice")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise BadRequest(f"{directory} exists and is not an empty directory: choose another or remove it")


def split(total: int, parts: int) -> list[int]:
    """Sizes of parts that differ by one at most."""
    return [total * (part + 1) // parts - total * part // parts for part in range(parts)]


def _plan(
    directory: Path,
    galaxies: int,
    shards: int,
    seed: int,
    bands: tuple[str, ...],
    density: float,
    *,
    noisy: bool,
) -> Iterator[Tile]:
    counts = [
        (shard, count)
        for shard, rows in enumerate(split(galaxies, shards))
        for count in split(rows, math.ceil(rows / TILE_GALAXIES))
    ]
    across = math.ceil(math.sqrt(len(counts)))
    crowding = density / DENSITY
    step = TILE_SIDE / math.sqrt(crowding) * rendering.PIXEL_SCALE / 3600
    first = 0
    for number, (shard, count) in enumerate(counts):
        row, column = divmod(number, across)
        dec = CENTRE[1] + (row - (across - 1) / 2) * step
        ra = CENTRE[0] + (column - (across - 1) / 2) * step / math.cos(math.radians(dec))
        yield Tile(directory, seed, bands, shard, number, first, count, ra % 360, dec, noisy, crowding)
        first += count


def _draw_all(tiles: list[Tile], workers: int) -> Iterator[tuple[Table, Table]]:
    """Draw tiles in parallel, in order."""
    workers = min(workers, len(tiles))
    if workers == 1:
        yield from map(draw_tile, tiles)
        return
    # A forked child would inherit the threads' locks of whatever is imported here.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(draw_tile, tiles)


def _write_catalog(path: Path, tables: list[Table]) -> None:
    columns = [
        fits.Column(name, form, unit=unit, array=[value for table in tables for value in table[name]])
        for name, form, unit, _ in COLUMNS
    ]
    hdu = fits.BinTableHDU.from_columns(columns)
    for number, (_, _, _, ucd) in enumerate(COLUMNS, start=1):
        hdu.header[f"TUCD{number}"] = ucd
    hdu.writeto(path)


def write_psf(path: Path, band: str) -> None:
    """Write the PSF of a band as an image."""
    header = fits.Header(
        {"FILTER": band, "PSF_FWHM": rendering.BANDS[band].fwhm, "PIXSCALE": rendering.PIXEL_SCALE}
    )
    fits.PrimaryHDU(rendering.psf_image(band), header).writeto(path)


def _config(bands: tuple[str, ...]) -> str:
    measured = bands[len(bands) // 2]
    return f"""# A simulated release: `tuningfork run survey.toml --out RUN`. The truth is in truth.parquet.

[survey]
name = "simulated"
catalogs = "catalogs/*.fits"
id = "NUMBER"
ra = "ALPHA_J2000"
dec = "DELTA_J2000"
keep = ["MAG_AUTO", "FLUX_RADIUS", "SNR_WIN"]

[survey.images]
layout = "tiles"
path = "images/{{TILE}}_{{band}}.fits"
bands = {json.dumps(list(bands))}
size = 64
position = "sky"

[measure]
band = "{measured}"
psf = "psf/{{band}}.fits"
gain = {rendering.BANDS[measured].gain}
zeropoint = {rendering.MAGZERO}

# Objects are grouped by what the network sees and by what is measured.
[reduce]
columns = {json.dumps(GROUPED_BY)}

# Medians of a group's kept objects name it; the first rule that holds counts.
[classes]
by = "rules"
rules = [
  {{ class = "IRR", when = "asymmetry > 0.1 or sersic_n < 1.05 and m20 > -1.3" }},
  {{ class = "LTD", when = "sersic_r_e > 2.75 or sersic_n < 1.6" }},   # arcsec: disks are the large ones here
  {{ class = "SPH", when = "ellipticity < 0.26" }},
  {{ class = "ETD", when = "true" }},
]

# Below an S/N of 2.5 per pixel most parameters are biased. Simulated irregulars are small and full of knots, so their sizes
# and Gini are not at the end of the order.
[validate]
where = "sn_pixel > 2.5"
required = ["ordering/sersic_n", "ordering/concentration", "ordering/m20", "merger_asymmetry"]
"""
