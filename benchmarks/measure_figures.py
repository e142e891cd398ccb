"""docs/measure.png and docs/measure_truth.png: scatter plots against statmorph and against the truth."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from benchmarks.measure_tables import LEAST_SN, RELATIVE, clean, difference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

DOCS = Path(__file__).parents[1] / "docs"
# Okabe & Ito's colours, distinct to the colour-blind; markers are distinct in grey
STYLES = (
    *(("#000000", "."), ("#E69F00", "x"), ("#0072B2", "+"), ("#009E73", "^"), ("#CC79A7", "v")),
    *(("#D55E00", "s"), ("#56B4E9", "D")),
)
OURS, THEIRS = STYLES[2], STYLES[1]
PANELS = {
    "gini": ("Gini", (0.35, 0.72)),
    "m20": ("M20", (-2.6, -0.6)),
    "concentration": ("concentration", (1.8, 4.6)),
    "asymmetry": ("asymmetry", (-0.3, 0.8)),
    "smoothness": ("smoothness", (-0.05, 0.25)),
    "multimode": ("multimode", (-0.02, 1.02)),
    "intensity": ("intensity", (-0.02, 1.02)),
    "deviation": ("deviation", (-0.01, 0.5)),
    "ellipticity": ("ellipticity", (0, 0.8)),
    "r_petro_circ": ("r_petro_circ (px)", (5, 60)),
    "r50": ("r50 (px)", (2, 20)),
    "sn_pixel": ("S/N per pixel", (2, 200)),
    "sersic_n": ("Sérsic n", (0.3, 8)),
    "sersic_r_e": ("Sérsic r_e (px)", (1.5, 30)),
    "sersic_ellipticity": ("Sérsic ellipticity", (0, 0.95)),
}
TRUE = {
    "sersic_n": ("Sérsic n", 40),
    "sersic_r_e": ("Sérsic r_e", 25),
    "sersic_flux": ("Sérsic flux", 20),
    "sersic_ellipticity": ("Sérsic ellipticity", 0.12),
    "concentration": ("concentration", 0.5),
    "gini": ("Gini", 0.06),
    "m20": ("M20", 0.25),
    "asymmetry": ("asymmetry", 0.25),
}
_STEPS = np.geomspace(1, 50, 9)  # S/N per pixel
_FEWEST = 5
_TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200)


def draw(values: pd.DataFrame, sersics: pd.DataFrame) -> None:
    """Both figures."""
    page = Figure(figsize=(13, 8.4), layout="constrained")
    axes = page.subplots(3, 5)
    for axis, (quantity, (title, limits)) in zip(axes.flat, PANELS.items(), strict=True):
        _beside(axis, values, quantity, limits)
        axis.set_title(title, fontsize=10)
        axis.tick_params(labelsize=7)
    page.supxlabel("statmorph", fontsize=11)
    page.supylabel("tuningfork", fontsize=11)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    page.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9, markerscale=2)
    _save(page, "measure")

    page = Figure(figsize=(13, 5.8), layout="constrained")
    axes = page.subplots(2, 4)
    for axis, (quantity, (title, reach)) in zip(axes.flat, TRUE.items(), strict=True):
        _error(axis, sersics, quantity, reach)
        axis.set_title(f"{title}{' (%)' if quantity in RELATIVE else ''}", fontsize=10)
        axis.tick_params(labelsize=8)
    page.supxlabel("true S/N per pixel", fontsize=11)
    page.supylabel("measured - true", fontsize=11)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    page.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9)
    _save(page, "measure_truth")


def _beside(axis: Axes, values: pd.DataFrame, quantity: str, limits: tuple[float, float]) -> None:
    """Ours against statmorph's, of what the table counts too."""
    good = clean(values, quantity) & (values["ours.sn_pixel"] > LEAST_SN).to_numpy()
    axis.plot(limits, limits, color="0.6", lw=0.8, zorder=0)
    for (colour, marker), name in zip(STYLES, dict.fromkeys(values["set"]), strict=False):
        part = values[good & (values["set"] == name).to_numpy()]
        x, y = part[f"theirs.{quantity}"], part[f"ours.{quantity}"]
        axis.scatter(x, y, s=9, c=colour, marker=marker, lw=0.6, label=name, alpha=0.8)
    axis.set(xlim=limits, ylim=limits)
    if limits[0] > 0 and limits[1] / limits[0] > 8:
        axis.set(xscale="log", yscale="log")
        _label(axis.xaxis, limits)
        _label(axis.yaxis, limits)
    axis.set_aspect("equal")


def _error(axis: Axes, values: pd.DataFrame, quantity: str, reach: float) -> None:
    """Errors by S/N: each, their median and the middle 68 %."""
    part = values[clean(values, quantity)]
    sn = part["truth.sn"].to_numpy()
    axis.axhline(0, color="0.6", lw=0.8)
    for who, name, (colour, marker), line in (
        ("theirs", "statmorph", THEIRS, "--"),
        ("ours", "tuningfork", OURS, "-"),
    ):
        first, true = (part[f"{key}.{quantity}"].to_numpy(float) for key in (who, "truth"))
        off = difference(quantity, first, true)
        axis.scatter(sn, off, s=7, c=colour, marker=marker, lw=0.6, alpha=0.6)
        middles, spreads = [], []
        for low, high in itertools.pairwise(_STEPS):
            here = off[(sn >= low) & (sn < high)]
            if len(here) >= _FEWEST:
                middles.append(np.sqrt(low * high))
                spreads.append(np.percentile(here, (16, 50, 84)))
        if middles:
            lower, middle, upper = np.transpose(spreads)
            axis.fill_between(middles, lower, upper, color=colour, alpha=0.2, lw=0)
            axis.plot(middles, middle, line, color=colour, lw=2, label=f"{name}: median and 68 %")
    axis.set(xscale="log", xlim=(1, 50), ylim=(-reach, reach))
    _label(axis.xaxis, (1, 50))


def _label(axis: Axis, limits: tuple[float, float]) -> None:
    """Plain numbers on a logarithmic axis, not 6 x 10^0."""
    ticks = [tick for tick in _TICKS if limits[0] <= tick <= limits[1]]
    axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.set_ticks([], minor=True)


def _save(page: Figure, name: str) -> None:
    page.savefig(DOCS / f"{name}.png", dpi=100, pil_kwargs={"optimize": True})
