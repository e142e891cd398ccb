"""The measured columns, one line each: which quantity they belong to, their unit, UCD and meaning.

A new one is a line here and its value in `kernels.measure.morphology`; config, catalog and docs read it from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = [
    "COLUMNS",
    "ERRORS",
    "QUANTITIES",
    "USUAL",
    "Column",
    "Errors",
    "Quantity",
    "columns_of",
    "error_of",
]

Quantity = Literal["shape", "gini", "cas", "mid", "multiplicity", "g2", "asymmetries", "sersic"]
"""What `[measure] quantities` may name; `shape` is measured always, as all others rest on it."""
USUAL: tuple[Quantity, ...] = ("shape", "gini", "cas", "mid", "sersic")
"""What is measured unless others are named."""
Errors = Literal["none", "fast", "full"]
"""What `[measure] errors` may be."""
LENGTH = "length"
"""Unit of what is in arcsec where the pixel scale is known, in pixels elsewhere."""


class Column(NamedTuple):
    """One measured column."""

    name: str
    quantity: Quantity
    unit: str
    ucd: str
    description: str
    needs_zeropoint: bool = False
    errors: Errors | None = None
    """The least effort that gives it a 1-sigma error; None: it has none, as it says itself how sure something is, or where."""


COLUMNS = (
    Column("sn_pixel", "shape", "", "stat.snr", "mean S/N of the pixels brighter than the Petrosian radius"),
    Column("x_centre", "shape", "pix", "pos.cartesian.x", "centre of least asymmetry in the stamp, its first pixel's middle is 0", errors="fast"),
    Column("y_centre", "shape", "pix", "pos.cartesian.y", "centre of least asymmetry in the stamp, its first pixel's middle is 0", errors="fast"),
    Column("flux", "shape", "", "phot.flux", "flux within 1.5 r_petro_circ, in the image's unit", errors="fast"),
    Column("r_petro", "shape", LENGTH, "phys.angSize;src.morph.param", "Petrosian radius along the major axis, eta = 0.2", errors="fast"),
    Column("r_petro_circ", "shape", LENGTH, "phys.angSize;src.morph.param", "Petrosian radius of circles, eta = 0.2", errors="fast"),
    Column("r20", "shape", LENGTH, "phys.angSize;src.morph.param", "radius of the circle with 20 % of the flux within 1.5 r_petro_circ", errors="fast"),
    Column("r50", "shape", LENGTH, "phys.angSize;src.morph.param", "radius of the circle with 50 % of the flux within 1.5 r_petro_circ", errors="fast"),
    Column("r80", "shape", LENGTH, "phys.angSize;src.morph.param", "radius of the circle with 80 % of the flux within 1.5 r_petro_circ", errors="fast"),
    Column("ellipticity", "shape", "", "src.ellipticity", "1 - b / a of the light's second moments", errors="fast"),
    Column("position_angle", "shape", "deg", "pos.posAng", "of the major axis, from the image's x axis to its y axis", errors="fast"),
    Column("blend_fraction", "shape", "", "stat.value;meta.code.qual", "share of the ellipse of r_petro that neighbours cover"),
    Column("gini", "gini", "", "src.morph.param", "Gini coefficient", errors="fast"),
    Column("m20", "gini", "", "src.morph.param", "second moment of the brightest fifth of the light over that of all, log10", errors="fast"),
    Column("concentration", "cas", "", "src.morph.param", "5 log10(r80 / r20)", errors="fast"),
    Column("asymmetry", "cas", "", "src.morph.param", "rotational asymmetry, the least over centres, the sky's taken off", errors="fast"),
    Column("smoothness", "cas", "", "src.morph.param", "light that stands out of the smoothed image, the sky's taken off", errors="fast"),
    Column("multimode", "mid", "", "src.morph.param", "area of the second largest region over the largest, at the level where it counts most", errors="full"),
    Column("intensity", "mid", "", "src.morph.param", "light around the second brightest peak over that around the brightest", errors="full"),
    Column("deviation", "mid", "", "src.morph.param", "distance of the brightest peak from the centroid, in radii of the object", errors="full"),
    Column("multiplicity", "multiplicity", "", "src.morph.param", "Psi: energy that the light would gain by being brought together, 100 log10 of a ratio", errors="full"),
    Column("g2", "g2", "", "src.morph.param", "second gradient moment: how much of the gradient field has no counterpart, 0 to 2", errors="full"),
    Column("shape_asymmetry", "asymmetries", "", "src.morph.param", "rotational asymmetry of the object's mask", errors="full"),
    Column("outer_asymmetry", "asymmetries", "", "src.morph.param", "asymmetry outside of the ellipse with half of the light, the sky's taken off", errors="full"),
    Column("rms_asymmetry2", "asymmetries", "", "src.morph.param", "squared RMS asymmetry: of squared light, the sky's taken off", errors="full"),
    Column("sersic_n", "sersic", "", "src.morph.param", "Sersic index of the fitted profile", errors="fast"),
    Column("sersic_r_e", "sersic", LENGTH, "phys.angSize;src.morph.param", "half-light radius of the fitted profile along the major axis", errors="fast"),
    Column("sersic_ellipticity", "sersic", "", "src.ellipticity", "1 - b / a of the fitted profile", errors="fast"),
    Column("sersic_angle", "sersic", "deg", "pos.posAng", "of the fitted profile's major axis, from the image's x axis to its y axis", errors="fast"),
    Column("sersic_flux", "sersic", "", "phot.flux", "flux of the fitted profile to infinity, in the image's unit", errors="fast"),
    Column("sersic_magnitude", "sersic", "mag", "phot.mag", "magnitude of the fitted profile", needs_zeropoint=True, errors="fast"),
    Column("sersic_sky", "sersic", "", "phot.flux;instr.background", "level of the sky that was fitted with the profile, in the image's unit", errors="fast"),
    Column("sersic_chi2", "sersic", "", "stat.fit.chi2", "reduced chi-squared of the fit"),
)  # fmt: skip
"""In the catalog's order."""
ERRORS: tuple[Errors, ...] = ("none", "fast", "full")
"""By effort."""
QUANTITIES: dict[str, tuple[str, ...]] = {
    quantity: tuple(c.name for c in COLUMNS if c.quantity == quantity and not c.needs_zeropoint)
    for quantity in dict.fromkeys(c.quantity for c in COLUMNS)
}
"""Columns of each quantity that the kernels give, without errors."""


def error_of(name: str) -> str:
    """The name of a column's error."""
    return f"{name}_error"


def columns_of(
    quantities: Collection[str], errors: Errors = "none", *, zeropoint: bool = False
) -> list[Column]:
    """The columns of quantities in the catalog's order, each followed by its error where the effort gives it one."""
    found = []
    for column in COLUMNS:
        if column.quantity not in {"shape", *quantities} or (column.needs_zeropoint and not zeropoint):
            continue
        found.append(column)
        if column.errors is not None and ERRORS.index(errors) >= ERRORS.index(column.errors):
            found.append(
                Column(
                    error_of(column.name),
                    column.quantity,
                    column.unit,
                    f"stat.error;{column.ucd.split(';')[0]}",
                    f"1-sigma error of {column.name}",
                )
            )
    return found
