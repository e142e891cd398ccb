"""The form of a galaxy whose populations shine on their own: where its bulge, disk, arms and knots are.

The components of one population have fluxes that sum to one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.simulate.galaxies import (
    MIXED,
    OLD,
    YOUNG,
    Arms,
    Array,
    Component,
    Knots,
    Sersic,
    half_light,
    on_arms,
)

ARMS_FROM = 0.45
"""Half-light radius of a disk, arcsec, below which no pixel would show its arms."""
SMALLEST_KNOT = 0.12
"""Arcsec: smaller ones would fall between pixels."""
BULGE_SIZE = {"ETD": 0.28, "LTD": 0.2}
"""Half-light radius over the disk's."""


@dataclass(frozen=True)
class Form:
    """Components, and the truth about them."""

    components: tuple[Component, ...]
    r_e: float
    """Semi-major half-light radius, arcsec."""
    axis_ratio: float
    angle: float
    sersic_n: float
    """Index of the component with the most light."""
    bulge_to_total: float
    """In i."""
    arms: int
    knots: int


def form(rng: np.random.Generator, kind: str, r_e: float, axis_ratio: float, light: Array) -> Form:
    """A galaxy of a kind; `light` is each population's share of its i-band light, shape (3,)."""
    angle = float(rng.uniform(0, np.pi))
    if kind == "SPH":
        return _spheroid(rng, r_e, axis_ratio, angle)
    if kind == "IRR":
        return _irregular(rng, r_e, axis_ratio, angle)
    return _disk(rng, kind, r_e, axis_ratio, angle, float(light[OLD]))


def _spheroid(rng: np.random.Generator, r_e: float, q: float, angle: float) -> Form:
    # Quarter steps: every index costs one GalSim table in every process.
    n = float(np.round(4 * np.clip(rng.normal(4.2, 0.7), 3, 5.5)) / 4)
    parts = (
        Sersic(OLD, 1.0, n, 0.75 * r_e, q, angle),
        Sersic(MIXED, 1.0, n, 1.45 * r_e, q, angle),
        Sersic(YOUNG, 1.0, n, 1.45 * r_e, q, angle),
    )
    return Form(parts, r_e, q, angle, n, 1.0, 0, 0)


def _disk(rng: np.random.Generator, kind: str, r_e: float, q: float, angle: float, bulge: float) -> Form:
    n = float(rng.choice([2.0, 2.5, 3.0])) if kind == "ETD" else 2.0
    ratio = BULGE_SIZE[kind]
    disk = r_e / half_light(bulge, n, ratio)
    parts: list[Component] = [
        Sersic(OLD, 1.0, n, ratio * disk, 0.4 + 0.6 * q, angle),
        Sersic(MIXED, 1.0, 1.0, disk, q, angle),
    ]
    count = knots = 0
    if kind == "ETD" or disk < ARMS_FROM:
        parts.append(Sersic(YOUNG, 1.0, 1.0, 1.15 * disk, q, angle))
    else:
        count, knots = int(rng.choice([2, 3, 4], p=[0.6, 0.25, 0.15])), int(rng.integers(4, 16))
        arms = _arms(rng, 1.15 * disk, q, angle, count)
        in_knots = float(rng.uniform(0.1, 0.25))
        parts.append(Arms(**{**vars(arms), "flux": 1 - in_knots}))
        parts.append(on_arms(rng, arms, knots, in_knots, disk))
    strongest = n if bulge > 0.5 else 1.0
    return Form(tuple(parts), r_e, q, angle, strongest, bulge, count, knots)


def _arms(rng: np.random.Generator, disk: float, q: float, angle: float, count: int) -> Arms:
    pitch = float(np.radians(rng.uniform(14, 30))) * int(rng.choice([-1, 1]))
    phase, sharpness = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(1.5, 3.5))
    return Arms(YOUNG, 1.0, disk / 1.678, q, angle, count, pitch, phase, 0.35 * disk, sharpness)


def _irregular(rng: np.random.Generator, r_e: float, q: float, angle: float) -> Form:
    count = int(rng.integers(4, 11))
    in_knots = float(rng.uniform(0.4, 0.7))
    # The knots gather on one side.
    side = float(rng.uniform(0, 2 * np.pi))
    turn = side + rng.normal(0, 1.0, count)
    away = r_e * rng.uniform(0.3, 1.25, count)
    flux = rng.pareto(1.6, count) + 0.4
    other = side + float(rng.normal(0, 0.8))
    parts = (
        Sersic(MIXED, 1.0, 1.0, r_e, q, angle),
        Sersic(
            YOUNG, 1 - in_knots, 0.5, 0.6 * r_e, float(rng.uniform(0.4, 0.8)), float(rng.uniform(0, np.pi)),
            0.6 * r_e * np.cos(other), 0.6 * r_e * np.sin(other),
        ),
        Knots(
            YOUNG,
            in_knots * flux / flux.sum(),
            np.maximum(r_e * rng.uniform(0.1, 0.2, count), SMALLEST_KNOT),
            away * np.cos(turn),
            away * (0.4 + 0.6 * q) * np.sin(turn),
        ),
    )  # fmt: skip
    return Form(parts, r_e, q, angle, 1.0, 0.0, 0, count)
