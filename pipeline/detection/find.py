"""One tile: read it, find its sources, measure them, and keep them all in one part."""

from __future__ import annotations

import base64
import json
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalogs import storage
from catalogs.errors import CorruptFile
from catalogs.sky import pixel_to_sky
from catalogs.tile_pixels import open_tile, read_tile
from kernels.detection import BandSum, NoNoise, TooCrowded, flatten, photometry, sources
from kernels.point_sources import are_points, point_radius
from pipeline.detection.columns import ID, SKY, as_arrow, described, made_columns, repeated

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from catalogs.tile_pixels import TilePixels
    from pipeline.detection.job import Job

__all__ = ["CELL", "META", "covered_cells", "find", "is_done"]

META = b"tuningfork.detect"
"""Key of a part's own metadata."""
CELL = 16
"""Side of the cells in which it is kept where a tile has data."""


def find(tile: int, job: Job) -> dict[str, Any]:
    """Find a tile's sources and write its part, whole or not at all; the same images and settings give the same bytes.

    Returns
    -------
    told : dict
        `sources`, `pixels`; `fault` where the tile cannot be worked on; `notes`.
    """
    try:
        return _find(tile, job)
    except (CorruptFile, TooCrowded) as error:
        text = str(error)
        if isinstance(error, TooCrowded):
            text = f"{_url(job, tile, job.bands[0])}: too many pixels are above the threshold ({error}). Raise [detect] threshold, or deblend less."
        return {"sources": 0, "pixels": 0, "fault": text, "notes": []}


def _find(tile: int, job: Job) -> dict[str, Any]:
    values = job.tiles[tile]
    header = open_tile(job.layout, values, job.measured, job.folder)
    notes = list[str]()
    names = [name for name in made_columns() if name != ID and (job.sky or name not in SKY)]
    schema = described(names, values)
    try:
        columns, covered, star = _sources(tile, job, notes)
    except NoNoise as error:
        notes.append(f"{header.url}: {error}: no sources")
        columns, covered, star = {name: [] for name in names}, np.zeros((1, 1), bool), float("nan")
    if job.sky and header.wcs is not None:
        x, y = (np.asarray(columns[name], np.float64) - 1.0 for name in ("X_IMAGE", "Y_IMAGE"))
        columns["ALPHA_J2000"], columns["DELTA_J2000"] = pixel_to_sky(header.wcs, x, y)
    count = len(columns["X_IMAGE"])
    arrays = [as_arrow(np.asarray(columns[name]), schema.field(name).type) for name in names]
    arrays += [repeated(value, count) for value in values.values()]
    about = {
        "fingerprint": job.fingerprint,
        "shape": list(header.shape),
        "cells": [*covered.shape, base64.b64encode(zlib.compress(np.packbits(covered).tobytes())).decode()],
        "star_radius": None if np.isnan(star) else star,
        "notes": notes,
    }
    table = pa.Table.from_arrays(arrays, schema=schema.with_metadata({META: json.dumps(about).encode()}))
    file = BytesIO()
    pq.write_table(table, file, compression="zstd")
    storage.write(job.part(tile), file.getvalue())
    return {"sources": count, "pixels": int(np.prod(header.shape)), "fault": None, "notes": notes}


def _sources(tile: int, job: Job, notes: list[str]) -> tuple[dict[str, Any], NDArray[np.bool_], float]:
    """Columns of a tile's sources, where it has data, and its stars' radius."""
    settings, flat = job.settings, job.layout.background == "none"
    measured, several, added = None, None, None
    for band in dict.fromkeys((*job.bands, job.measured)):
        pixels = read_tile(job.layout, job.tiles[tile], band, job.folder)
        try:
            rms = flatten(pixels.image, pixels.bad, settings, subtract=not flat)
        except NoNoise as error:
            if band == job.measured or len(job.bands) == 1:
                raise
            notes.append(f"{_url(job, tile, band)}: {error}: this band is left out")
            continue
        if pixels.bad is not None:
            pixels.image[pixels.bad] = 0.0
        noise = rms if pixels.noise is None else pixels.noise
        _compare(pixels, rms, job, tile, band, notes)
        if band == job.measured:
            measured = pixels, noise
        if len(job.bands) > 1 and band in job.bands:
            several = BandSum(pixels.image.shape) if several is None else several
            several.add(pixels.image, noise, pixels.bad)
        elif band in job.bands:
            added = pixels.image, noise, pixels.bad
    assert measured is not None
    if len(job.bands) > 1 and several is None:
        raise NoNoise("none of its bands has scatter")
    if several is not None:
        image, bad = several.result()
        added = image, 1.0, bad
        del several
    assert added is not None
    found = sources(*added, settings)
    pixels, noise = measured
    columns = photometry(
        found,
        pixels.image,
        noise,
        pixels.bad,
        detection=None if added[0] is pixels.image else added[0],
        gain=job.gain,
        saturated=pixels.saturated,
    )
    columns["MAG_AUTO"] = columns["MAG_AUTO"] + job.zeropoint
    with np.errstate(divide="ignore", invalid="ignore"):
        snr = columns["FLUX_AUTO"] / columns["FLUXERR_AUTO"]
    round_ = columns["B_IMAGE"] / columns["A_IMAGE"]
    given = job.detect.star_radius
    star = (
        given
        if isinstance(given, float)
        else point_radius(columns["FLUX_RADIUS"], snr, round_, columns["FLAGS"])
    )
    columns["STAR"] = are_points(
        columns["FLUX_RADIUS"], snr, round_, star, job.detect.star_tolerance, job.detect.star_snr
    )
    return columns, covered_cells(added[2], added[0].shape), star


def _compare(pixels: TilePixels, rms: float, job: Job, tile: int, band: str, notes: list[str]) -> None:
    """Weights that say something else than the pixels are doubtful: they may be relative ones."""
    if pixels.noise is None:
        return
    good = pixels.noise if pixels.bad is None else pixels.noise[~pixels.bad]
    ratio = float(np.median(good)) / rms if good.size else 1.0
    if not 1 / 3 < ratio < 3:
        notes.append(
            f"{_url(job, tile, band)}: its weights say a noise of {ratio:.3g} times that of its pixels: are they relative ones?"
        )


def _url(job: Job, tile: int, band: str) -> str:
    return open_tile(job.layout, job.tiles[tile], band, job.folder).url


def covered_cells(bad: NDArray[np.bool_] | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """In which cells of a tile more than half of the pixels have data."""
    high, wide = -(-shape[0] // CELL), -(-shape[1] // CELL)
    if bad is None:
        return np.ones((high, wide), bool)
    # whole rows of cells, so that no copy of the tile is made
    sums = np.add.reduceat(bad, np.arange(0, shape[0], CELL), axis=0, dtype=np.int32)
    sums = np.add.reduceat(sums, np.arange(0, shape[1], CELL), axis=1)
    rows = np.diff(np.append(np.arange(0, shape[0], CELL), shape[0]))
    columns = np.diff(np.append(np.arange(0, shape[1], CELL), shape[1]))
    return np.asarray(sums * 2 < np.outer(rows, columns))


def is_done(tile: int, job: Job) -> bool:
    """Whether a tile's part is there, of the job's own settings and images."""
    url = job.part(tile)
    if not storage.exists(url):
        return False
    with storage.reading(url, None) as stream:
        metadata = pq.read_schema(stream).metadata or {}
    return bool(json.loads(metadata.get(META, b"{}")).get("fingerprint") == job.fingerprint)
