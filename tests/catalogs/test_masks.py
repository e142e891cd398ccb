"""Masks: bad pixels are never light, whichever file and bits say so; and a mask that is not the tile's is refused."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from catalogs.errors import FileChanged, Refused
from catalogs.flags import Flag
from tests.catalogs.conftest import everything

DIRT = np.s_[12:15, 16:30]  # a streak beside the first object, which lies at (20, 20)
PIXEL = {"position": "pixel", "pixel_scale": 0.2}
BEHIND = {**PIXEL, "mask": {"hdu": "DQ"}}
BESIDE = {**PIXEL, "mask": {"path": "images/{TILE}_{band}_mask.fits"}}


def values(folder: Path) -> tuple[np.ndarray, fits.Header]:
    return fits.getdata(folder / "images" / "t0_r.fits", header=True)


def with_mask(folder: Path, kind: str = "DQ", value: int = 1, dtype: Any = np.int16, **header: Any) -> None:
    """Draw a streak on the tile and write a mask of it, behind the image or beside it."""
    pixels, head = values(folder)
    pixels[DIRT] = 5000
    mask = np.zeros(pixels.shape, dtype)
    mask[DIRT] = value
    mask_header = fits.Header(list(header.items()))
    science, path = fits.ImageHDU(pixels, head, name="SCI"), folder / "images" / "t0_r.fits"
    if kind == "beside":
        fits.PrimaryHDU(pixels, head).writeto(path, overwrite=True)
        fits.PrimaryHDU(mask, mask_header).writeto(folder / "images" / "t0_r_mask.fits", overwrite=True)
        return
    plane = (fits.CompImageHDU if kind == "compressed" else fits.ImageHDU)(mask, mask_header, name="DQ")
    fits.HDUList([fits.PrimaryHDU(), science, plane]).writeto(path, overwrite=True)


def stamp(found: Any, row: int = 0) -> np.ndarray:
    return np.asarray(found["stamp"][row].as_py()).reshape(32, 32)


INTEGERS = [np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64]
# FITS has no tile compression of 64-bit integers.
KINDS = [("DQ", BEHIND, dtype) for dtype in INTEGERS]
KINDS += [("compressed", BEHIND, dtype) for dtype in INTEGERS[:-1]]
KINDS += [("beside", BESIDE, dtype) for dtype in INTEGERS]


@pytest.mark.parametrize(("kind", "layout", "dtype"), KINDS)
def test_masked_pixels_are_light(objects, tiny, kind, layout, dtype):
    clean = objects(images=PIXEL)
    with_mask(tiny.folder, kind, dtype=dtype)
    assert stamp(objects(images=PIXEL)).max() > 4000
    found = objects(images=layout)
    one = stamp(found)
    assert one.max() < 200
    dirt = np.s_[8:11, 12:26]  # the stamp begins at pixel 4
    assert (one[dirt] == 0).all()
    rest = np.ones((32, 32), bool)
    rest[dirt] = False
    np.testing.assert_allclose(one[rest], stamp(clean)[rest], atol=0.5)  # the border's median moves a little
    flagged = found["flags"].to_numpy() & Flag.BAD_PIXELS > 0
    assert flagged[0]
    assert flagged.sum() <= 4  # the objects around the streak


@pytest.mark.parametrize(
    ("bits", "header", "value", "bad"),
    [
        ([], {}, 64, True),
        ([0], {}, 1, True),
        ([1], {}, 1, False),
        ([3, 6], {}, 64, True),
        (["SAT"], {"MP_SAT": 6}, 64, True),
        (["SAT"], {"MP_SAT": 5}, 64, False),
        (["CR", 0], {"CR": 6, "MP_SAT": 5}, 64, True),
        ([15], {}, -(2**15), True),
    ],
)
def test_bit_that_counts_is_another(objects, tiny, bits, header, value, bad):
    with_mask(tiny.folder, value=value, **header)
    found = objects(images={**PIXEL, "mask": {"hdu": "DQ", "bits": bits}})
    assert (stamp(found).max() < 200) == bad


@pytest.mark.parametrize(
    ("case", "layout", "says"),
    [
        ("none", BEHIND, "has no two-dimensional image in HDU 'DQ'"),
        ("missing", BESIDE, "this mask is missing"),
        ("shape", BEHIND, "the mask has 319 x 320 pixels"),
        ("floats", BEHIND, "is of floats, not of bits"),
        ("wcs", BEHIND, "pixels beside those of"),
        ("name", {"mask": {"hdu": "DQ", "bits": ["CR"]}}, "no bit 'CR' (MP_CR): it names BAD, SAT"),
    ],
)
def test_mask_of_something_else_is_taken(look, tiny, case, layout, says):
    if case != "none":
        with_mask(tiny.folder, MP_SAT=1, MP_BAD=0)
    path = tiny.folder / "images" / "t0_r.fits"
    if case in ("shape", "floats", "wcs"):
        with fits.open(path) as hdus:
            mask, header = hdus["DQ"].data, fits.Header()
            if case == "shape":
                mask = mask[:, :-1]
            elif case == "floats":
                mask = mask.astype(np.float32)
            else:
                header = hdus["SCI"].header.copy()
                header["CRPIX1"] += 3
            new = fits.HDUList(
                [fits.PrimaryHDU(), hdus["SCI"].copy(), fits.ImageHDU(mask, header, name="DQ")]
            )
        new.writeto(path, overwrite=True)
    with pytest.raises(Refused) as refused:
        look(images=layout)
    assert says in str(refused.value)
    assert all(fault.remedy for fault in refused.value.faults)


def test_mask_for_stamps_without_tiles_is_ignored(look):
    with pytest.raises(ValueError, match='hdu is not for layout = "column"'):
        look(images={**BEHIND, "layout": "column", "column": "IMAGE", "pixel_scale": 1.0})
    with pytest.raises(ValueError, match="neither path nor hdu"):
        look(images={"mask": {"bits": [1]}})


def test_mask_that_changed_is_read(look, tiny):
    with_mask(tiny.folder, "beside")
    release = look(images=BESIDE)
    path = tiny.folder / "images" / "t0_r_mask.fits"
    with fits.open(path) as hdus:
        fits.PrimaryHDU(hdus[0].data[:, :] + np.int16(2)).writeto(path, overwrite=True)
    os.utime(path, ns=(1, 1))
    with pytest.raises(FileChanged, match="t0_r_mask"):
        everything(release)


def test_a_plane_of_lsst_with_a_long_name_is_unknown(objects, tiny):
    with_mask(
        tiny.folder, value=1 << 9, **{"HIERARCH MP_DETECTED_NEGATIVE": 6, "HIERARCH MP_BRIGHT_OBJECT": 9}
    )
    named = {**PIXEL, "mask": {"hdu": "DQ", "bits": ["BRIGHT_OBJECT"]}}
    assert stamp(objects(images=named)).max() < 200
    named["mask"]["bits"] = ["DETECTED_NEGATIVE"]
    assert stamp(objects(images=named)).max() > 4000


def test_names_of_pan_starrs_are_unknown(objects, fails, tiny):
    names = {"MSKNUM": 2, "MSKNAM00": "SAT", "MSKVAL00": 32, "MSKNAM01": "CONV.BAD", "MSKVAL01": 8192}
    with_mask(tiny.folder, value=8192, dtype=np.uint16, **names)
    named = {**PIXEL, "mask": {"hdu": "DQ", "bits": ["SAT", "CONV.BAD"]}}
    assert stamp(objects(images=named)).max() < 200
    named["mask"]["bits"] = ["SAT"]
    assert stamp(objects(images=named)).max() > 4000
    named["mask"]["bits"] = ["SPIKE"]
    assert "it names CONV.BAD, SAT" in fails(images=named).problem


def inverted(folder: Path) -> None:
    with fits.open(folder / "images" / "t0_r.fits", mode="update") as file:
        file["DQ"].data = 1 - file["DQ"].data


def test_a_mask_of_good_pixels_is_one_of_bad_ones(objects, tiny):
    with_mask(tiny.folder)
    bad = objects(images=BEHIND)
    inverted(tiny.folder)
    assert objects(images={**PIXEL, "mask": {"hdu": "DQ", "good": True}}).equals(bad)


def test_a_mask_that_leaves_no_pixel_costs_a_run(fails, tiny):
    with_mask(tiny.folder, value=0)
    inverted(tiny.folder)
    fault = fails(images=BEHIND)
    assert "leaves no pixel of any of 16 objects" in fault.problem
    assert "good = true" in fault.remedy
