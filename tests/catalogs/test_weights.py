"""Weight maps: each pixel's own noise, whichever number says it and wherever it lies; and a map that is not the images' is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from astropy.io import fits

from catalogs.errors import CorruptFile, Refused
from catalogs.flags import Flag
from catalogs.stamps import stamps_of
from tests.catalogs.conftest import everything

SCALE = 0.003  # of the image, so that no kind's numbers look like another's
HOLE = np.s_[18:20, 24:27]  # beside the first object, which lies at (20, 20); its stamp begins at pixel 4
PIXEL = {"position": "pixel", "pixel_scale": 0.2}
KINDS = {"rms": 1.0, "variance": 2.0, "inverse-variance": -2.0}
INSIDE = {**PIXEL, "hdu": "SCI"}


def sigma() -> np.ndarray:
    """The noise of the tile: a step of three to the right of pixel 160, and twice as much upwards."""
    y, x = np.mgrid[0:320, 0:320]
    return SCALE * np.where(x < 160, 1.0, 3.0) * (1 + y / 320)


def with_weights(folder: Path, kind: str = "rms", hole: float | None = None, dtype: Any = np.float32) -> None:
    """Give the tile noise of this depth, and write it in HDUs SCI, WHT and DQ."""
    path = folder / "images" / "t0_r.fits"
    pixels, header = fits.getdata(path, header=True)
    noise = np.random.default_rng(3).normal(size=pixels.shape) * sigma()
    blobs = np.where(pixels > 3, pixels, 0) * SCALE * 0.2
    weights = sigma() ** KINDS[kind]
    if hole is not None:
        weights[HOLE] = hole
    mask = np.zeros(pixels.shape, np.int16)
    mask[30, :40] = 4
    planes = {"SCI": (blobs + noise).astype(np.float32), "WHT": weights.astype(dtype), "DQ": mask}
    hdus = [fits.ImageHDU(plane, header, name=name) for name, plane in planes.items()]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)


def weighted(kind: str = "rms", **keys: Any) -> dict[str, Any]:
    return {**INSIDE, "weight": {"kind": kind, "hdu": "WHT", **keys}}


def planes(found: pa.Table, name: str) -> np.ndarray:
    return np.stack(found[name].to_numpy(zero_copy_only=False)).reshape(len(found), 32, 32)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_noise_is_another(objects, tiny, kind, dtype):
    with_weights(tiny.folder, kind, dtype=dtype)
    noise = planes(objects(images=weighted(kind)), "stamp_noise")
    np.testing.assert_allclose(noise[0], sigma()[4:36, 4:36], rtol=1e-6)
    np.testing.assert_allclose(noise[4], sigma()[4:36, 164:196], rtol=1e-6)


def test_without_weights_there_is_a_noise_column(objects, tiny):
    with_weights(tiny.folder)
    assert "stamp_noise" not in objects(images=INSIDE).column_names


HOLES = {
    "inverse-variance": [0.0, np.nan, np.inf],
    "variance": [0.0, np.inf, -1.0],
    "rms": [0.0, np.nan, 1e30],
}


@pytest.mark.parametrize(("kind", "hole"), [(kind, hole) for kind, holes in HOLES.items() for hole in holes])
def test_pixel_without_weight_is_data(objects, tiny, kind, hole):
    with_weights(tiny.folder, kind, hole, np.float64)
    found = objects(images=weighted(kind))
    stamps, noise = planes(found, "stamp"), planes(found, "stamp_noise")
    there = np.zeros((32, 32), bool)
    there[14:16, 20:23] = True
    if hole == 1e30:  # nearly nothing is known of it, but that is known
        assert (noise[0] > 0).all()
        return
    assert (stamps[0][there] == 0).all()
    assert np.array_equal(noise[0] == 0, there)
    assert found["flags"][0].as_py() == Flag.BAD_PIXELS
    assert found["flags"][9].as_py() == 0


def test_variance_of_physical_units_underflows(objects, tiny):
    path = tiny.folder / "images" / "t0_r.fits"
    with_weights(tiny.folder, "variance", dtype=np.float64)
    with fits.open(path, mode="update") as file:
        file["SCI"].data = (file["SCI"].data * 1e-21).astype(np.float32)
        file["WHT"].data *= 1e-42
    noise = planes(objects(images=weighted("variance")), "stamp_noise")
    np.testing.assert_allclose(noise[0], 1e-21 * sigma()[4:36, 4:36], rtol=1e-5)


def test_masked_and_outer_pixels_have_noise(objects, tiny):
    with_weights(tiny.folder)
    x = np.array(tiny.table["X_IMAGE"])
    x[0] = 10
    tiny.table["X_IMAGE"] = x
    tiny.write(2)
    found = objects(images={**weighted(), "mask": {"hdu": "DQ", "bits": [2]}})
    noise, stamps = planes(found, "stamp_noise"), planes(found, "stamp")
    assert (noise[0][:, :7] == 0).all()
    assert (noise[0][26] == 0).all()
    assert (noise[0][:26, 7:] > 0).all()
    assert ((noise == 0) <= (stamps == 0)).all()
    assert found["flags"][0].as_py() == Flag.EDGE | Flag.BAD_PIXELS


def layouts(tiny) -> dict[str, dict[str, Any]]:
    """The same stamps, masks and weights in every layout; the release of the last two has vectors and HDUs too."""
    tile = tiny.folder / "images" / "t0_r.fits"
    corners = [
        (round(y) - 17, round(x) - 17)
        for y, x in zip(tiny.table["Y_IMAGE"], tiny.table["X_IMAGE"], strict=True)
    ]
    vectors: dict[str, np.ndarray] = {}
    with fits.open(tile) as file:
        for name in ("SCI", "WHT", "DQ"):
            data = file[name].data
            vectors[name] = np.stack([data[y : y + 32, x : x + 32] for y, x in corners])
            tiny.table[name] = vectors[name].astype(vectors[name].dtype.newbyteorder("="))
    number = np.arange(64)
    tiny.table["HDU"], tiny.table["WHDU"], tiny.table["FILE"] = (
        number + 1,
        64 - number,
        [f"c{i}" for i in number],
    )
    tiny.write(2)
    folder = tiny.folder / "catalogs"
    apart = {"SCI": number, "WHT": number[::-1], "DQ": number}
    for name, order in apart.items():
        hdus = [fits.ImageHDU(vectors[name][i]) for i in order]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(folder / f"{name}.fit")
    for i in number:
        hdus = [fits.ImageHDU(vectors[name][i], name=name) for name in vectors]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(folder / f"c{i}.fit")
    plain = {"path": None, "pixel_scale": 0.2}
    one = {"layout": "extensions", "pixel_scale": 0.2, "hdu_column": "HDU"}
    return {
        "tiles": {**weighted(), "mask": {"hdu": "DQ", "bits": [2]}},
        "column": {
            **plain,
            "layout": "column",
            "column": "SCI",
            "weight": {"column": "WHT", "kind": "rms"},
            "mask": {"column": "DQ", "bits": [2]},
        },
        "files of many": {
            **one,
            "path": "SCI.fit",
            "weight": {"path": "WHT.fit", "hdu_column": "WHDU", "kind": "rms"},
            "mask": {"path": "DQ.fit", "bits": [2]},
        },
        "one file each": {
            **one,
            "path": "{FILE}.fit",
            "hdu_column": "ONE",
            "weight": {"hdu": "WHT", "kind": "rms"},
            "mask": {"hdu": "DQ", "bits": [2]},
        },
    }


def test_layout_changes_stamps_noise_or_flags(objects, tiny):
    with_weights(tiny.folder, hole=0.0)
    tiny.table["ONE"] = np.ones(64, np.int64)
    every = layouts(tiny)
    expected = objects(images=every.pop("tiles"))
    assert (planes(expected, "stamp_noise") == 0).any()
    for name, images in every.items():
        found = objects(images=images)
        for column in ("stamp", "stamp_noise", "flags"):
            assert found[column].equals(expected[column]), (name, column)


def edited(path: Path, hdu: str, change: Any) -> None:
    with fits.open(path) as file:
        hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(h.data, h.header, name=h.name) for h in file[1:])]
    for one in hdus[1:]:
        if one.name == hdu:
            change(one)
    fits.HDUList(hdus).writeto(path, overwrite=True)


@pytest.mark.parametrize(
    ("change", "layout", "says"),
    [
        (None, weighted(hdu="ERR"), "has no two-dimensional image in HDU 'ERR'"),
        (
            None,
            {**INSIDE, "weight": {"kind": "rms", "path": "images/{TILE}.w.fits"}},
            "this weight is missing",
        ),
        (lambda one: setattr(one, "data", one.data[:, 1:]), weighted(), "the weight has 319 x 320 pixels"),
        (lambda one: one.header.__setitem__("CRPIX1", 163.5), weighted(), "pixels beside those of"),
        (lambda one: one.data.__imul__(-1), weighted(), "weights that were looked at are negative"),
        (lambda one: one.data.__imul__(1000), weighted(), "No kind fits"),
        (None, {**weighted(), "mask": {"hdu": "WHT"}}, "is of floats, not of bits"),
    ],
)
def test_map_of_something_else_is_taken(look, tiny, change, layout, says):
    with_weights(tiny.folder)
    if change is not None:
        edited(tiny.folder / "images" / "t0_r.fits", "WHT", change)
    with pytest.raises(Refused) as refused:
        look(images=layout)
    assert says in str(refused.value)
    assert all(fault.remedy for fault in refused.value.faults)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("said", KINDS)
def test_wrong_kind_is_taken(look, fails, tiny, kind, said):
    with_weights(tiny.folder, kind)
    if kind == said:
        assert not any("Weight" in note for note in look(images=weighted(said)).notes)
        return
    fault = fails(images=weighted(said))
    assert fault.key == "survey.images.weight.kind"
    assert fault.value == repr(said)
    assert fault.remedy == f'Set kind = "{kind}"'
    assert re.search(r"would be (0\.9\d*|1(\.[01]\d*)?) times", fault.problem)


def test_wrong_kind_in_another_layout_is_taken(fails, tiny):
    with_weights(tiny.folder, "variance")
    tiny.table["ONE"] = np.ones(64, np.int64)
    for images in [images for name, images in layouts(tiny).items() if name != "tiles"]:
        assert fails(images=images).remedy == 'Set kind = "variance"'


def test_correlated_noise_is_noted(look, tiny):
    with_weights(tiny.folder)
    edited(tiny.folder / "images" / "t0_r.fits", "WHT", lambda one: one.data.__imul__(2))
    (note,) = [note for note in look(images=weighted()).notes if "Weight" in note]
    assert re.search(r"scatter by 0\.[45]\d* times", note)


def test_kind_that_fits_a_little_better_is_kept_secret(look, tiny):
    """With a noise near a fifth, variance and rms differ by two: too little to refuse, enough to be told."""
    with_weights(tiny.folder)
    for name, factor in (("SCI", 25), ("WHT", 25)):
        edited(tiny.folder / "images" / "t0_r.fits", name, lambda one: one.data.__imul__(factor))  # noqa: B023
    (note,) = [note for note in look(images=weighted("variance")).notes if "Weight" in note]
    assert "as 'rms' it would be" in note


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("shape", "the weight has 16 x 64 pixels"),
        ("floats", "the mask is of float, not of bits"),
        ("none", "no such column"),
    ],
)
def test_vector_of_something_else_is_taken(fails, tiny, case, says):
    with_weights(tiny.folder)
    tiny.table["ONE"] = np.ones(64, np.int64)
    images = layouts(tiny)["column"]
    if case == "shape":
        tiny.table["WHT"] = np.array(tiny.table["WHT"]).reshape(64, 64, 16)
    elif case == "floats":
        tiny.table["DQ"] = np.array(tiny.table["DQ"]).astype(np.float32)
    else:
        tiny.table.remove_column("WHT")
    tiny.write(2)
    assert says in fails(images=images).problem


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("shape", "the weight in HDU 'WHT' has 31 x 32 pixels, but HDU 1 of"),
        ("none", "the file has no HDU 'WHT'"),
        ("floats", "is of floats, not of bits"),
        ("missing", "this weight is missing"),
    ],
)
def test_hdu_of_something_else_is_taken(fails, tiny, case, says):
    with_weights(tiny.folder)
    tiny.table["ONE"] = np.ones(64, np.int64)
    every = layouts(tiny)
    images, path = every["one file each"], tiny.folder / "catalogs" / "c40.fit"
    if case == "shape":
        edited(path, "WHT", lambda one: setattr(one, "data", one.data[:, 1:]))
    elif case == "none":
        edited(path, "WHT", lambda one: setattr(one, "name", "OTHER"))
    elif case == "floats":
        edited(path, "DQ", lambda one: setattr(one, "data", one.data.astype(np.float32)))
    else:
        images = every["files of many"]
        (tiny.folder / "catalogs" / "WHT.fit").unlink()
    assert says in fails(images=images).problem


def test_map_that_breaks_after_the_plan_loses_more_than_its_slice(look, tiny):
    with_weights(tiny.folder)
    release = replace(look(images=weighted()), images={})
    edited(tiny.folder / "images" / "t0_r.fits", "WHT", lambda one: setattr(one, "data", one.data[1:]))
    with pytest.raises(CorruptFile, match=r"t0_r\.fits: the weight has 320 x 319 pixels"):
        everything(release)


def test_negative_weight_after_the_plan_is_flagged(look, tiny):
    with_weights(tiny.folder)
    release = replace(look(images=weighted()), images={})
    edited(tiny.folder / "images" / "t0_r.fits", "WHT", lambda one: one.data.__setitem__(HOLE, -1))
    found = everything(release)
    assert found["flags"][0].as_py() == Flag.BAD_PIXELS
    table = release.shards[0].table
    rows = table.read(0, 1, release.columns.names)
    assert stamps_of(release.survey, rows, release.folder).negative.tolist() == [6]


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ({"weight": {"hdu": "WHT"}}, "kind"),
        ({"weight": {"kind": "sigma", "hdu": "WHT"}}, "inverse-variance"),
        ({"weight": {"kind": "rms"}}, "neither path nor hdu"),
        ({"weight": {"kind": "rms", "column": "W"}}, 'column is not for layout = "tiles"'),
        ({"weight": {"kind": "rms", "path": "w.fits"}, "bands": ["g", "r"]}, "has no {band}"),
        ({"layout": "column", "column": "S", "pixel_scale": 1.0, "mask": {"column": "M", "bits": ["SAT"]}}, "no header"),
        ({"layout": "extensions", "hdu_column": "H", "pixel_scale": 1.0, "weight": {"kind": "rms", "hdu": 1, "hdu_column": "W"}}, "one of them"),
    ],
)  # fmt: skip
def test_table_that_says_too_little_or_too_much(look, images, says):
    with pytest.raises(ValueError, match=says):
        look(images=images)
