"""One simulated tile: where its galaxies lie, the exposure in every band, and what a catalog says of them."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.wcs import WCS

from pipeline.simulate import rendering
from pipeline.simulate.galaxies import sample

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.simulate.galaxies import Galaxy

TILE_GALAXIES = 150
"""Most galaxies of a tile."""
TILE_SIDE = 1600
"""Side of a full tile in pixels; tiles with fewer galaxies are smaller, at the same density."""
DENSITY = TILE_GALAXIES / (TILE_SIDE * rendering.PIXEL_SCALE / 60) ** 2
"""Catalogued galaxies an arcmin²."""
MARGIN = 28
"""No centre lies nearer to a tile's edge, in pixels: few 64-pixel stamps reach over it."""
APART = 22.0
"""No two catalogued centres lie nearer to each other, in pixels, at the usual density; their outskirts may overlap."""
FAINT, STARS = 400, 12
"""Uncatalogued objects of a full tile."""
EXPTIME = 1200.0
"""Seconds."""

Table = dict[str, list[object]]
Image = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tile:
    """One mosaic to draw: everything a worker needs to know."""

    directory: Path
    seed: int
    bands: tuple[str, ...]
    shard: int
    number: int
    first: int
    """Index of its first galaxy in the release."""
    count: int
    ra: float
    dec: float
    noisy: bool = True
    crowding: float = 1.0
    """Density over the usual one."""

    @property
    def name(self) -> str:
        """Name of the tile in file names and in the catalog."""
        return f"T{self.number:05d}"

    @property
    def side(self) -> int:
        """Side in pixels."""
        full = TILE_SIDE * math.sqrt(self.count / TILE_GALAXIES / self.crowding)
        return max(256, 32 * math.ceil(full / 32))

    @property
    def apart(self) -> float:
        """No two catalogued centres lie nearer to each other, in pixels."""
        return APART / math.sqrt(max(1.0, self.crowding))

    @property
    def detection(self) -> int:
        """Which of the bands the catalog is measured in: i, or the first."""
        return self.bands.index("i") if "i" in self.bands else 0

    @property
    def wcs(self) -> WCS:
        """TAN, north up, east to the left, centred on the tile."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [self.ra, self.dec]
        wcs.wcs.crpix = [self.side / 2 + 0.5, self.side / 2 + 0.5]
        wcs.wcs.cdelt = [-rendering.PIXEL_SCALE / 3600, rendering.PIXEL_SCALE / 3600]
        return wcs


def draw_tile(tile: Tile) -> tuple[Table, Table]:
    """Draw a tile's images in every band and write them.

    Returns
    -------
    rows, facts : dict of lists
        What SExtractor would have measured, and the truth, a row a galaxy.
    """
    rng = np.random.default_rng([tile.seed, tile.number, 1])
    light = np.zeros((len(tile.bands), tile.side, tile.side), np.float32)
    _add_faint(tile, light, rng)
    rows: Table = {}
    facts: Table = {}
    for offset, (x, y) in enumerate(_places(tile, rng)):
        index = tile.first + offset
        galaxy = sample(tile.seed, index)
        stamp = rendering.render(galaxy, tile.bands, x - round(x), y - round(y))
        _add(light, stamp, round(x), round(y))
        seen = stamp[tile.detection]
        row, fact = _measured(tile, galaxy, index, x, y, seen, rng)
        for table, values in ((rows, row), (facts, fact)):
            for name, value in values.items():
                table.setdefault(name, []).append(value)
    for plane, band in zip(light, tile.bands, strict=True):
        _write_image(tile, band, plane)
    return rows, facts


def _places(tile: Tile, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Centres of the catalogued galaxies, 0-based pixels; crowding is given up only where there is no room."""
    found: list[tuple[float, float]] = []
    for _ in range(tile.count):
        for _ in range(50):
            x, y = rng.uniform(MARGIN, tile.side - MARGIN, 2)
            if all(math.hypot(x - a, y - b) >= tile.apart for a, b in found):
                break
        found.append((float(x), float(y)))
    return found


def _add_faint(tile: Tile, light: Image, rng: np.random.Generator) -> None:
    """Background galaxies and stars that no catalog lists."""
    share = (tile.side / TILE_SIDE) ** 2
    faint, stars = round(FAINT * share), round(STARS * share)
    count = faint + stars
    is_star = np.arange(count) >= faint
    magnitude = np.where(
        is_star, rng.uniform(19.0, 23.0, count), 26.0 - rng.exponential(0.9, count).clip(0, 3)
    )
    r_e = np.where(is_star, 0.0, rng.uniform(0.15, 0.6, count))
    axis_ratio, angle = rng.uniform(0.3, 1.0, count), rng.uniform(0, np.pi, count)
    population = rng.integers(0, 3, count)
    x, y = rng.integers(0, tile.side, (2, count))
    stamps = rendering.render_faint(magnitude, r_e, axis_ratio, angle, population, tile.bands)
    for stamp, column, row in zip(stamps, x, y, strict=True):
        _add(light, stamp, int(column), int(row))


def _add(light: Image, stamp: Image, x: int, y: int) -> None:
    """Add a stamp whose central pixel `side // 2` falls on (x, y); what reaches over the edge is lost."""
    side, limit = stamp.shape[-1], light.shape[-1]
    x0, y0 = x - side // 2, y - side // 2
    left, low = max(x0, 0), max(y0, 0)
    right, high = min(x0 + side, limit), min(y0 + side, limit)
    light[:, low:high, left:right] += stamp[:, low - y0 : high - y0, left - x0 : right - x0]


def _measured(
    tile: Tile, galaxy: Galaxy, index: int, x: float, y: float, seen: Image, rng: np.random.Generator
) -> tuple[dict[str, object], dict[str, object]]:
    band = rendering.BANDS[tile.bands[tile.detection]]
    variance = band.noise**2 + np.maximum(seen, 0) / band.gain
    sn = float(np.sqrt((seen**2 / variance).sum()))
    total = float(seen.sum())
    flux = (
        0.95 * total * (1 + float(rng.normal(0, 1 / sn)))
    )  # an elliptical aperture misses about a twentieth
    sigma = band.fwhm / 2.355 / rendering.PIXEL_SCALE
    r_e = galaxy.r_e / rendering.PIXEL_SCALE
    major, minor = math.hypot(0.6 * r_e, sigma), math.hypot(0.6 * r_e * galaxy.axis_ratio, sigma)
    radius = math.hypot(r_e * math.sqrt(galaxy.axis_ratio), 1.18 * sigma) * (
        1 + float(rng.normal(0, 0.5 / sn))
    )
    ra, dec = (float(v) for v in tile.wcs.wcs_pix2world(x, y, 0))
    theta = (math.degrees(galaxy.angle) + 90) % 180 - 90
    near = min(x, y, tile.side - 1 - x, tile.side - 1 - y) < 2 * r_e
    row: dict[str, object] = {
        "NUMBER": index + 1,
        "ALPHA_J2000": ra,
        "DELTA_J2000": dec,
        "X_IMAGE": x + 1,
        "Y_IMAGE": y + 1,
        "MAG_AUTO": rendering.MAGZERO - 2.5 * math.log10(max(flux, 1e-3)),
        "FLUX_AUTO": flux,
        "FLUX_RADIUS": radius,
        "A_IMAGE": major,
        "B_IMAGE": minor,
        "THETA_IMAGE": theta,
        "SNR_WIN": sn * (1 + float(rng.normal(0, 0.02))),
        "FLAGS": 8 if near else 0,  # SExtractor: touches the image boundary
        "TILE": tile.name,
    }
    fact: dict[str, object] = {
        "object_id": index + 1,
        "class": galaxy.kind,
        "merger": galaxy.merger,
        "magnitude": rendering.MAGZERO - 2.5 * math.log10(total),
        "sersic_n": galaxy.sersic_n,
        "r_e": galaxy.r_e,
        "ellipticity": 1 - galaxy.axis_ratio,
        "position_angle": (math.degrees(galaxy.angle) - 90) % 180,
        "arms": galaxy.arms,
        "arm_strength": galaxy.arm_strength,
        "knots": galaxy.knots,
        "bulge_to_total": galaxy.bulge_to_total,
        "sn": sn,
    }
    return row, fact


def _write_image(tile: Tile, band: str, light: Image) -> None:
    filter_ = rendering.BANDS[band]
    rng = np.random.default_rng([tile.seed, tile.number, 2, zlib.crc32(band.encode())])
    noise = np.sqrt(filter_.noise**2 + np.maximum(light, 0) / filter_.gain)
    drawn = noise * rng.standard_normal(light.shape, dtype=np.float32) if tile.noisy else 0
    image = (light + drawn).astype(np.float32)
    header = tile.wcs.to_header()
    header["BUNIT"] = ("ct", "sky-subtracted counts")
    header["FILTER"] = band
    header["EXPTIME"] = (EXPTIME, "seconds")
    header["MAGZERO"] = (rendering.MAGZERO, "AB magnitude of one count")
    header["GAIN"] = (filter_.gain, "electrons a count")
    header["SKYNOISE"] = (filter_.noise if tile.noisy else 0.0, "counts a pixel")
    header["PSF_FWHM"] = (filter_.fwhm, "arcsec, Moffat")
    fits.PrimaryHDU(image, header).writeto(tile.directory / "images" / f"{tile.name}_{band}.fits")
