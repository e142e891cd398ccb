"""Which galaxies a magnitude-limited survey holds: how many of each sort and mass there are at each redshift.

Draws are made from mass functions times volumes, above the least mass that could be bright enough; who draws then
keeps those that are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import astropy.units as u
import numpy as np

from pipeline.simulate.filters import BANDS, COSMOLOGY, ZEROPOINT, broad, observed, universe_age
from pipeline.simulate.histories import delayed, old_light, young_light
from pipeline.simulate.templates import MOST_REDSHIFT, Array

BRIGHTEST, FAINTEST = 17.0, 23.0
"""Limits of the total i magnitudes."""
LEAST_REDSHIFT = 0.02
MASSES = np.linspace(8.0, 12.2, 421)
"""log10 of the solar masses."""
EDGES = np.linspace(LEAST_REDSHIFT, MOST_REDSHIFT, 119)
"""Of bins of redshift."""

QUIET_ONSET, QUIET_TAU = (0.6, 3.0), (0.25, 0.8)
"""Star formation of quiescent galaxies: begins so long after the Big Bang, falls in such a time, Gyr."""
ACTIVE_ONSET, ACTIVE_TAU = (0.2, 0.6), (1.0, 15.0)
"""Of star-forming ones: begins at such a share of the age of the Universe."""
MOST_BURST = 0.05


class Drawn(NamedTuple):
    """A galaxy that may be bright enough."""

    quiescent: bool
    redshift: float
    log_mass: float


def draw(rng: np.random.Generator) -> Drawn:
    """Sort, redshift and mass of a galaxy."""
    cumulative, above = _tables()
    place = int(np.searchsorted(cumulative, rng.random()))
    sort, zone = divmod(place, len(EDGES) - 1)
    redshift = float(rng.uniform(EDGES[zone], EDGES[zone + 1]))
    # From all that is above the least mass, counted from the most massive down.
    start = np.searchsorted(MASSES, _least_mass(sort, zone))
    wanted = rng.random() * above[sort, start]
    log_mass = float(np.interp(wanted, above[sort, ::-1], MASSES[::-1]))
    return Drawn(sort == 0, redshift, log_mass)


def schechter(log_mass: Array, characteristic: float, slope: float, density: float) -> Array:
    """Galaxies a dex of mass and a comoving Mpc^3 (Schechter 1976)."""
    ratio = 10 ** (log_mass - characteristic)
    return np.asarray(np.log(10) * density * ratio ** (slope + 1) * np.exp(-ratio))


@lru_cache(maxsize=1)
def _tables() -> tuple[Array, Array]:
    """Cumulative probability of (sort, zone), and the density of galaxies above each mass, shape (sort, mass)."""
    density = np.stack([schechter(MASSES, 10.8, -0.5, 1.8e-3), schechter(MASSES, 10.7, -1.35, 1.2e-3)])
    steps = 0.5 * (density[:, 1:] + density[:, :-1]) * np.diff(MASSES)
    above = np.concatenate([np.cumsum(steps[:, ::-1], axis=1)[:, ::-1], np.zeros((2, 1))], axis=1)
    shells = np.diff(COSMOLOGY.comoving_volume(EDGES).to_value(u.Mpc**3))
    numbers = [
        [
            above[sort, np.searchsorted(MASSES, _least_mass(sort, zone))] * shell
            for zone, shell in enumerate(shells)
        ]
        for sort in (0, 1)
    ]
    cumulative = np.cumsum(np.array(numbers).ravel())
    return cumulative / cumulative[-1], above


@lru_cache(maxsize=512)
def _least_mass(sort: int, zone: int) -> float:
    """Below it no galaxy of the sort is as bright as `FAINTEST`: log10, at most the largest of `MASSES`."""
    near = float(EDGES[zone])
    age = universe_age(near)
    if sort == 0:
        brightest = delayed(age - QUIET_ONSET[1], QUIET_TAU[1])
    else:
        brightest = delayed(age * (1 - ACTIVE_ONSET[1]), ACTIVE_TAU[1], MOST_BURST)
    light = old_light(brightest, 0.0) + young_light(brightest, 0.0, 0.0)
    flux = float(broad()[BANDS.index("i")] @ observed(light, near))
    limit = 10 ** (0.4 * (ZEROPOINT - FAINTEST))
    return float(np.clip(np.log10(limit / (1.3 * flux)), MASSES[0], MASSES[-2]))
