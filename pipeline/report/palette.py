"""Colours that are distinct to the colour-blind (Okabe & Ito 2008), and markers that are distinct without colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 2), (1, 1.5), (6, 2, 1, 2), (8, 3), (3, 1, 1, 1, 1, 1))
MARKERS = ("o", "s", "^", "D", "v", "P")
GREY = "#767676"
NO_CLASS = ("UNC", "unnamed", "no result")
_OWN = {"SPH": 1, "ETD": 4, "LTD": 0, "IRR": 2}
"""The default classes look the same in every report."""


def ordered(names: Iterable[str]) -> list[str]:
    """Classes as every table and legend has them: the default ones from early to late, the others, then what is no class."""
    names = set(names)
    others = sorted(names - {*_OWN, *NO_CLASS})
    return [n for n in _OWN if n in names] + others + [n for n in NO_CLASS if n in names]


def places(names: Iterable[str]) -> dict[str, int]:
    """A place in the palette for each name; colours go round after 7, marks after 6, so 42 pairs differ."""
    names = list(names)
    taken = {name: _OWN[name] for name in names if name in _OWN}
    free = (place for place in range(len(names) + len(_OWN)) if place not in taken.values())
    return {name: taken[name] if name in taken else next(free) for name in names if name != "UNC"}


def colour(place: int | None) -> str:
    """Colour of a place; grey for what is set aside."""
    return GREY if place is None else COLOURS[place % len(COLOURS)]


def dashes(place: int | None) -> tuple[float, tuple[float, ...] | None]:
    """Line style of a place, as matplotlib has it."""
    pattern = (1, 1) if place is None else DASHES[place % len(DASHES)]
    return 0, pattern or None


def marker(place: int | None) -> str:
    """Mark of a place, as matplotlib has it."""
    return "x" if place is None else MARKERS[place % len(MARKERS)]
