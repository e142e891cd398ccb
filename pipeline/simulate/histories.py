"""Star formation histories: how the mass of a galaxy is shared out over the ages of its stars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.simulate.templates import AGE_EDGES, AGES, Array, gas, stars, transmitted

YOUNG_AGE = 0.3
"""Gyr: younger stars are in arms and knots, older ones have left them."""
IS_YOUNG = AGES < YOUNG_AGE
RECENT = AGE_EDGES[1]
"""Gyr: the stars of the youngest bin make the gas shine."""
GAS_DUST = 1 / 0.44
"""Reddening of gas over that of stars (Calzetti et al. 2000)."""


@dataclass(frozen=True)
class History:
    """Shares of the stellar mass that have each of `AGES`."""

    shares: Array

    @property
    def age(self) -> float:
        """Mean by mass, Gyr."""
        return float(self.shares @ AGES)

    @property
    def star_formation(self) -> float:
        """Of a solar mass, solar masses a year: the mean of the last 10 Myr."""
        return float(self.shares[0]) / (RECENT * 1e9)


def delayed(since: float, tau: float, burst: float = 0.0) -> History:
    """Star formation that began `since` Gyr ago and goes as t exp(-t / tau).

    Parameters
    ----------
    since, tau
        Gyr.
    burst
        Share of the mass that formed within the last 100 Myr beside that.
    """
    formed = _formed(np.maximum(since - AGE_EDGES, 0) / tau)
    shares = -np.diff(formed) / formed[0]
    recent = np.diff(np.minimum(AGE_EDGES, 0.1)) / 0.1
    return History((1 - burst) * shares + burst * recent)


def _formed(x: Array) -> Array:
    """Integral of t exp(-t) up to x."""
    return np.asarray(1 - (1 + x) * np.exp(-x))


def old_light(history: History, a_v: float) -> Array:
    """Luminosity of the stars of `YOUNG_AGE` and more in a solar mass, behind dust: erg/s/Hz, shape (wavelength,)."""
    return np.asarray((history.shares * ~IS_YOUNG) @ stars() * transmitted(a_v))


def young_light(history: History, a_v: float, metals: float) -> Array:
    """Luminosity of the younger stars of a solar mass and of the gas around them, as `old_light`; metals from 0 to 1."""
    starlight = (history.shares * IS_YOUNG) @ stars() * transmitted(a_v)
    few, many = gas()
    lines = history.star_formation * ((1 - metals) * few + metals * many)
    return np.asarray(starlight + lines * transmitted(GAS_DUST * a_v))
