"""Positions of a catalog's rows on the sky, in degrees, whatever unit and range its columns have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from catalogs._types import Bools, Floats
    from catalogs.survey import Survey

SPELLINGS = {
    **dict.fromkeys(("deg", "degr", "degree", "degrees", "deg.", "°", "ddeg", "decimal degrees"), "deg"),
    **dict.fromkeys(("degrees_east", "degrees_north", "degree_east", "degree_north"), "deg"),
    **dict.fromkeys(("rad", "radian", "radians"), "rad"),
    **dict.fromkeys(("hour", "hours", "hr", "hourangle", "h"), "hour"),
}
"""Units of angles as catalogs spell them, and what `[survey] position_unit` calls them."""
WRAPPED = re.compile(r"^(?:\w+\s*)?[\[(](.*)[\])]$")
"""`[deg]`, `(deg)`, `Angle[deg]`: what is within the brackets is the unit."""
DEGREES = {"deg": (1.0, 1.0), "rad": (180.0 / np.pi, 180.0 / np.pi), "hour": (15.0, 1.0)}
"""Degrees in a unit of ra and of dec."""


def unit_of(spelling: str) -> str | None:
    """What a column's unit means: `deg`, `rad` or `hour`; None where that is none of them."""
    text = spelling.strip().strip("'\"").strip()
    if found := WRAPPED.match(text):
        text = found[1].strip()
    return SPELLINGS.get(text.lower())


def numbers(column: pa.ChunkedArray) -> Floats:
    """A numeric column as float64 with null as NaN."""
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.float64)


def positions_of(survey: Survey, rows: pa.Table) -> tuple[Floats, Floats]:
    """Right ascension and declination of catalog rows.

    Returns
    -------
    ra, dec : (n,) float64
        Degrees; right ascensions from -180 to 0 are taken modulo 360. NaN where the catalog has nothing.
    """
    ra, dec = in_degrees(survey, rows)
    return np.where(is_negative(ra), ra + 360.0, ra), dec


def in_degrees(survey: Survey, rows: pa.Table) -> tuple[Floats, Floats]:
    """The columns ra and dec as they are, but in degrees, (n,) float64 each."""
    to_ra, to_dec = DEGREES[survey.position_unit or "deg"]
    return numbers(rows[str(survey.ra)]) * to_ra, numbers(rows[str(survey.dec)]) * to_dec


def is_negative(ra: Floats) -> Bools:
    """Which right ascensions are counted from -180 to 180 degrees, and lie below 0, (n,) bool."""
    return (ra >= -180.0) & (ra < 0.0)


def are_usable(ra: Floats, dec: Floats) -> Bools:
    """Which positions are on the sky, (n,) bool; NaN is nowhere."""
    return (ra >= 0.0) & (ra <= 360.0) & (np.abs(dec) <= 90.0)
