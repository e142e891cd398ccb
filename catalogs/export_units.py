"""Units and UCDs in the words of the standards; a text that a standard does not know is not lost."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import astropy.units as u
from astropy.io.votable.ucd import check_ucd

if TYPE_CHECKING:
    from collections.abc import Mapping


def fits_unit(text: str) -> str:
    """A unit as the FITS standard writes it; as it stands where it is none that FITS knows."""
    return _written(text, "fits") or _ascii(text)


def fits_texts(metadata: Mapping[str, str]) -> dict[str, str]:
    """Unit, UCD and description of a column, as cards of a FITS header hold them."""
    texts = {key: _ascii(text) for key, text in metadata.items()}
    return texts | ({"unit": fits_unit(metadata["unit"])} if "unit" in metadata else {})


def votable_texts(metadata: Mapping[str, str]) -> dict[str, str]:
    """Unit, UCD and description of a column as VOTable's schema has them.

    What VOUnits and UCD1+ do not know would make the file invalid: it goes into the description.
    """
    unit, ucd = metadata.get("unit", ""), metadata.get("ucd", "")
    texts = {
        "unit": _written(unit, "vounit"),
        "ucd": ucd if check_ucd(ucd, check_controlled_vocabulary=True) else "",
    }
    aside = [f"{key}: {metadata[key]}" for key, text in texts.items() if metadata.get(key) and not text]
    description = metadata.get("description", "") + (f" ({'; '.join(aside)})" if aside else "")
    texts["description"] = _printable(description).strip()
    return {key: text for key, text in texts.items() if text}


def _written(text: str, form: str) -> str:
    """A unit in a standard's words; empty where it has none for it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", u.UnitsWarning)
            # VOUnits would rather not have the Ångström by name: 0.1nm.
            options = {"deprecations": "convert"} if form == "vounit" else {}
            return u.Unit(text).to_string(form, **options)
    except (ValueError, TypeError, u.UnitsWarning):
        return ""


def _ascii(text: str) -> str:
    """A text in the characters that FITS headers have."""
    return _printable(text).encode("ascii", "backslashreplace").decode()


def _printable(text: str) -> str:
    """A text without control characters, which neither XML nor FITS headers can hold."""
    return "".join(c if c.isprintable() else " " for c in text)
