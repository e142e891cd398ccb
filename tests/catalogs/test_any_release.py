"""Whatever stands in the headers of a release's files, it is read or refused in plain words: no input ends in a traceback."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn
from hypothesis import example, given
from hypothesis import strategies as st

from catalogs.errors import Refused, TuningforkError
from catalogs.inspect import inspect
from catalogs.survey import Survey
from tests.catalogs.conftest import everything
from tests.conftest import TinyRelease
from tests.fuzz import fuzz

VALUES = st.one_of(
    st.sampled_from([0, 1, -1, 2, 16, 2**15, 2**31, 2**63, 999_999, -(2**31), 1e-300, 1e300, 0.5]),
    st.integers(-(2**64), 2**64),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.sampled_from(
        ["", "deg", "rad", "RA---TAN", "DEC--TAN", "RA---TAN-SIP", "DEC--TPV", "GLON-CAR", "FK4", "ICRS"]
    ),
    st.sampled_from(["J", "1024I", "5A", "PE(9)", "1L", "(32,32)", "(0)", "RICE_1", "GZIP_2", "I10", "SCI"]),
    st.text("abc'()[]{}0159,.-+ ", max_size=20),
)
TILE_CARDS = st.sampled_from(
    [
        *("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "BSCALE", "BZERO", "BLANK", "XTENSION", "EXTNAME", "PCOUNT"),
        *("CTYPE1", "CTYPE2", "CRVAL1", "CRPIX2", "CDELT1", "CD1_1", "CD2_2", "PC1_1", "PC2_1", "CROTA2"),
        *("LONPOLE", "LATPOLE", "PV1_1", "PV2_1", "PV1_3", "A_ORDER", "B_ORDER", "A_1_1", "AP_ORDER"),
        *("RADESYS", "RADECSYS", "EQUINOX", "EPOCH", "CUNIT1", "WCSAXES", "ZIMAGE", "ZCMPTYPE", "ZTILE1"),
        *("ZBITPIX", "ZNAXIS", "ZNAXIS1", "ZBLANK", "ZVAL1", "ZQUANTIZ", "THEAP", "TFIELDS", "MJD-OBS"),
    ]
)
TABLE_CARDS = st.builds(
    "{}{}".format,
    st.sampled_from(["TTYPE", "TFORM", "TUNIT", "TNULL", "TZERO", "TSCAL", "TDIM", "NAXIS", "THEAP"]),
    st.integers(1, 9),
)


@pytest.fixture(scope="module")
def releases(tmp_path_factory) -> dict[str, Path]:
    """A release with a plain tile, and one with a tile-compressed one; catalogs of many kinds of columns."""
    made = {}
    for kind in ("plain", "compressed"):
        tiny = TinyRelease(tmp_path_factory.mktemp(kind) / "release", per_side=3)
        tiny.table["MASKED"] = MaskedColumn(np.arange(9, dtype=np.uint16), mask=np.arange(9) == 2)
        tiny.table["VECTOR"] = np.zeros((9, 8, 8), np.int16)
        tiny.table["HDU"] = np.zeros(9, np.int32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tiny.write(1)
        tile = tiny.folder / "images" / "t0_r.fits"
        if kind == "compressed":
            pixels, header = fits.getdata(tile, header=True)
            hdu = fits.CompImageHDU(np.round(pixels).astype(np.uint16), header)
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tile, overwrite=True)
        made[kind] = tiny.folder
    return made


SURVEYS = {
    "tiles": {"layout": "tiles", "path": "images/{TILE}_{band}.fits"},
    "pixel": {"layout": "tiles", "path": "images/{TILE}_{band}.fits", "position": "pixel", "pixel_scale": "wcs"},
    "column": {"layout": "column", "column": "VECTOR", "pixel_scale": "unknown"},
    "extensions": {"layout": "extensions", "path": "../images/{TILE}_{band}.fits", "hdu_column": "HDU", "pixel_scale": 1.0},
}  # fmt: skip


def read_or_refused(folder: Path, layout: str) -> None:
    values = {
        "catalogs": "catalogs/*.fits",
        "id": "NUMBER",
        "ra": "RA",
        "dec": "DEC",
        "where": "MAG < 99 OR MASKED > 3",
        "keep": ["MASKED", "MAG"],
        "images": {**SURVEYS[layout], "bands": ["r"], "size": 8},
    }
    told = []
    try:
        release = inspect(Survey.model_validate(values), str(folder))
        found = everything(release)
        assert found.num_rows <= release.rows
        assert np.isfinite(found["stamp"].combine_chunks().flatten().to_numpy()).all()
    except Refused as refused:
        told = [str(fault) for fault in refused.faults if fault.remedy] or [""]
    except TuningforkError as error:
        told = [str(error)]
    assert all(text and "\n" not in text for text in told)


def with_card(path: Path, key: str, value: object) -> None:
    """Put a card into the last header of a file, whatever it says, and leave all else as it is."""
    content = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        card = str(fits.Card(key, value)).encode("ascii", "replace")[:80].ljust(80)
    start = max(content.rfind(b"XTENSION"), 0)
    at = content.find(key.encode().ljust(8) + b"=", start)
    if at < 0:
        at = content.find(b"END".ljust(80), start)
        card += b"END".ljust(80)
        if (at % 2880) + 160 > 2880:
            return
    path.write_bytes(content[:at] + card + content[at + len(card) :])


def mutated(releases, tmp_path_factory, kind: str) -> Path:
    folder = tmp_path_factory.mktemp("any") / "release"
    shutil.copytree(releases[kind], folder)
    return folder


@given(
    kind=st.sampled_from(["plain", "compressed"]),
    layout=st.sampled_from(["tiles", "pixel", "extensions"]),
    cards=st.lists(st.tuples(TILE_CARDS, VALUES), min_size=1, max_size=3),
)
@example(kind="compressed", layout="tiles", cards=[("ZBLANK", 0.0)])  # astropy warns of it
@fuzz(40)
def test_any_card_of_a_tile_is_read_or_refused(releases, tmp_path_factory, kind, layout, cards):
    folder = mutated(releases, tmp_path_factory, kind)
    for key, value in cards:
        with_card(folder / "images" / "t0_r.fits", key, value)
    read_or_refused(folder, layout)
    shutil.rmtree(folder)


@given(
    layout=st.sampled_from(list(SURVEYS)),
    cards=st.lists(st.tuples(TABLE_CARDS, VALUES), min_size=1, max_size=3),
)
@example(layout="tiles", cards=[("TSCAL2", 1.2e306)])  # NumPy warns of it
@fuzz(40)
def test_any_card_of_a_catalog_is_read_or_refused(releases, tmp_path_factory, layout, cards):
    folder = mutated(releases, tmp_path_factory, "plain")
    for key, value in cards:
        with_card(folder / "catalogs" / "s00.fits", key, value)
    read_or_refused(folder, layout)
    shutil.rmtree(folder)
