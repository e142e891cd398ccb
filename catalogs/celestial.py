"""The celestial WCS of an image's header, and what in the header contradicts it: leftovers of another image show another piece of sky."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from catalogs import headers
from catalogs.silence import silenced
from catalogs.sky import celestial_frame

if TYPE_CHECKING:
    from catalogs._types import Floats

MOST_AXES = 9
"""WCSAXES beyond this is no header's but a fault's, and wcslib crashes over large ones."""
NUMBERS = re.compile(
    r"WCSAXES|NAXIS[12]?|(CRPIX|CRVAL|CDELT|CROTA)[1-9]|(PC|CD)([1-9]_|00[1-9]00)[1-9]|PV[1-9]_\d{1,2}|PROJP\d"
    r"|(A|B|AP|BP)_(ORDER|\d_\d)"
)
TEXTS = re.compile(r"(CTYPE|CUNIT)[1-9]")
OPTIONAL = re.compile(r"LONPOLE|LATPOLE|EQUINOX|EPOCH|RADESYS|RADECSYS")
WCS_KEY = re.compile("|".join(f"(?:{kind.pattern})" for kind in (NUMBERS, TEXTS, OPTIONAL)))
"""Cards that wcslib gets to see; the last ones are as good as absent where they are of another kind. What it rejects of a header it writes into
1,024 bytes, however much that is, and the process crashes some time later (astropy issue 20349); larger indices take any amount of memory."""
TABLES = re.compile(r"(CPDIS|CQDIS|D2IMDIS)[12]")
MOST_TERMS = 9
"""Order of a SIP polynomial (Shupe et al. 2005); astropy makes a table of any order."""
SIP = re.compile(r"(A|B|AP|BP)_(ORDER|DMAX|\d+_\d+)")
CELESTIAL = re.compile(r"RA--|DEC-|.LON-|.LAT-|..LN-|..LT-")
"""CTYPE of an axis of the sky (FITS standard 4.0, section 8.2)."""
PV = re.compile(r"PV[12]_\d+")
SCAMP = re.compile(r"PV2_\d+|PV1_(0|[5-9]|[1-9]\d+)")
"""Terms that have no meaning in a TAN header but SCAMP's (FITS standard 4.0, table 26)."""
MATRIX = {kind: re.compile(rf"{kind}[12]_[12]") for kind in ("PC", "CD")}
ZENITHAL = ("AZP", "SZP", "TAN", "TPV", "STG", "SIN", "ARC", "ZPN", "ZEA", "AIR")
LARGEST = 1e30
"""Of the numbers of a WCS."""
MOVED = 0.1
"""Pixels that a leftover must move some corner of the image by to be worth a note."""
TURNED = 0.1
"""Degrees; the same for angles."""


class BadWCS(ValueError):
    """There is a WCS, but it makes no sense."""


def celestial(header: fits.Header, shape: tuple[int, int]) -> tuple[WCS | None, tuple[str, ...]]:
    """The celestial WCS that an image's header means.

    Parameters
    ----------
    header : fits.Header
    shape : tuple of int
        Rows and columns (y, x) of the image.

    Returns
    -------
    wcs : WCS or None
        None where the header has none.
    notes : tuple of str
        What in the header contradicts something else there, and how it was taken.

    Raises
    ------
    BadWCS
        If the WCS makes no sense, or two statements of the header exclude each other.
    """
    try:
        if int(header.get("WCSAXES", 2)) > MOST_AXES:
            raise BadWCS(f"has a WCS that cannot be used (WCSAXES = {header['WCSAXES']})")
        if not _is_celestial(header):
            return None, ()
        own, notes = header.copy(), list[str]()
        for settle in (_settle_sip, _settle_matrices, _settle_frame):
            notes += settle(own)
        notes += _settle_pv(own, shape)
        wcs = _read(own)
        if not wcs.has_celestial:
            return None, ()
        celestial_frame(wcs)
        notes += _pole_notes(own, wcs)
    except BadWCS:
        raise
    except Exception as error:  # astropy raises what it happens to over a header that makes no sense
        raise BadWCS(f"has a WCS that cannot be used ({headers.first_line(error)})") from error
    return wcs, tuple(notes)


def _read(header: fits.Header) -> WCS:
    with silenced():
        return WCS(readable(header), naxis=2)


def readable(header: fits.Header) -> fits.Header:
    """The cards of a header that a WCS is read from.

    Raises
    ------
    BadWCS
        If one of them is of the wrong kind, or no number that a WCS can have, or distortions are in tables.
    """
    tables = [card.keyword for card in header.cards if TABLES.fullmatch(card.keyword)]
    if tables:
        raise BadWCS(f"has a WCS whose distortions are in tables ({tables[0]}), which are not read")
    # Of a mosaic's hundred cards a dozen are of the WCS, and astropy takes its time over each value.
    cards = [(card.keyword, card.value) for card in header.cards if WCS_KEY.fullmatch(card.keyword)]
    return fits.Header([(key, value) for key, value in cards if _counts(key, value)])


def _counts(key: str, value: object) -> bool:
    """Whether a card of the WCS says something of it."""
    if isinstance(value, fits.card.Undefined):
        return False
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST
    if OPTIONAL.fullmatch(key):
        return isinstance(value, str) if key.startswith("RAD") else is_number
    sound = is_number if NUMBERS.fullmatch(key) else isinstance(value, str)
    if sound and key.endswith("_ORDER"):
        sound = value in range(MOST_TERMS + 1)
    if not sound:
        raise BadWCS(f"has a WCS that cannot be used ({key} = {value!r})")
    return True


def _is_celestial(header: fits.Header) -> bool:
    return any(CELESTIAL.match(kind) for kind in _types(header))


def _types(header: fits.Header) -> tuple[str, str]:
    first, second = (str(header.get(key, "")).strip().upper() for key in ("CTYPE1", "CTYPE2"))
    return first, second


def _projection(header: fits.Header) -> str:
    return _types(header)[0][5:8]


def _named(header: fits.Header, pattern: re.Pattern[str]) -> list[str]:
    return sorted({key for key in header if pattern.fullmatch(key)})


def _without(header: fits.Header, keys: list[str]) -> None:
    for key in keys:
        header.remove(key, ignore_missing=True, remove_all=True)


def _settle_sip(header: fits.Header) -> list[str]:
    """SIP polynomials hold where CTYPE says so (Shupe et al. 2005); drizzled mosaics keep those of an exposure."""
    cards, is_sip = _named(header, SIP), [kind.endswith("-SIP") for kind in _types(header)]
    if any(is_sip) and not all(is_sip):
        raise BadWCS(
            f"has a WCS that contradicts itself (CTYPE1 and CTYPE2 are {' and '.join(_types(header))})"
        )
    if all(is_sip) and not any(key in header for key in ("A_ORDER", "B_ORDER")):
        return ["CTYPE says -SIP, but there are no SIP coefficients: positions are without distortion"]
    if not cards or all(is_sip):
        return []
    _without(header, cards)
    return [f"SIP coefficients ({cards[0]} …), but CTYPE has no -SIP: they are ignored, as ds9 does"]


def _settle_matrices(header: fits.Header) -> list[str]:
    """One linear transformation; two are refused unless they are the same (FITS standard 4.0, section 8.1.2)."""
    matrices = {kind: _named(header, pattern) for kind, pattern in MATRIX.items()}
    if not any(matrices.values()) and not any(f"CDELT{i}" in header for i in (1, 2)):
        raise BadWCS("has a WCS without a pixel scale (no CDELT, CD or PC)")
    if not all(f"CRVAL{i}" in header for i in (1, 2)):
        raise BadWCS("has a WCS without a position (no CRVAL1 and CRVAL2)")
    if all(matrices.values()):
        step = np.array([[float(header.get(f"CDELT{i}", 1.0))] for i in (1, 2)])
        scaled, cd = step * _matrix(header, "PC", 1.0), _matrix(header, "CD", 0.0)
        if not np.allclose(scaled, cd, rtol=0, atol=1e-5 * np.abs(cd).max()):
            raise BadWCS("has a WCS that contradicts itself (a PC and a CD matrix that differ)")
        _without(header, matrices["PC"])
    turned = [key for key in ("CROTA1", "CROTA2") if float(header.get(key, 0.0)) != 0.0]
    kind = "CD" if matrices["CD"] else "PC"
    if not turned or not matrices[kind]:
        return []
    matrix = _matrix(header, kind, 1.0 if kind == "PC" else 0.0)
    angle = np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
    off = [abs((sign * float(header[turned[-1]]) - angle + 90.0) % 180.0 - 90.0) for sign in (1, -1)]
    if min(off) < TURNED:
        return []
    contradiction = (
        f"{turned[-1]} = {header[turned[-1]]:g} and a {kind} matrix that turns by {angle:.1f} degrees"
    )
    _without(header, ["CROTA1", "CROTA2"])
    return [f"{contradiction}: the matrix is taken"]


def _matrix(header: fits.Header, kind: str, diagonal: float) -> Floats:
    missing = np.eye(2) * diagonal
    return np.array(
        [[float(header.get(f"{kind}{i + 1}_{j + 1}", missing[i, j])) for j in (0, 1)] for i in (0, 1)]
    )


def _settle_frame(header: fits.Header) -> list[str]:
    """Which sky: RADESYS, its old spelling RADECSYS, and EQUINOX, which means FK4 or FK5 where nothing else is said."""
    notes = []
    frame, old = (str(header.get(key, "")).strip().upper() for key in ("RADESYS", "RADECSYS"))
    if frame and old and frame != old:
        notes.append(f"RADESYS = {frame} and RADECSYS = {old}: RADESYS is taken")
    if frame:
        _without(header, ["RADECSYS"])
    if not _types(header)[0].startswith(("RA", "DEC")):
        return notes
    key = "EQUINOX" if "EQUINOX" in header else "EPOCH"
    equinox = header.get(key)
    if not isinstance(equinox, int | float) or equinox == 2000.0:
        return notes
    if not (frame or old):
        taken = "FK4" if equinox < 1984.0 else "FK5"  # FITS standard 4.0, section 8.3
        notes.append(f"{key} = {equinox:g} without RADESYS: positions are taken for {taken} of that equinox")
    elif (frame or old) == "ICRS":
        notes.append(f"RADESYS = ICRS, which has no equinox, but {key} = {equinox:g}: that is ignored")
    return notes


def _settle_pv(header: fits.Header, shape: tuple[int, int]) -> list[str]:
    """PV terms under TAN: SCAMP's polynomial, which is TPV by its right name, or leftovers of it."""
    terms = _named(header, PV)
    if not terms or _projection(header) != "TAN":
        return []
    if all(kind.endswith("-SIP") for kind in _types(header)):
        _without(header, terms)
        return [f"both SIP coefficients and PV terms ({terms[0]} …): the PV terms are ignored"]
    plain = header.copy()
    _without(plain, terms)
    if any(SCAMP.fullmatch(term) for term in terms):
        for key in ("CTYPE1", "CTYPE2"):
            header[key] = str(header[key]).replace("TAN", "TPV")
        taken = "they are applied as SCAMP's polynomial (TPV)"
    else:
        taken = "they are applied as the standard says"
    if _moved(header, plain, shape) < MOVED:
        return []
    return [f"PV terms ({', '.join(terms[:3])} …) under CTYPE TAN: {taken}"]


def _moved(header: fits.Header, other: fits.Header, shape: tuple[int, int]) -> float:
    """How far the corners of an image lie apart, in pixels, by two headers."""
    x, y = np.array([0.0, shape[1], 0.0, shape[1]]), np.array([0.0, 0.0, shape[0], shape[0]])
    there, back = _read(header), _read(other)
    with silenced():
        again = back.all_world2pix(*there.all_pix2world(x, y, 0), 0, quiet=True)
    return float(np.nan_to_num(np.hypot(again[0] - x, again[1] - y), nan=np.inf).max())


def _pole_notes(header: fits.Header, wcs: WCS) -> list[str]:
    """A pole of the native sky that is not where zenithal projections have it turns the whole image."""
    if "LONPOLE" not in header or _projection(header) not in ZENITHAL:
        return []
    pole, usual = float(header["LONPOLE"]), 0.0 if wcs.wcs.crval[wcs.wcs.lat] >= 90.0 else 180.0
    if abs((pole - usual + 180.0) % 360.0 - 180.0) < TURNED:
        return []
    return [f"LONPOLE = {pole:g}, where {usual:g} is usual, turns the sky: it is applied as it stands"]
