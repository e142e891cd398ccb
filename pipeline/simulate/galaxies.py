"""Simulated galaxies: what each class looks like, and the truth about it.

A galaxy is a list of components (Sérsic profiles, logarithmic arms, knots), each lit by one stellar
population; `pipeline.simulate.rendering` draws it. Angles are radians counter-clockwise from the image's x axis,
lengths arcsec, unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

Array = npt.NDArray[np.floating]


OLD, MIXED, YOUNG = range(3)
"""Stellar populations: each has its own colours (`pipeline.simulate.rendering.BANDS`)."""


@dataclass(frozen=True)
class Sersic:
    """An elliptical Sérsic profile; `r_e` is the semi-major half-light radius."""

    population: int
    flux: float
    n: float
    r_e: float
    axis_ratio: float = 1.0
    angle: float = 0.0
    x: float = 0.0
    y: float = 0.0


@dataclass(frozen=True)
class Knots:
    """Round Gaussian blobs: star-forming regions, or a tidal tail when strung together."""

    population: int
    flux: Array
    sigma: Array
    x: Array
    y: Array


@dataclass(frozen=True)
class Arms:
    """Logarithmic arms riding on an exponential disk seen under an inclination."""

    population: int
    flux: float
    scale: float
    """Exponential scale length of the disk."""
    axis_ratio: float
    angle: float
    count: int
    pitch: float
    phase: float
    inner: float
    """Radius where the arms begin."""
    sharpness: float
    """Exponent of the arms' profile: 1 is a cosine, larger is narrower."""


Component = Sersic | Knots | Arms


@dataclass(frozen=True)
class Galaxy:
    """A galaxy with total flux 1 in the i band, and the truth about it."""

    kind: str
    merger: bool
    magnitude: float
    """Total, i band."""
    sersic_n: float
    """Index of the component with the most light."""
    r_e: float
    """Semi-major half-light radius."""
    axis_ratio: float
    angle: float
    arms: int
    arm_strength: float
    """Share of the disk's light that is in the arms."""
    knots: int
    bulge_to_total: float
    components: tuple[Component, ...]


KINDS = {"SPH": 0.25, "ETD": 0.22, "LTD": 0.33, "IRR": 0.20}
"""The classes and how common each is."""
MERGERS = 0.4
"""Share of the irregulars that are mergers."""


BRIGHTEST, FAINTEST = 18.3, 22.2
"""Limits of the total i magnitudes."""


def sample(seed: int, index: int) -> Galaxy:
    """Galaxy number `index` of the universe `seed`: it depends on nothing else."""
    rng = np.random.default_rng([seed, index, 0])
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    # Number counts rise by 10^0.1 a magnitude: flatter than on the sky, or nearly all would be faint.
    high = 10 ** (0.1 * (FAINTEST - BRIGHTEST))
    magnitude = BRIGHTEST + float(np.log10(rng.uniform(1, high))) / 0.1
    # Brighter galaxies are larger.
    r_e = float(np.clip(1.9 * 10 ** (-0.06 * (magnitude - 20)) * rng.lognormal(0, 0.22), 1.0, 3.5))
    angle = float(rng.uniform(0, np.pi))
    if kind == "SPH":
        return _spheroid(rng, magnitude, r_e, angle)
    if kind == "ETD":
        return _lenticular(rng, magnitude, r_e, angle)
    if kind == "LTD":
        # At one surface brightness a larger disk has more light: arms should rise above the noise.
        return _spiral(rng, magnitude - 0.6, float(np.clip(1.35 * r_e, 1.7, 3.5)), angle)
    magnitude, r_e = magnitude - 0.3, max(r_e, 1.4)
    if rng.random() < MERGERS:
        return _merger(rng, magnitude, r_e, angle)
    return _irregular(rng, magnitude, r_e, angle)


def _spheroid(rng: np.random.Generator, magnitude: float, r_e: float, angle: float) -> Galaxy:
    # Quarter steps: every index costs one GalSim table in every process.
    n = float(np.round(4 * np.clip(rng.normal(4.2, 0.8), 3, 6)) / 4)
    q = float(1 - 0.4 * rng.beta(1.6, 2.4))
    parts = (Sersic(OLD, 1.0, n, r_e, q, angle),)
    return Galaxy("SPH", False, magnitude, n, r_e, q, angle, 0, 0.0, 0, 1.0, parts)


def _lenticular(rng: np.random.Generator, magnitude: float, r_e: float, angle: float) -> Galaxy:
    bulge = float(rng.uniform(0.25, 0.5))
    n = float(rng.choice([2.0, 2.5, 3.0]))
    q = inclined(float(rng.uniform(0.05, 0.95)), thickness=0.22)
    disk = r_e / half_light(bulge, n, 0.28)
    parts = (
        Sersic(MIXED, 0.6 * (1 - bulge), 1.0, disk, q, angle),
        Sersic(OLD, 0.4 * (1 - bulge), 1.0, disk, q, angle),
        Sersic(OLD, bulge, n, 0.28 * disk, 0.35 + 0.65 * q, angle),
    )
    return Galaxy("ETD", False, magnitude, 1.0, r_e, q, angle, 0, 0.0, 0, bulge, parts)


def _spiral(rng: np.random.Generator, magnitude: float, r_e: float, angle: float) -> Galaxy:
    bulge = float(rng.uniform(0.04, 0.18))
    bar = float(rng.uniform(0.08, 0.15)) if rng.random() < 0.35 else 0.0
    q = inclined(float(rng.uniform(0.35, 1.0)), thickness=0.2)
    disk = r_e / half_light(bulge, 2.0, 0.2)
    count = 2 if bar else int(rng.choice([2, 3, 4], p=[0.6, 0.25, 0.15]))
    strength = float(rng.uniform(0.45, 0.75))
    pitch = float(np.radians(rng.uniform(14, 30))) * int(rng.choice([-1, 1]))
    phase = float(rng.uniform(0, 2 * np.pi))
    inner = (0.65 if bar else 0.35) * disk
    n_knots = int(rng.integers(4, 16))
    in_knots = 0.12 * strength * (1 - bulge - bar)
    in_arms = strength * (1 - bulge - bar) - in_knots
    arms = Arms(
        YOUNG, in_arms, disk / 1.678, q, angle, count, pitch, phase, inner, float(rng.uniform(1.5, 3.5))
    )
    parts: list[Component] = [
        Sersic(MIXED, (1 - strength) * (1 - bulge - bar), 1.0, disk, q, angle),
        Sersic(OLD, bulge, 2.0, 0.2 * disk, 0.4 + 0.6 * q, angle),
        arms,
        on_arms(rng, arms, n_knots, in_knots, disk),
    ]
    if bar:
        # The arms begin at the bar's ends, in the plane of the disk.
        x, y = _project(inner, -phase / count, q, angle)
        foreshortened = float(np.hypot(x, y)) / inner
        parts.append(
            Sersic(OLD, bar, 0.5, 0.55 * inner * foreshortened, 0.28, float(np.arctan2(y, x)) % np.pi)
        )
    return Galaxy("LTD", False, magnitude, 1.0, r_e, q, angle, count, strength, n_knots, bulge, tuple(parts))


def _irregular(rng: np.random.Generator, magnitude: float, r_e: float, angle: float) -> Galaxy:
    q = float(rng.uniform(0.45, 0.9))
    count = int(rng.integers(4, 11))
    in_knots = float(rng.uniform(0.3, 0.5))
    lopsided = float(rng.uniform(0.2, 0.4)) * (1 - in_knots)
    # The knots gather on one side: their middle is off the disk's by half a half-light radius.
    side = float(rng.uniform(0, 2 * np.pi))
    turn = side + rng.normal(0, 1.0, count)
    away = r_e * rng.uniform(0.35, 1.25, count)
    flux = rng.pareto(1.6, count) + 0.4
    other = side + float(rng.normal(0, 0.8))
    parts = (
        Sersic(MIXED, 1 - in_knots - lopsided, 0.5, 1.05 * r_e, q, angle),
        Sersic(
            YOUNG,
            lopsided,
            0.5,
            0.6 * r_e,
            float(rng.uniform(0.35, 0.8)),
            float(rng.uniform(0, np.pi)),
            0.75 * r_e * np.cos(other),
            0.75 * r_e * np.sin(other),
        ),
        Knots(
            YOUNG,
            in_knots * flux / flux.sum(),
            rng.uniform(0.15, 0.3, count),
            away * np.cos(turn),
            away * (0.4 + 0.6 * q) * np.sin(turn),
        ),
    )
    return Galaxy("IRR", False, magnitude, 0.5, r_e, q, angle, 0, 0.0, count, 0.0, parts)


def _merger(rng: np.random.Generator, magnitude: float, r_e: float, angle: float) -> Galaxy:
    second = float(rng.uniform(0.18, 0.4))
    apart = float(np.clip(rng.uniform(1.0, 1.7) * r_e, 1.6, 3.6))
    where = float(rng.uniform(0, 2 * np.pi))
    x, y = apart * np.cos(where), apart * np.sin(where)
    tails = 1 if rng.random() < 0.5 else 2
    in_tails = float(rng.uniform(0.2, 0.32))
    nuclei = 1 - in_tails
    q, q2 = (float(v) for v in rng.uniform(0.45, 0.85, 2))
    parts: list[Component] = [
        Sersic(OLD, 0.35 * nuclei * (1 - second), 2.0, 0.25 * r_e, 0.8, angle),
        Sersic(MIXED, 0.65 * nuclei * (1 - second), 1.0, 0.8 * r_e, q, angle),
        Sersic(OLD, 0.5 * nuclei * second, 2.0, 0.2 * r_e, 0.8, angle, x, y),
        Sersic(MIXED, 0.5 * nuclei * second, 1.0, 0.5 * r_e, q2, float(rng.uniform(0, np.pi)), x, y),
    ]
    hand = int(rng.choice([-1, 1]))
    for tail in range(tails):
        # A tail leaves its own galaxy on the far side and curls back: theta grows slower than ln r.
        start = where + np.pi * (tail == 0)
        share = in_tails if tails == 1 else in_tails * (0.6, 0.4)[tail]
        x0, y0 = (0.0, 0.0) if tail == 0 else (x, y)
        step = np.linspace(0, 1, 30)
        along = r_e * (0.6 + rng.uniform(1.7, 2.4) * step)
        turn = start + hand * rng.uniform(1.2, 2.0) * step
        light = np.exp(-1.1 * step)
        parts.append(
            Knots(
                YOUNG,
                share * light / light.sum(),
                0.16 * r_e * (1 + 0.8 * step),
                x0 + along * np.cos(turn),
                y0 + along * np.sin(turn),
            )
        )
    return Galaxy("IRR", True, magnitude, 1.0, r_e, q, angle, 0, 0.0, 0, 0.35 * nuclei, tuple(parts))


def inclined(cosine: float, thickness: float) -> float:
    """Axis ratio of a disk of finite `thickness` (Hubble 1926)."""
    return float(np.sqrt(thickness**2 + (1 - thickness**2) * cosine**2))


def half_light(bulge: float, n: float, ratio: float) -> float:
    """Half-light radius of bulge + exponential disk, in the disk's; the bulge's is `ratio` of it."""
    r = np.geomspace(0.05, 1.5, 96)
    b, b_disk = special.gammaincinv(2 * n, 0.5), special.gammaincinv(2.0, 0.5)
    inside = bulge * special.gammainc(2 * n, b * (r / ratio) ** (1 / n))
    inside += (1 - bulge) * special.gammainc(2.0, b_disk * r)
    return float(np.interp(0.5, inside, r))


def _project(r: Array | float, theta: Array | float, q: float, angle: float) -> tuple[Array, Array]:
    """From polar coordinates in the disk's plane to the sky."""
    u, v = np.asarray(r * np.cos(theta)), np.asarray(q * r * np.sin(theta))
    return u * np.cos(angle) - v * np.sin(angle), u * np.sin(angle) + v * np.cos(angle)


def on_arms(rng: np.random.Generator, arms: Arms, count: int, flux: float, disk: float) -> Knots:
    r = disk * rng.uniform(0.7, 2.0, count)
    theta = (np.log(r / arms.inner) / np.tan(arms.pitch)) - arms.phase / arms.count
    theta += 2 * np.pi * rng.integers(0, arms.count, count) / arms.count + rng.normal(0, 0.12, count)
    x, y = _project(r, theta, arms.axis_ratio, arms.angle)
    share = rng.pareto(2.5, count) + 0.5
    return Knots(YOUNG, flux * share / share.sum(), rng.uniform(0.12, 0.25, count), x, y)
