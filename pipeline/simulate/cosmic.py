"""One galaxy of a simulated survey with a cosmology: its mass, redshift, stars, dust, size, form and light.

Each of the three populations that `pipeline.simulate.rendering` draws has a spectrum of its own: old stars in the
bulge, the disk, and the young stars with their gas in arms and knots. So colours change across a galaxy as the ages
of its stars do. docs/simulate.md lists the relations and where they are from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.simulate import counts
from pipeline.simulate.filters import BANDS, ZEROPOINT, arcsec_per_kpc, broad, observed, universe_age
from pipeline.simulate.forms import Form, form
from pipeline.simulate.histories import History, delayed, old_light, young_light

if TYPE_CHECKING:
    from pipeline.simulate.templates import Array


@dataclass(frozen=True)
class CosmicGalaxy:
    """A galaxy, and the truth about it."""

    kind: str
    redshift: float
    log_mass: float
    """Stars, log10 of solar masses."""
    age: float
    """Of the stars, mean by mass, Gyr."""
    log_ssfr: float
    """Star formation over mass, log10 of 1/yr; -13 at least."""
    a_v: float
    """Dust in front of the disk, magnitudes in V."""
    r_e_kpc: float
    form: Form
    light: Array
    """nJy of each population on the observed grid, shape (3, wavelength)."""
    fluxes: Array
    """nJy in each of `pipeline.simulate.filters.BANDS` and of each population, shape (band, 3)."""

    @property
    def magnitude(self) -> float:
        """Total, i band, AB."""
        return _magnitude(self.fluxes)


def sample(seed: int, index: int) -> CosmicGalaxy:
    """Galaxy number `index` of the universe `seed`: it depends on nothing else."""
    rng = np.random.default_rng([seed, index, 3])
    while True:
        galaxy = _galaxy(rng)
        if galaxy is not None:
            return galaxy


def _galaxy(rng: np.random.Generator) -> CosmicGalaxy | None:
    """A galaxy; None if the one that was drawn is too bright or too faint."""
    quiescent, redshift, log_mass = counts.draw(rng)
    kind = _kind(rng, quiescent, log_mass)
    bulge_mass = _bulge_mass(rng, kind, log_mass)
    bulge, disk = _histories(rng, kind, universe_age(redshift), log_mass)
    # An inclined disk is seen through more of its dust: Unterborn & Ryden (2008).
    axis_ratio = _axis_ratio(rng, kind)
    face_on = 0.05 if quiescent else float(np.clip(0.25 + 0.35 * (log_mass - 9.5), 0.05, 1.2))
    a_v = face_on * float(rng.lognormal(0, 0.3))
    if kind in ("LTD", "ETD"):
        a_v += (1.27 if kind == "LTD" else 0.3) * float(np.log10(axis_ratio)) ** 2
    structured = float(rng.uniform(0.45, 0.8))
    # Heavier galaxies have more metals: Tremonti et al. (2004), straightened.
    metals = float(np.clip((log_mass - 8.5) / 2.3 + rng.normal(0, 0.12), 0, 1))
    young = young_light(disk, a_v, metals)
    luminosity = np.stack(
        [
            bulge_mass * (old_light(bulge, 0.3 * a_v) + young_light(bulge, 0.3 * a_v, metals)),
            (1 - bulge_mass) * (old_light(disk, a_v) + (1 - structured) * young),
            (1 - bulge_mass) * structured * young,
        ]
    )
    light = observed(luminosity * 10**log_mass, redshift)
    fluxes = broad() @ light.T
    if not counts.BRIGHTEST < _magnitude(fluxes) < counts.FAINTEST:
        return None
    r_e_kpc = size(rng, quiescent, log_mass, redshift)
    shape = form(
        rng,
        kind,
        r_e_kpc * arcsec_per_kpc(redshift),
        axis_ratio,
        fluxes[BANDS.index("i")] / fluxes[BANDS.index("i")].sum(),
    )
    formed = bulge_mass * bulge.star_formation + (1 - bulge_mass) * disk.star_formation
    return CosmicGalaxy(
        kind,
        redshift,
        log_mass,
        bulge_mass * bulge.age + (1 - bulge_mass) * disk.age,
        float(np.log10(max(formed, 1e-13))),
        a_v,
        r_e_kpc,
        shape,
        light,
        fluxes,
    )


def size(rng: np.random.Generator, quiescent: bool, log_mass: float, redshift: float) -> float:
    """Semi-major half-light radius in kpc: van der Wel et al. (2014), flatter for light quiescent galaxies."""
    over = log_mass - 10.7
    if quiescent:
        slope = 0.75 * max(over, -0.4) + 0.2 * min(over + 0.4, 0)
        typical, scatter = np.log10(5.6) - 1.48 * np.log10(1 + redshift) + slope, 0.11
    else:
        typical, scatter = np.log10(8.9) - 0.75 * np.log10(1 + redshift) + 0.22 * over, 0.16
    return float(10 ** (typical + rng.normal(0, scatter)))


def _magnitude(fluxes: Array) -> float:
    return float(ZEROPOINT - 2.5 * np.log10(fluxes[BANDS.index("i")].sum()))


def _kind(rng: np.random.Generator, quiescent: bool, log_mass: float) -> str:
    if quiescent:
        return "SPH" if rng.random() < np.clip(0.45 + 0.4 * (log_mass - 10.7), 0.15, 0.9) else "ETD"
    return "IRR" if rng.random() < 0.03 + 0.9 / (1 + np.exp((log_mass - 9.4) / 0.2)) else "LTD"


def _bulge_mass(rng: np.random.Generator, kind: str, log_mass: float) -> float:
    """Share of the mass; of a spheroid, what is in its core."""
    if kind == "IRR":
        return 0.0
    if kind == "SPH":
        return 0.6
    if kind == "ETD":
        return float(rng.uniform(0.25, 0.6))
    typical = 0.45 / (1 + np.exp(-(log_mass - 10.5) / 0.4))
    return float(np.clip(typical * rng.lognormal(0, 0.4), 0.0, 0.6))


def _histories(
    rng: np.random.Generator, kind: str, universe: float, log_mass: float
) -> tuple[History, History]:
    """Of bulge and disk: heavier galaxies formed earlier, and faster."""
    heavier = log_mass - 10.7
    early = float(np.clip(rng.normal(1.7 - 0.5 * heavier, 0.5), *counts.QUIET_ONSET))
    bulge = delayed(universe - early, float(rng.uniform(0.25, 0.6)))
    if kind == "SPH":
        late = min(early + float(rng.uniform(0.2, 1.0)), counts.QUIET_ONSET[1])
        return bulge, delayed(universe - late, float(rng.uniform(0.3, 0.7)))
    if kind == "ETD":
        return bulge, delayed(universe - early, float(rng.uniform(0.4, counts.QUIET_TAU[1])))
    onset = universe * float(rng.uniform(*counts.ACTIVE_ONSET))
    tau = float(np.clip(10 ** rng.normal(0.5 - 0.3 * (log_mass - 10), 0.25), *counts.ACTIVE_TAU))
    burst = 0.0
    if kind == "IRR" and rng.random() < 0.5:
        burst = float(10 ** rng.uniform(-3, np.log10(counts.MOST_BURST)))
    return bulge, delayed(universe - onset, tau, burst)


def _axis_ratio(rng: np.random.Generator, kind: str) -> float:
    if kind == "SPH":
        return float(1 - 0.4 * rng.beta(1.6, 2.4))
    if kind == "IRR":
        return float(rng.uniform(0.45, 0.9))
    thickness = 0.22 if kind == "ETD" else 0.2
    return float(np.sqrt(thickness**2 + (1 - thickness**2) * rng.uniform(0.0, 1.0) ** 2))
