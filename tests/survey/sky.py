"""A small sky of galaxies of known flux, which tests store in the way of one survey or another."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

STEP, COLUMNS, ROWS = 72, 4, 3
"""Pixels from galaxy to galaxy, and galaxies along x and y."""
SHAPE = ROWS * STEP, COLUMNS * STEP
SPIKE = 5000.0
"""Of the noise: the pixels of a bad column, which no one sees who uses the planes."""
MASKED, UNWEIGHTED = 5, 10
"""Galaxies through whose stamps a bad column goes, 7 pixels beside their centres: one that the mask marks, and one of no weight."""


@dataclass(frozen=True)
class Sky:
    """Twelve galaxies on noise."""

    scale: float
    """Arcsec a pixel."""
    unit: float = 1.0
    """Noise of a pixel, in the survey's unit."""
    ra: float = 150.0
    dec: float = 2.0
    seed: int = 1
    marks: tuple[int, ...] = (MASKED, UNWEIGHTED)
    """Which bad columns there are."""
    x: np.ndarray = field(init=False)
    y: np.ndarray = field(init=False)
    flux: np.ndarray = field(init=False)
    """Of each galaxy in every band, in the survey's unit."""

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        y, x = np.divmod(np.arange(ROWS * COLUMNS), COLUMNS)
        object.__setattr__(self, "x", STEP * (x + 0.5) + rng.uniform(-1, 1, len(x)))
        object.__setattr__(self, "y", STEP * (y + 0.5) + rng.uniform(-1, 1, len(y)))
        object.__setattr__(self, "flux", rng.uniform(4000, 9000, len(x)) * self.unit)

    def __len__(self) -> int:
        return len(self.x)

    def image(self, band: int = 0) -> np.ndarray:
        """(y, x) float64: the galaxies, noise, and the bad columns."""
        yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
        image = np.random.default_rng([self.seed, band]).normal(0, self.unit, SHAPE)
        for k, (x, y, flux) in enumerate(zip(self.x, self.y, self.flux, strict=True)):
            a, b = 2.5 + 0.1 * k, 2.0 + 0.05 * k
            image += flux / (2 * np.pi * a * b) * np.exp(-(((xx - x) / a) ** 2 + ((yy - y) / b) ** 2) / 2)
        image[self.bad | self.unweighted] += SPIKE * self.unit
        return image

    @property
    def bad(self) -> np.ndarray:
        """(y, x) bool: the bad column that the mask marks, in the rows of its galaxy."""
        return self._column(MASKED)

    @property
    def unweighted(self) -> np.ndarray:
        """The same for the one of no weight."""
        return self._column(UNWEIGHTED)

    def _column(self, galaxy: int) -> np.ndarray:
        column = np.zeros(SHAPE, bool)
        top = galaxy // COLUMNS * STEP
        column[top : top + STEP, round(self.x[galaxy]) + 7] = galaxy in self.marks
        return column

    @property
    def segments(self) -> np.ndarray:
        """(y, x) int: whose a pixel is, from 1; 0 where nobody's."""
        yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
        segments = np.zeros(SHAPE, np.int64)
        for k, (x, y) in enumerate(zip(self.x, self.y, strict=True)):
            segments[(xx - x) ** 2 + (yy - y) ** 2 < 14**2] = k + 1
        return segments

    def header(self, matrix: str = "CD") -> fits.Header:
        """A gnomonic WCS whose matrix is `CD1_1` and so on, `PC1_1`, or `PC001001` as Pan-STARRS has it."""
        header = fits.Header()
        for i, (name, value) in enumerate((("RA---TAN", self.ra), ("DEC--TAN", self.dec)), start=1):
            header[f"CTYPE{i}"], header[f"CRVAL{i}"] = name, value
            header[f"CUNIT{i}"], header[f"CRPIX{i}"] = "deg", SHAPE[2 - i] / 2 + 0.5
            if matrix != "CD":
                header[f"CDELT{i}"] = self.scale / 3600
            for j in (1, 2):
                key = {"CD": f"CD{i}_{j}", "PC": f"PC{i}_{j}", "PC00": f"PC00{i}00{j}"}[matrix]
                step = {(1, 1): -1.0, (2, 2): 1.0}.get((i, j), 0.0)
                header[key] = step * (self.scale / 3600 if matrix == "CD" else 1.0)
        header["RADESYS"] = "ICRS" if matrix == "CD" else "FK5"
        return header

    @property
    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Right ascensions and declinations, degrees."""
        ra, dec = WCS(self.header()).all_pix2world(self.x, self.y, 0)
        return ra, dec


def tile_compressed(data: np.ndarray, header: fits.Header, kind: str = "RICE_1", **keys) -> fits.CompImageHDU:
    """An HDU as `fpack` makes it."""
    return fits.CompImageHDU(data, header, compression_type=kind, **keys)
