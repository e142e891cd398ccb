"""The tables of `benchmarks.measure`: differences from statmorph, and errors of both where the truth is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernels.measure.flags import MeasureFlag

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

Table = tuple[tuple[str, ...], list[list[object]]]

LEAST_SN = 2.5
BINS = ((1, 2.5), (2.5, 5), (5, 10), (10, 20), (20, 50))
RELATIVE = {
    *("r_petro", "r_petro_circ", "r20", "r50", "r80", "sn_pixel"),
    *("sersic_n", "sersic_r_e", "sersic_flux"),
}
"""Compared in percent."""
QUANTITIES = (
    *("gini", "m20", "concentration", "asymmetry", "smoothness", "multimode", "intensity", "deviation"),
    *("ellipticity", "r_petro", "r_petro_circ", "r20", "r50", "r80", "sn_pixel"),
    *("sersic_n", "sersic_r_e", "sersic_ellipticity", "sersic_flux"),
)
TRUE = (
    *("sersic_n", "sersic_r_e", "sersic_ellipticity", "sersic_flux"),
    *("gini", "m20", "concentration", "asymmetry", "r_petro_circ", "r50"),
)
_FIT = MeasureFlag.FIT_FAILED | MeasureFlag.FIT_UNCONVERGED | MeasureFlag.FIT_LIMIT
_OF_ONE = _FIT | MeasureFlag.NO_SMOOTHNESS | MeasureFlag.LOW_SN


def clean(values: pd.DataFrame, quantity: str) -> NDArray[np.bool_]:
    """Objects that neither flags, as far as it concerns the quantity, and that both have a value for; low S/N is no flag here."""
    flags = values["ours.measure_flags"].to_numpy()
    good = (flags & ~int(_OF_ONE) == 0) & (values["theirs.flag"] == 0).to_numpy()
    if quantity.startswith("sersic"):
        good &= (flags & int(_FIT) == 0) & (values["theirs.flag_sersic"] == 0).to_numpy()
    return good & valued(values, quantity)


def valued(values: pd.DataFrame, quantity: str) -> NDArray[np.bool_]:
    """Objects that both have a value for."""
    both = values[[f"ours.{quantity}", f"theirs.{quantity}"]].to_numpy(float)
    return np.isfinite(both).all(axis=1)


def difference(quantity: str, one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """One - other, in percent of the other where that is how the quantity is compared."""
    return 100 * (one / other - 1) if quantity in RELATIVE else one - other


def differences(values: pd.DataFrame) -> Table:
    """Ours - statmorph's for every set and quantity, of unflagged objects with S/N per pixel above 2.5."""
    rows: list[list[object]] = []
    for name in dict.fromkeys(values["set"]):
        part = values[values["set"] == name]
        for quantity in QUANTITIES:
            chosen = part[clean(part, quantity) & (part["ours.sn_pixel"] > LEAST_SN).to_numpy()]
            off = _off(chosen, quantity, "ours", "theirs")
            if len(off):
                low, middle, high = np.percentile(off, (16, 50, 84))
                numbers = _shown(quantity, middle, np.median(np.abs(off)), (high - low) / 2)
                rows.append([name, quantity, "%" if quantity in RELATIVE else "", len(off), *numbers])
    head = (
        "set",
        "quantity",
        "unit",
        "objects",
        "median_difference",
        "median_absolute_difference",
        "scatter",
    )
    return head, rows


def errors(values: pd.DataFrame, large: pd.DataFrame) -> Table:
    """Median error and median absolute error of both, by true S/N per pixel; and of galaxies in stamps of 256 pixels."""
    rows: list[list[object]] = []
    parts = [
        *((values, f"{low:g}-{high:g}", low, high, False) for low, high in BINS),
        (values, "5-50", 5, 50, False),
        (values, "5-50, all", 5, 50, True),
        (large, "256 px, 5-50", 5, 50, False),
    ]
    for some, label, low, high, flagged in parts:
        sn = some["truth.sn"].to_numpy()
        part = some[(sn >= low) & (sn < high)]
        for quantity in TRUE:
            chosen = part[valued(part, quantity) if flagged else clean(part, quantity)]
            numbers = []
            for who in ("ours", "theirs"):
                off = _off(chosen, quantity, who, "truth")
                numbers += _shown(quantity, np.median(off), np.median(np.abs(off)))
            unit = "%" if quantity in RELATIVE else ""
            rows.append([label, quantity, unit, len(chosen), *numbers])
    head = (
        *("S/N", "quantity", "unit", "objects", "median_error", "median_absolute_error"),
        *("statmorph_median_error", "statmorph_median_absolute_error"),
    )
    return head, rows


def _off(values: pd.DataFrame, quantity: str, one: str, other: str) -> NDArray[np.float64]:
    first, second = (values[f"{who}.{quantity}"].to_numpy(float) for who in (one, other))
    return difference(quantity, first, second)


def _shown(quantity: str, *numbers: float) -> list[str]:
    places = 2 if quantity in RELATIVE else 4
    return [f"{round(number, places) + 0.0:.{places}f}" for number in numbers]  # + 0.0: no minus before zero
