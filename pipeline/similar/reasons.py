"""Why an object is odd, in words: the flags that it has, and what is measured of it that few objects have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernels.measure.flags import MeasureFlag
from pipeline.report.source import MEASURED, quoted
from pipeline.similar.objects import FLAGGED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.report.source import Source

__all__ = ["extremes_of", "flags_of", "tails"]

TAIL = 0.005
"""Share of the objects on either side that counts as few."""
SAMPLE = 100_000
"""Objects that tell where the tails begin, about; by a hash of their ids, so that they are the same each time."""
PLACES = {"x_centre", "y_centre", "position_angle", "sersic_angle", "sersic_sky"}
"""What says nothing of an object's looks."""
NO_ERROR = MeasureFlag.NO_ERROR.name.lower()
"""A flag that says nothing of them either."""


def flags_of(source: Source, row: dict[str, Any]) -> str:
    """Names of an object's flags."""
    return ", ".join(
        name
        for column in FLAGGED
        if column in source.columns and row[column] is not None
        for name, bit in source.columns[column].bits.items()
        if row[column] & bit and name != NO_ERROR
    )


def tails(source: Source) -> dict[str, tuple[float, float]]:
    """Below and above which values of each measured quantity few objects lie."""
    names = [name for name in MEASURED if name in source.columns and name not in PLACES]
    if not names:
        return {}
    total = source.query("SELECT count(*) AS n FROM objects")[0]["n"]
    one_in = max(1, total // SAMPLE)
    asked = ", ".join(f"quantile_cont({quoted(n)}, [{TAIL}, {1 - TAIL}]) AS {quoted(n)}" for n in names)
    (found,) = source.query(f"SELECT {asked} FROM objects WHERE hash(object_id) % {one_in} = 0")
    return {name: (ends[0], ends[1]) for name, ends in found.items() if ends is not None}


def extremes_of(row: dict[str, Any], ends: dict[str, tuple[float, float]]) -> Sequence[str]:
    """What of an object is smaller or larger than almost everywhere."""
    return [
        f"{'low' if row[name] < low else 'high'} {name}"
        for name, (low, high) in ends.items()
        if row[name] is not None and not low <= row[name] <= high
    ]
