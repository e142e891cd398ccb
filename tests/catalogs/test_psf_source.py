"""PSFs that vary from object to object: what would give an object another's PSF, or read a file that is none without a word."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

from catalogs import inspect_rows
from catalogs.errors import CorruptFile, Fault, FileChanged, Refused
from catalogs.identity import identity
from catalogs.inspect import inspect
from catalogs.madeof import as_metadata
from catalogs.psf import read_psf
from catalogs.psf_source import PSFSource
from catalogs.psfex import PSFExModel
from catalogs.release import Release
from catalogs.slices import slices_of
from catalogs.survey import Survey
from tests.catalogs.conftest import everything
from tests.catalogs.psfs import blob, varying, write_psfex


@pytest.fixture
def look(tiny):
    """`look(path=…)` or `look(fwhm=…)` inspects the tiny release with PSFs of objects."""

    def look(path: str | None = None, fwhm: str | None = None, **sections: dict[str, Any]) -> Release:
        survey = Survey.model_validate(tiny.config(**sections)["survey"])
        return inspect(survey, str(tiny.folder), PSFSource("r", str(tiny.folder), path, fwhm))

    return look


@pytest.fixture
def fails(look):
    def fails(*args: Any, **kwargs: Any) -> Fault:
        with pytest.raises(Refused) as refused:
            look(*args, **kwargs)
        (fault,) = refused.value.faults
        assert fault.remedy
        return fault

    return fails


def psfs_of(objects: pa.Table) -> dict[int, np.ndarray | None]:
    """The PSF of each object."""
    lists = objects["stamp_psf"].to_pylist()
    found = [None if one is None else np.array(one, np.float32) for one in lists]
    return dict(zip(objects["object_id"].to_pylist(), found, strict=True))


def named(tiny, names: list[str]) -> None:
    tiny.table["PSF_FILE"] = names
    tiny.write(2)


def test_object_has_the_psf_of_another_file(tiny, look) -> None:
    (tiny.folder / "psf").mkdir()
    for i in range(3):
        fits.PrimaryHDU(blob(9 + 2 * i, 2.0 + i)).writeto(tiny.folder / f"psf/r_{i}.fits")
    named(tiny, [f"0{i % 3}" if i else "" for i in range(64)])
    release = look("psf/{band}_{PSF_FILE[1:]}.fits")
    assert release.psf_values == 13**2
    assert sorted(name for name in release.images if "psf" in name) == [f"psf/r_{i}.fits" for i in range(3)]
    assert [note for note in release.notes if "no_psf" in note] == [
        "1 objects have no value that names its PSF (column PSF_FILE): no Sérsic fit, flag no_psf."
    ]
    found = psfs_of(everything(release))
    assert found[1] is None
    for i in range(1, 64):
        np.testing.assert_array_equal(
            found[i + 1], read_psf(str(tiny.folder / f"psf/r_{i % 3}.fits")).ravel()
        )
    for rows in (1, 5, 64):
        again = psfs_of(everything(release, rows))
        assert {k: v is None or v.tobytes() for k, v in again.items()} == {
            k: v is None or v.tobytes() for k, v in found.items()
        }


@pytest.mark.parametrize("position", ["sky", "pixel"])
def test_model_is_evaluated_elsewhere_than_at_the_object(tiny, look, position: str) -> None:
    path = write_psfex(tiny.folder / "m.psf", varying())
    for name, shift in (
        ("X_IMAGE", 0.25),
        ("Y_IMAGE", 0.25),
        ("RA", -0.25 * 0.2 / 3600),
        ("DEC", 0.25 * 0.2 / 3600),
    ):
        tiny.table[name] += shift
    tiny.write(2)
    release = look("m.psf", images={"position": position, "pixel_scale": 0.2})
    model = read_psf(str(path))
    assert isinstance(model, PSFExModel)
    found = psfs_of(everything(release))
    x, y = (np.array(tiny.table[name], float) for name in ("X_IMAGE", "Y_IMAGE"))
    wanted = model.at([x + 0.25, y + 0.25], 64)  # the middle of their stamps, of an even side
    for i, psf in enumerate(wanted):
        np.testing.assert_array_equal(found[i + 1], psf.ravel())
    for rows in (1, 7):
        again = psfs_of(everything(release, rows))
        assert all((again[k] == found[k]).all() for k in found)


def test_model_of_a_column_is_evaluated_with_another(tiny, look, fails) -> None:
    masks = varying()[:2]
    write_psfex(tiny.folder / "m.psf", masks, names=("MAG",), zero=(20.0,), scale=(0.3,), degree=1)
    found = psfs_of(everything(look("m.psf")))
    model = read_psf(str(tiny.folder / "m.psf"))
    assert isinstance(model, PSFExModel)
    np.testing.assert_array_equal(found[7], model.at([np.array(tiny.table["MAG"][6:7])], 1).ravel())
    for name, told in (("AIRMASS", "no such column"), ("TILE", "is string, not a number")):
        write_psfex(tiny.folder / "m.psf", masks, names=(name,), zero=(20.0,), scale=(0.3,), degree=1)
        fault = fails("m.psf")
        assert (fault.column, told in fault.problem, "m.psf" in fault.problem) == (name, True, True)


def test_what_is_no_psf_is_found_in_the_middle_of_a_run(tiny, fails) -> None:
    (tiny.folder / "text.fits").write_text("no FITS")
    fits.PrimaryHDU(np.ones((5, 7))).writeto(tiny.folder / "long.fits")
    fits.PrimaryHDU(np.zeros((5, 5))).writeto(tiny.folder / "dark.fits")
    fits.PrimaryHDU(blob(9, 3.0)).writeto(tiny.folder / "good.fits")
    for name, told in (
        ("text", "cannot be read"),
        ("long", "7 x 5 pixels: PSFs that vary must be square"),
        ("dark", "no light"),
        ("absent", "this PSF is missing"),
    ):
        named(tiny, [name if i == 40 else "good" for i in range(64)])
        fault = fails("{PSF_FILE}.fits")
        assert (fault.file, told in fault.problem) == (str(tiny.folder / f"{name}.fits"), True)
    assert "Did you mean 'PSF_FILE'" in fails("{PSF_FIL}.fits").remedy
    assert "{PSF_FIL} in [measure] psf" in fails("{PSF_FIL}.fits").problem
    assert "whole numbers, not string" in fails("{PSF_FILE:03d}.fits").problem
    named(tiny, [""] * 64)
    assert "no object has a value that names its PSF" in fails("{PSF_FILE}.fits").problem


def test_file_that_changed_is_read(tiny, look) -> None:
    for name in "ab":
        fits.PrimaryHDU(blob(9, 3.0)).writeto(tiny.folder / f"{name}.fits")
    named(tiny, ["a"] * 32 + ["b"] * 32)
    release = look("{PSF_FILE}.fits")
    path = tiny.folder / "b.fits"
    fits.PrimaryHDU(blob(9, 4.0)).writeto(path, overwrite=True)
    os.utime(path, ns=(1, 1))
    with pytest.raises(FileChanged, match=r"b\.fits"):
        everything(release)
    path.unlink()
    with pytest.raises(CorruptFile, match=r"b\.fits: this PSF is missing"):
        everything(release)


def test_width_in_another_unit_is_taken_for_arcsec(tiny, look, fails) -> None:
    widths = np.linspace(0.5, 1.0, 64)
    widths[[3, 4, 5, 6]] = [np.nan, -99.0, 0.0, 1e4]
    for unit, each, scale in (("", 1, 0.2), ("arcsec", 1, 0.2), ("deg", 3600, 0.2), ("pixel", 1, 1.0)):
        tiny.table["SEEING"] = widths / each
        tiny.table["SEEING"].unit = unit or None
        tiny.write(2)
        release = look(fwhm="SEEING")
        assert next(note for note in release.notes if "no_psf" in note).startswith(
            "4 objects have no FWHM of 0.01 to 32 pixels"
        )
        found = everything(release)["stamp_fwhm"].to_pylist()
        assert [i for i, width in enumerate(found) if width is None] == [3, 4, 5, 6]
        assert found[0] == pytest.approx(0.5 / scale)
        if unit in ("", "pixel"):
            unknown = everything(look(fwhm="SEEING", images={"position": "pixel", "pixel_scale": "unknown"}))
            assert unknown["stamp_fwhm"][0].as_py() == 0.5
    tiny.table["SEEING"].unit = "arcsec"
    tiny.write(2)
    assert (
        "pixel_scale is unknown"
        in fails(fwhm="SEEING", images={"position": "pixel", "pixel_scale": "unknown"}).problem
    )
    tiny.table["SEEING"].unit = "mag"
    tiny.write(2)
    assert "is no angle" in fails(fwhm="SEEING").problem
    assert fails(fwhm="TILE").problem == "must be a number for [measure] fwhm, not string"
    assert "which [measure] fwhm = 'SEING' names" in fails(fwhm="SEING").problem
    tiny.table["SEEING"] = np.full(64, -1.0)
    tiny.write(2)
    fault = fails(fwhm="SEEING")
    assert (fault.column, fault.value) == ("SEEING", "-1 to -1")


def test_large_release_reads_what_is_no_psf(tiny, look, monkeypatch) -> None:
    """A plan of a large release looks at no rows: slices say the same, when they come to it."""
    monkeypatch.setattr(inspect_rows, "LOOKED_AT", 0)
    fits.PrimaryHDU(np.ones((5, 7))).writeto(tiny.folder / "long.fits")
    write_psfex(
        tiny.folder / "m.fits", varying()[:2], names=("AIRMASS",), zero=(1.0,), scale=(1.0,), degree=1
    )
    for name, told in (
        ("long", "PSFs that vary must be square"),
        ("absent", "this PSF is missing"),
        ("m", "varies with 'AIRMASS', which is no column of numbers"),
    ):
        named(tiny, [name] * 64)
        release = look("{PSF_FILE}.fits")
        assert (release.images, release.psf_values) == ({}, 64**2)
        with pytest.raises(CorruptFile, match=told):
            everything(release)
    fits.PrimaryHDU(blob(9, 3.0)).writeto(tiny.folder / "good.fits")
    named(tiny, ["good"] * 64)
    release = look("{PSF_FILE}.fits")
    for piece in slices_of(release.shards, 64):
        assert release.read(piece).schema.metadata == as_metadata(
            {name: identity(str(tiny.folder / name)) for name in ("good.fits", "images/t0_r.fits")}
        )
