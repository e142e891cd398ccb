"""Rest-frame spectra of stars and gas, by formula: single-age populations, emission lines, dust.

Everything lies on one grid of wavelengths that is even in the logarithm, on which a redshift is a shift
(`pipeline.simulate.filters.observed`). docs/simulate.md lists the formulae and where they are from.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]

MOST_REDSHIFT = 1.2
BIN_CELLS = 8
"""Cells of the grid in a bin of a spectrum."""
SPECTRUM_BINS = 256
SPECTRUM_RANGE = (4000.0, 10000.0)
"""First and last edge of the spectra, Angstrom."""
STEP = float(np.log(SPECTRUM_RANGE[1] / SPECTRUM_RANGE[0])) / (SPECTRUM_BINS * BIN_CELLS)
"""Of the grid, in ln(wavelength): 134 km/s."""
BLUE_CELLS, OBSERVED_CELLS = 720, 4780
"""Cells below the spectra, and of the whole observed grid, 2900 to 24600 Angstrom."""
SHIFT_CELLS = int(np.ceil(np.log1p(MOST_REDSHIFT) / STEP)) + 1
"""Cells that the rest frame needs below the observed grid."""

OBSERVED = SPECTRUM_RANGE[0] * np.exp(STEP * (np.arange(OBSERVED_CELLS) - BLUE_CELLS + 0.5))
"""Observed wavelengths, Angstrom: the middle of each cell."""
REST = SPECTRUM_RANGE[0] * np.exp(
    STEP * (np.arange(OBSERVED_CELLS + SHIFT_CELLS) - BLUE_CELLS - SHIFT_CELLS + 0.5)
)
"""Rest-frame wavelengths, Angstrom."""

AGE_EDGES = np.concatenate([[0.0], np.geomspace(0.01, 13.0, 13)])
"""Bins of stellar age, Gyr: the stars of a bin share one template."""
AGES = np.concatenate([[0.007], np.sqrt(AGE_EDGES[1:-1] * AGE_EDGES[2:])])
"""Ages of the templates, Gyr."""

C, H, K_BOLTZMANN = 2.99792458e18, 6.62607015e-27, 1.380649e-16  # Angstrom/s, erg s, erg/K
PARSEC = 3.0856775814913673e18  # cm
SUN_V = 4.0 * np.pi * (10 * PARSEC) ** 2 * 10 ** (-0.4 * (4.81 + 48.6))
"""Of the Sun at 5500 Angstrom, erg/s/Hz: 4.81 AB mag (Willmer 2018)."""

# Centre and width (Angstrom), equivalent width in old stars.
METAL_LINES = [
    (3933.7, 5.0, 6.5),  # Ca K
    (3968.5, 5.0, 5.5),  # Ca H
    (4304.0, 11.0, 5.5),  # G band
    (5175.0, 17.0, 6.5),  # Mg b
    (5270.0, 12.0, 2.6),  # Fe
    (5892.0, 7.0, 3.2),  # Na D
    (7110.0, 60.0, 9.0),  # TiO
    (8542.0, 8.0, 3.6),  # Ca II
    (8662.0, 8.0, 2.9),
]
# Centre, equivalent width at its strongest (A stars).
BALMER_LINES = [(6562.8, 4.5), (4861.3, 7.0), (4340.5, 7.5), (4101.7, 7.5), (3970.1, 6.5), (3889.1, 5.5)]
# Centre, luminosity over H alpha's in gas of few and of many metals.
EMISSION_LINES = [
    (3727.4, 0.95, 0.75),  # [O II], both
    (4101.7, 0.091, 0.091),
    (4340.5, 0.164, 0.164),
    (4861.3, 1 / 2.86, 1 / 2.86),  # case B, 10^4 K
    (4958.9, 1.45 / 2.98, 0.14 / 2.98),  # [O III]
    (5006.8, 1.45, 0.14),
    (6548.1, 0.04 / 3.05, 0.42 / 3.05),  # [N II]
    (6562.8, 1.0, 1.0),
    (6583.5, 0.04, 0.42),
    (6716.4, 0.12, 0.19),  # [S II]
    (6730.8, 0.09, 0.15),
]
LINE_WIDTH = 200 / 299792.458
"""Sigma of emission lines, in ln(wavelength)."""


@lru_cache(maxsize=1)
def stars() -> Array:
    """Luminosity of a solar mass of stars of each of `AGES`, erg/s/Hz, shape (age, wavelength)."""
    return np.stack([_stars_of(age) for age in AGES])


@lru_cache(maxsize=1)
def gas() -> Array:
    """Emission lines for a star formation of 1 solar mass a year, erg/s/Hz, shape (2, wavelength): few metals, many.

    L(H alpha) = 10^41.27 erg/s (Kennicutt & Evans 2012).
    """
    spectra = np.zeros((2, len(REST)))
    for centre, *ratios in EMISSION_LINES:
        profile = np.exp(-0.5 * (np.log(REST / centre) / LINE_WIDTH) ** 2) / (LINE_WIDTH * np.sqrt(2 * np.pi))
        spectra += np.array(ratios)[:, None] * profile * (10**41.27 * centre / C)
    return spectra


@lru_cache(maxsize=1)
def reddening() -> Array:
    """A(wavelength) / A_V of Calzetti et al. (2000), shape (wavelength,)."""
    microns = REST / 1e4
    inverse = 1 / microns
    blue = 2.659 * (-2.156 + 1.509 * inverse - 0.198 * inverse**2 + 0.011 * inverse**3)
    red = 2.659 * (-1.857 + 1.040 * inverse)
    return np.asarray(np.maximum(np.where(microns < 0.63, blue, red) + 4.05, 0) / 4.05)


def transmitted(a_v: float) -> Array:
    """Share of the light that dust of `a_v` magnitudes lets through, shape (wavelength,)."""
    return np.asarray(np.exp(-0.4 * np.log(10) * a_v * reddening()))


def mass_to_light(age: float) -> float:
    """Solar masses for a solar luminosity in V of stars of an age in Gyr: they fade as age^-0.8."""
    return 3.0 * (max(age, 0.01) / 10) ** 0.8


def _stars_of(age: float) -> Array:
    """A hot and a cool black body, with breaks and lines, normalised at 5500 Angstrom."""
    metals = float(np.clip(np.log10(age / 0.2) / np.log10(10 / 0.2), 0, 1))
    a_stars = float(np.exp(-0.5 * (np.log10(age / 0.5) / 0.55) ** 2))
    giants = float(np.clip(0.35 + 0.12 * np.log10(age), 0.1, 0.45))
    turnoff = min(6000 * (age / 10) ** -0.22, 30000)
    light = (1 - giants) * _black_body(turnoff) + giants * _black_body(4000)
    light = light / (1 + 0.75 * metals * _below(3990, 0.008))
    light = light / (1 + 1.2 * metals * _below(2900, 0.03))
    light = light / (1 + 0.9 * a_stars * _below(3700, 0.010))
    for centre, sigma, width in METAL_LINES:
        light *= _absorbed(centre, sigma, width * metals)
    for centre, width in BALMER_LINES:
        light *= _absorbed(centre, 6.0, width * (0.15 + 0.85 * a_stars))
    return np.asarray(light * (SUN_V / mass_to_light(age)))


def _black_body(temperature: float) -> Array:
    """B_nu, one at 5500 Angstrom."""
    x = H * C / (K_BOLTZMANN * temperature)
    return np.asarray((5500 / REST) ** 3 * np.expm1(x / 5500) / np.expm1(x / REST))


def _below(edge: float, width: float) -> Array:
    """One below a wavelength, zero above; `width` in ln(wavelength)."""
    return np.asarray(1 / (1 + np.exp(np.clip(np.log(REST / edge) / width, -50, 50))))


def _absorbed(centre: float, sigma: float, width: float) -> Array:
    """What is left beside a Gaussian line of an equivalent width, both in Angstrom."""
    depth = min(width / (sigma * np.sqrt(2 * np.pi)), 0.95)
    return np.asarray(1 - depth * np.exp(-0.5 * ((REST - centre) / sigma) ** 2))
