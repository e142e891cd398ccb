"""A header that contradicts itself never shows another piece of sky without a word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from catalogs.celestial import BadWCS, celestial, readable
from tests.catalogs.conftest import everything
from tests.conftest import wcs_header

SHAPE = (1000, 1000)
SIP = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-4, "B_0_2": 1e-4}
TAN_SIP = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}
SCAMP = {"PV1_0": 0.001, "PV1_1": 1.0, "PV1_4": 0.01, "PV2_0": 0.001, "PV2_1": 1.0}
NO_FRAME = {"RADESYS": None}


def header(**cards: Any) -> fits.Header:
    made = fits.Header(wcs_header(*SHAPE))
    for key, value in cards.items():
        if value is None:
            made.remove(key, ignore_missing=True)
        else:
            made[key] = value
    return made


def corners(cards: dict[str, Any]) -> np.ndarray:
    wcs, _ = celestial(header(**cards), SHAPE)
    assert wcs is not None
    return np.array(wcs.all_pix2world([0, 1000], [0, 1000], 0))


@pytest.mark.parametrize(
    ("cards", "like", "told"),
    [
        (SIP, {}, "SIP coefficients (A_2_0 …), but CTYPE has no -SIP: they are ignored"),
        (TAN_SIP, {}, "no SIP coefficients"),
        ({**TAN_SIP, **SIP, "PV1_1": 1.0, "PV1_4": 0.1}, {**TAN_SIP, **SIP}, "the PV terms are ignored"),
        (SCAMP, {**SCAMP, "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV"}, "applied as SCAMP's polynomial (TPV)"),
        ({"PV1_3": 90.0}, {"LONPOLE": 90.0}, "PV terms (PV1_3 …) under CTYPE TAN"),
        ({"LONPOLE": 0.0}, None, "LONPOLE = 0, where 180 is usual"),
        ({"CROTA2": 30.0, "PC1_1": 1.0, "PC2_2": 1.0}, {}, "the matrix is taken"),
        ({"RADESYS": "ICRS", "RADECSYS": "FK4"}, {}, "RADESYS is taken"),
        ({"EQUINOX": 1950.0, **NO_FRAME}, None, "taken for FK4"),
        ({"EQUINOX": 2015.5, **NO_FRAME}, None, "taken for FK5"),
        ({"EPOCH": 1950.0, **NO_FRAME}, None, "taken for FK4"),
        ({"EQUINOX": 1950.0}, {}, "that is ignored"),
    ],
)
def test_a_contradiction_is_noted_and_taken_as_the_note_says(cards, like, told):
    _, (note,) = celestial(header(**cards), SHAPE)
    assert told in note
    if like is not None:
        np.testing.assert_allclose(corners(cards), corners(like), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("cards", "told"),
    [
        ({"CD1_1": -1e-4, "CD2_2": 1e-4}, "a PC and a CD matrix that differ"),
        ({**SIP, "CTYPE1": "RA---TAN-SIP"}, "CTYPE1 and CTYPE2 are RA---TAN-SIP and DEC--TAN"),
        ({"CDELT1": None, "CDELT2": None, "PC1_1": None, "PC2_2": None}, "without a pixel scale"),
        ({"CRVAL1": None, "CRVAL2": None}, "without a position"),
        ({"RADESYS": "J2000"}, "cannot be used"),
        ({**TAN_SIP, "A_ORDER": 2}, "B_ORDER"),
    ],
)
def test_a_contradiction_that_nobody_can_resolve_is_refused(cards, told):
    made = header(PC1_1=1.0, PC2_2=1.0, **{k: v for k, v in cards.items() if k not in ("PC1_1", "PC2_2")})
    for key in ("PC1_1", "PC2_2") if cards.get("PC1_1", 1.0) is None else ():
        del made[key]
    with pytest.raises(BadWCS, match=told):
        celestial(made, SHAPE)


@pytest.mark.parametrize(
    "cards",
    [
        {},
        {"PV1_1": 1.0, "PV2_1": 1.0},  # SCAMP's identity
        {"EQUINOX": 2000.0, **NO_FRAME},
        {"RADESYS": "FK5", "EQUINOX": 2000.0},
        {"LONPOLE": -180.0},
        {**TAN_SIP, **SIP},
        {"CD1_1": -0.2 / 3600, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.2 / 3600, "PC1_1": 1.0, "PC2_2": 1.0},
        {"CROTA2": 0.0},
        {"EQUINOX": "J2000"},
    ],
)
def test_what_is_no_contradiction_is_not_noted(cards):
    assert celestial(header(**cards), SHAPE)[1] == ()


def test_a_header_without_the_sky_has_no_wcs():
    assert celestial(fits.Header({"NAXIS": 2}), SHAPE) == (None, ())
    assert celestial(header(CTYPE1="LINEAR", CTYPE2="LINEAR", CDELT1=None, CDELT2=None), SHAPE) == (None, ())


def test_sip_left_over_in_a_mosaic_moves_no_stamp_and_is_noted_once(look, tiny):
    tile = tiny.folder / "images" / "t0_r.fits"
    plain = look()
    assert plain.notes == ()
    expected = everything(plain, 64)
    with fits.open(tile, mode="update") as file:
        file[0].header.update(SIP)
    left = look()
    (note,) = left.notes
    assert note.startswith(f"{tile}: SIP coefficients")
    assert everything(left, 64).equals(expected)


def test_one_note_is_enough_for_many_tiles(look, tiny):
    tiny.table["TILE"] = [f"t{i % 3}" for i in range(64)]
    tiny.write(2)
    pixels = fits.getdata(tiny.folder / "images" / "t0_r.fits")
    for number in range(3):
        made = fits.PrimaryHDU(pixels, wcs_header(320, 320))
        made.header.update(SIP)
        made.writeto(tiny.folder / "images" / f"t{number}_r.fits", overwrite=True)
    (note,) = look().notes
    assert "t0_r.fits and 2 more files: SIP" in note


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CRPIX1", "T"),
        ("CRVAL2", True),
        ("CD1_1", 1e300),
        ("PV2_1", "0.1"),
        ("CUNIT1", 3),
        ("A_ORDER", 135_194),
        ("A_ORDER", -1),
        ("CPDIS1", "LOOKUP"),
    ],
)
def test_wcslib_never_sees_what_crashes_it(key, value):
    with pytest.raises(BadWCS, match=key):
        celestial(header(**{**({**TAN_SIP, **SIP} if key == "A_ORDER" else {}), key: value}), SHAPE)


def test_cards_that_wcslib_rejects_change_nothing_and_are_not_shown_to_it():
    strange = {"EQUINOX": "J2000", "LATPOLE": "unknown", "PC01_01": "x" * 60}
    # wcslib's report of these alone is longer than the memory that it has for it
    strange |= {f"CRPIX{number}": "nonsense" for number in range(100, 140)}
    np.testing.assert_array_equal(corners(strange), corners({}))
    assert not [card for card in readable(header(**strange)).cards if "nonsense" in str(card.value)]
