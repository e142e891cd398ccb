"""What of a spectrum is observed: broad and medium bands, bins of a spectrograph, all as one matrix.

A flux density through a filter is the mean that AB magnitudes are defined by: of f_nu over ln(wavelength), weighted
by the share of photons that the filter lets through (Bessell & Murphy 2012). On a grid that is even in
ln(wavelength) it is a scalar product.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.cosmology import FlatLambdaCDM

from pipeline.simulate.templates import (
    BIN_CELLS,
    BLUE_CELLS,
    MOST_REDSHIFT,
    OBSERVED,
    OBSERVED_CELLS,
    PARSEC,
    SHIFT_CELLS,
    SPECTRUM_BINS,
    STEP,
    Array,
)

NANOJANSKY = 1e-32
"""erg/s/cm2/Hz."""
ZEROPOINT = 31.4
"""AB magnitude of a nanojansky."""

# Where half of the light passes, Angstrom.
EDGES = {
    "u": (3250, 3950),
    "g": (4000, 5480),
    "r": (5520, 6900),
    "i": (6920, 8180),
    "z": (8200, 9220),
    "y": (9300, 10400),
    "J": (11700, 13300),
    "H": (14900, 17800),
    "K": (19900, 23000),
}
BANDS = tuple(EDGES)
SOFTNESS = 0.006
"""Width of a filter's edges in ln(wavelength)."""
MEDIUM_EDGES = np.geomspace(3800, 9200, 25)
"""Of the medium bands, one beside the other, Angstrom."""
SED_WAVELENGTHS = np.sqrt(MEDIUM_EDGES[:-1] * MEDIUM_EDGES[1:])
SPECTRUM_WAVELENGTHS = np.exp(
    np.log(OBSERVED[BLUE_CELLS : BLUE_CELLS + SPECTRUM_BINS * BIN_CELLS])
    .reshape(SPECTRUM_BINS, BIN_CELLS)
    .mean(axis=1)
)
"""Middles of the bins, Angstrom."""

COSMOLOGY = FlatLambdaCDM(H0=70 * u.km / u.s / u.Mpc, Om0=0.3)
REDSHIFTS = np.geomspace(0.02, MOST_REDSHIFT, 400)
"""Where the cosmology is tabulated: the least redshift is the first."""


def transmission(low: float, high: float) -> Array:
    """Share of photons that a filter lets through, shape (wavelength,)."""
    place = np.log(OBSERVED)
    rise = 1 / (1 + np.exp(-np.clip((place - np.log(low)) / SOFTNESS, -50, 50)))
    fall = 1 / (1 + np.exp(np.clip((place - np.log(high)) / SOFTNESS, -50, 50)))
    return np.asarray(rise * fall)


@lru_cache(maxsize=1)
def broad() -> Array:
    """Weights of the cells in each of `BANDS`, shape (band, wavelength); a row sums to one."""
    return _normalised(np.stack([transmission(*edges) for edges in EDGES.values()]))


@lru_cache(maxsize=1)
def medium() -> Array:
    """Weights of the cells in each medium band, shape (24, wavelength)."""
    return _normalised(np.stack([transmission(*edges) for edges in pairwise(MEDIUM_EDGES)]))


def binned(flux: Array) -> Array:
    """Mean flux density in the bins of the spectrograph, shape (256,)."""
    cells = flux[BLUE_CELLS : BLUE_CELLS + SPECTRUM_BINS * BIN_CELLS]
    return np.asarray(cells.reshape(SPECTRUM_BINS, BIN_CELLS).mean(axis=1))


def observed(luminosity: Array, redshift: float) -> Array:
    """Flux density of a source at a redshift: f_nu(w) = (1 + z) L_nu(w / (1 + z)) / (4 pi d_L^2).

    Parameters
    ----------
    luminosity
        erg/s/Hz on the rest frame's grid, shape (…, rest wavelength).
    redshift
        At most `MOST_REDSHIFT`.

    Returns
    -------
    Array
        nJy on the observed grid, shape (…, wavelength).
    """
    cells = np.log1p(redshift) / STEP
    whole = int(np.ceil(cells))
    start, part = SHIFT_CELLS - whole, whole - cells
    near = luminosity[..., start : start + OBSERVED_CELLS]
    far = luminosity[..., start + 1 : start + 1 + OBSERVED_CELLS]
    return np.asarray(((1 - part) * near + part * far) * dilution(redshift))


def dilution(redshift: float) -> float:
    """Flux density, nJy, of 1 erg/s/Hz emitted at a redshift."""
    distance = float(np.interp(redshift, REDSHIFTS, _distances()))
    return (1 + redshift) / (4 * np.pi * (distance * 1e6 * PARSEC) ** 2) / NANOJANSKY


def arcsec_per_kpc(redshift: float) -> float:
    """Angle of a length across the line of sight."""
    distance = float(np.interp(redshift, REDSHIFTS, _distances())) / (1 + redshift) ** 2
    return float(np.degrees(1 / (1e3 * distance)) * 3600)


def universe_age(redshift: float) -> float:
    """Gyr since the Big Bang."""
    return float(np.interp(redshift, REDSHIFTS, _ages()))


@lru_cache(maxsize=1)
def _distances() -> npt.NDArray[np.float64]:
    """Luminosity distances, Mpc."""
    return np.asarray(COSMOLOGY.luminosity_distance(REDSHIFTS).to_value(u.Mpc))


@lru_cache(maxsize=1)
def _ages() -> npt.NDArray[np.float64]:
    return np.asarray(COSMOLOGY.age(REDSHIFTS).to_value(u.Gyr))


def _normalised(curves: Array) -> Array:
    return np.asarray(curves / curves.sum(axis=1, keepdims=True))
