"""Parameter surfaces: pairs of parameters in which classes part, with the lines that papers draw on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.report.source import Column, Source


@dataclass(frozen=True)
class Axis:
    """One parameter."""

    quantity: str
    """Its measured column, or its key in `[validate] columns`."""
    title: str
    log: bool = False
    flipped: bool = False


@dataclass(frozen=True)
class Line:
    """A line of a paper, in the units of the axes."""

    points: tuple[tuple[float, float], ...]
    title: str


@dataclass(frozen=True)
class Surface:
    """One plot."""

    name: str
    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...] = ()
    about: str = ""


@dataclass(frozen=True)
class Found:
    """A surface whose columns a run has."""

    surface: Surface
    x: Column
    y: Column


SURFACES = (
    Surface(
        "gini_m20",
        "Gini against M20",
        Axis("m20", "M20", flipped=True),
        Axis("gini", "Gini"),
        (
            Line(((0.0, 0.33), (-3.0, 0.75)), "mergers above: G = -0.14 M20 + 0.33"),
            Line(((-1.68, 0.565), (-3.0, 0.38)), "E/S0/Sa above: G = 0.14 M20 + 0.80"),
        ),
        "Lines: Lotz et al. 2008 (ApJ 672, 177), for rest-frame B at z < 1.2.",
    ),
    Surface(
        "concentration_asymmetry",
        "Concentration against asymmetry",
        Axis("asymmetry", "asymmetry A", flipped=True),
        Axis("concentration", "concentration C"),
        (Line(((0.35, -1e3), (0.35, 1e3)), "major mergers: A > 0.35"),),
        "Line: Conselice 2003 (ApJS 147, 1).",
    ),
    Surface(
        "multiplicity_g2",
        "Psi against G2",
        Axis("g2", "G2"),
        Axis("multiplicity", "multiplicity Psi"),
        about="Psi: Law et al. 2007 (ApJ 656, 1); G2: Rosa et al. 2018 (MNRAS 477, L101).",
    ),
    Surface(
        "asymmetries",
        "Shape asymmetry against asymmetry",
        Axis("asymmetry", "asymmetry A"),
        Axis("shape_asymmetry", "shape asymmetry A_S"),
        (Line(((-1e3, 0.2), (1e3, 0.2)), "disturbed above: A_S > 0.2"),),
        "Line: Pawlik et al. 2016 (MNRAS 456, 3032).",
    ),
    Surface(
        "sersic_n_r_e",
        "Sérsic index against half-light radius",
        Axis("sersic_r_e", "half-light radius r_e", log=True),
        Axis("sersic_n", "Sérsic index n", log=True),
    ),
    Surface(
        "r_e_mass",
        "Half-light radius against stellar mass",
        Axis("log_mass", "log10 stellar mass"),
        Axis("sersic_r_e", "half-light radius r_e", log=True),
        about="The mass is the kept column that [validate] columns names.",
    ),
    Surface(
        "uvj",
        "U-V against V-J",
        Axis("v_j", "V-J"),
        Axis("u_v", "U-V"),
        (
            Line(
                ((-10.0, 1.3), (0.8068, 1.3), (1.6, 1.998), (1.6, 10.0)),
                "quiescent inside: U-V > 0.88 (V-J) + 0.59",
            ),
        ),
        "Line: Williams et al. 2009 (ApJ 691, 1879), for 0.5 < z < 1.",
    ),
)


def available(source: Source) -> list[Found]:
    """The surfaces that a run's columns allow."""
    found = []
    for surface in SURFACES:
        x, y = source.mapped(surface.x.quantity), source.mapped(surface.y.quantity)
        if x is not None and y is not None and x.is_number and y.is_number:
            found.append(Found(surface, x, y))
    return found
