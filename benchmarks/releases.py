"""Releases for benchmarks: as many objects as wanted in seconds, because they share one tile's blobs.

Every object is one of the tile's blobs again, a few pixels off its centre, so that no two stamps need be alike. Ids are
unique, positions scattered over the tile in no order, as in a catalog sorted by something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

if TYPE_CHECKING:
    from pathlib import Path

BLOBS_A_SIDE = 50
LARGEST_SIDE = 8192  # pixels of a tile: of large stamps fewer blobs fit
JITTER = 5.0
"""Objects lie up to this many pixels off their blob's centre, in x and in y."""


def tan_wcs(side: int, scale: float = 0.2) -> WCS:
    """Gnomonic WCS of a square tile, `scale` arcsec a pixel."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0, 2.0]
    wcs.wcs.crpix = [side / 2 + 0.5, side / 2 + 0.5]
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    return wcs


def write_release(folder: Path, objects: int, shards: int, size: int = 64, config: str = "") -> Path:
    """Make a release and its config.

    Parameters
    ----------
    folder : Path
        New folder.
    objects, shards : int
        Catalog rows of the whole release, and the files they lie in.
    size : int
        Side of a stamp, pixels; blobs stand this far apart.
    config : str
        TOML that follows `[survey]`: `[encode]` and so on.

    Returns
    -------
    Path
        The config, `survey.toml`.
    """
    (folder / "images").mkdir(parents=True)
    (folder / "catalogs").mkdir()
    rng = np.random.default_rng(7)
    pitch = size + 8
    blobs = min(BLOBS_A_SIDE, LARGEST_SIDE // pitch)
    side = pitch * (blobs + 1)
    image = rng.standard_normal((side, side), dtype=np.float32)
    centres = np.array([(pitch * (j + 1), pitch * (i + 1)) for i in range(blobs) for j in range(blobs)])
    for x, y in centres:
        half = size // 2
        image[y - half : y + half, x - half : x + half] += _blob(size, rng)
    wcs = tan_wcs(side)
    fits.PrimaryHDU(image, wcs.to_header()).writeto(folder / "images" / "tile_r.fits")
    which = rng.integers(len(centres), size=objects)
    x, y = (centres[which] + rng.uniform(-JITTER, JITTER, (objects, 2))).T
    ra, dec = wcs.all_pix2world(x, y, 0)
    table = np.empty(objects, dtype=[("ID", ">i8"), ("RA", ">f8"), ("DEC", ">f8")])
    table["ID"], table["RA"], table["DEC"] = np.arange(objects) * 7919 + 1, ra, dec
    for number, rows in enumerate(np.array_split(table, shards)):
        fits.BinTableHDU(rows).writeto(folder / "catalogs" / f"shard_{number:04d}.fits")
    path = folder / "survey.toml"
    path.write_text(
        f"""[survey]
name = "blobs"
catalogs = "catalogs/*.fits"
id = "ID"
ra = "RA"
dec = "DEC"

[survey.images]
layout = "tiles"
path = "images/tile_{{band}}.fits"
bands = ["r"]
size = {size}

{config}"""
    )
    return path


def _blob(size: int, rng: np.random.Generator) -> np.ndarray:
    """An exponential ellipse of random shape and brightness, (size, size)."""
    line = np.arange(size, dtype=np.float32) - size // 2
    turn, ratio = rng.uniform(0, np.pi), rng.uniform(0.3, 1.0)
    u = line * np.cos(turn) + line[:, None] * np.sin(turn)
    v = (line[:, None] * np.cos(turn) - line * np.sin(turn)) / ratio
    scale = size * rng.uniform(0.03, 0.1)
    return (10 ** rng.uniform(1.0, 2.5) * np.exp(-np.hypot(u, v) / scale)).astype(np.float32)
