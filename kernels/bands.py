"""Bands by the names of their filters: which is bluer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["band_order"]

# Central wavelengths in nm, of filters by their usual names; F606W and its like carry theirs.
_FILTERS = {
    "u": 360,
    "b": 440,
    "g": 480,
    "v": 550,
    "r": 625,
    "i": 770,
    "z": 900,
    "y": 1000,
    "j": 1250,
    "h": 1650,
    "k": 2200,
    "ks": 2200,
    "nuv": 230,
    "fuv": 150,
    "vis": 720,
}
_HST = re.compile(r"f(\d{3})[a-z]+2?")
_INFRARED = 200  # F160W is 1,600 nm, F225W 225 nm
# … but these, of JWST and NICMOS, are infrared as well; F410M, which Hubble's CCDs have too, counts as JWST's.
_LONG = re.compile(
    r"f(200w|205w|207m|210m|212n|222m|237m|240m|250m|277w|300m|322w2|323n|335m|356w|360m|405n|410m|430m|444w|460m|466n|470n|"
    r"480m|560w|770w)"
)


def band_order(names: Sequence[str]) -> list[int] | None:
    """Where to find the bands in the order of their wavelengths, bluest first; None if a name is unknown.

    Names are those of filters (u, g, r, Ks, F606W, r_sdss, sdss-r, …), in capitals or not.
    """
    lengths = [_wavelength(name) for name in names]
    if None in lengths:
        return None
    return sorted(range(len(names)), key=lambda band: lengths[band] or 0)


def _wavelength(name: str) -> float | None:
    for word in re.split(r"[^a-z0-9]+", name.lower()):
        if word in _FILTERS:
            return _FILTERS[word]
        if found := _HST.fullmatch(word):
            number = int(found[1])
            return 10 * number if number < _INFRARED or _LONG.fullmatch(word) else number
    return None
