"""Galaxies whose classes are what they are called, and not."""

from __future__ import annotations

import numpy as np

ORDER = np.array(["SPH", "ETD", "LTD", "IRR"])


def galaxies(each: int = 1000, seed: int = 3) -> dict[str, np.ndarray]:
    """Classes that are what they are called: parameters scatter around medians that the papers' physics orders."""
    rng = np.random.default_rng(seed)
    place = np.repeat(np.arange(4), each)
    noise = lambda scale: rng.normal(0, scale, place.size)  # noqa: E731
    early = place < 2
    # Early types are the more massive: at all masses together they are the larger ones, at the same mass they are not.
    mass = rng.uniform(10, 11.5, place.size) + 0.3 * early
    v_j = rng.uniform(0.6, 1.4, place.size)
    return {
        "object_id": np.arange(place.size),
        "class": ORDER[place],
        "sersic_n": 4 - place + noise(0.8),
        "gini": 0.58 - 0.04 * place + noise(0.05),
        "concentration": 4 - 0.4 * place + noise(0.4),
        "m20": -2 + 0.2 * place + 0.6 * (place == 3) + noise(0.2),
        "asymmetry": 0.05 + 0.04 * place + 0.25 * (place == 3) + noise(0.05),
        "sersic_r_e": 10
        ** (0.5 * (mass - 10) - 0.25 * early - 0.15 * (place == 0) + 0.4 * (place == 3) + noise(0.1)),
        "log_mass": mass,
        "v_j": v_j,
        "u_v": 0.88 * v_j + 0.59 + np.where(early, 0.2, -0.2) + noise(0.1),
        "sn_pixel": rng.lognormal(2, 0.3, place.size),
        "multiplicity": 2 + 4.0 * (place == 3) + noise(1.5),
        "g2": 1.9 + 0.03 * (place == 3) + noise(0.02),
        "shape_asymmetry": 0.15 + 0.2 * (place == 3) + noise(0.05),
        "outer_asymmetry": 0.1 + 0.2 * (place == 3) + noise(0.1),
        "rms_asymmetry2": 0.02 + 0.05 * (place == 3) + noise(0.02),
        "colour_dispersion": 0.01 + 0.02 * (place == 3) + noise(0.01),
        "kept": rng.random(place.size) < 0.7,
    }
