"""Objects find their tile by its footprint: a wrong tile, a lost object or a doubtful set of files would show here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from catalogs import storage
from catalogs.errors import Refused
from catalogs.flags import Flag
from catalogs.footprints import Footprints, outline
from catalogs.images import open_image
from catalogs.inspect import inspect
from catalogs.release import Release
from catalogs.sky import sky_to_pixel
from catalogs.survey import Survey
from tests.catalogs.conftest import everything
from tests.conftest import TinyRelease, wcs_header

GLOB = {"path": "tiles/*_{band}.fits"}
CUTS = {"a": (0, 0), "b": (120, 0), "c": (0, 120), "d": (120, 120)}
"""First pixels of overlapping tiles of 200 x 200 pixels, which hold the whole stamp of every object."""


@pytest.fixture
def tiled(tmp_path) -> TinyRelease:
    """The tiny release, with its image cut into four overlapping tiles, and its objects off the pixels' centres."""
    release = TinyRelease(tmp_path / "release", bands=("g", "r"))
    for band in release.bands:
        with fits.open(release.folder / "images" / f"t0_{band}.fits") as hdus:
            cut(release.folder, hdus[0].data, hdus[0].header, band)
    header = fits.getheader(release.folder / "images" / "t0_r.fits")
    x, y = (np.asarray(release.table[name]) - 0.7 for name in ("X_IMAGE", "Y_IMAGE"))
    release.table["RA"], release.table["DEC"] = WCS(header).all_pix2world(x, y, 0)
    release.write(2)
    return release


def cut(folder: Path, image: np.ndarray, header: fits.Header, band: str, where: str = "tiles") -> None:
    (folder / where).mkdir(exist_ok=True)
    for name, (x, y) in CUTS.items():
        own = WCS(header)[y : y + 200, x : x + 200].to_header()
        hdu = fits.PrimaryHDU(image[y : y + 200, x : x + 200], own)
        hdu.writeto(folder / where / f"{name}_{band}.fits", overwrite=True)


def look(release: TinyRelease, folder: str | None = None, **sections) -> Release:
    survey = release.config(**{"images": GLOB, **sections})["survey"]
    return inspect(Survey.model_validate(survey), folder or str(release.folder))


def pixels(release: Release, slice_rows: int = 16):
    rows = everything(release, slice_rows).sort_by("object_id")
    return rows.replace_schema_metadata(None).combine_chunks()


def fault(release: TinyRelease, **sections) -> str:
    with pytest.raises(Refused) as refused:
        look(release, **sections)
    assert len(refused.value.faults) == 1, str(refused.value)
    (found,) = refused.value.faults
    assert found.remedy
    assert "\n" not in str(found)
    return str(found)


@pytest.mark.parametrize("slice_rows", [1, 7, 16_384])
def test_a_glob_gives_other_stamps_than_named_tiles(tiled, slice_rows):
    expected = pixels(look(tiled, images={}))
    release = look(tiled)
    assert pixels(release, slice_rows).equals(expected)
    assert not np.array(expected["flags"]).any()
    assert sorted(release.images) == [f"tiles/{name}_{band}.fits" for name in CUTS for band in "gr"]
    assert release.notes == look(tiled, images={}).notes


def test_an_object_is_cut_from_the_edge_of_one_tile_and_not_from_the_middle_of_another(tiled):
    release = look(tiled)
    pieces = [release.on_tiles(s.table.read(0, 32, release.columns.names)) for s in release.shards]
    found = [name for piece in pieces for name in piece["* image r"].to_pylist()]
    x, y = (np.asarray(tiled.table[name]) - 0.7 for name in ("X_IMAGE", "Y_IMAGE"))
    margins = {
        f"tiles/{name}_r.fits": np.min([x - x0, x0 + 199 - x, y - y0, y0 + 199 - y], axis=0)
        for name, (x0, y0) in CUTS.items()
    }
    best = np.max(list(margins.values()), axis=0)
    assert [margins[name][i] for i, name in enumerate(found)] == best.tolist()
    assert set(found) == set(margins)


def test_a_shallow_tile_wins_over_a_deep_one(tiled):
    for name in CUTS:
        for band in tiled.bands:
            data, header = fits.getdata(tiled.folder / "tiles" / f"{name}_{band}.fits", header=True)
            (tiled.folder / "weights").mkdir(exist_ok=True)
            deep = {"a": 1.0, "b": 1.1, "c": 1.0, "d": 2.0}[name]
            weight = np.full_like(data, deep).astype(np.float32)
            fits.PrimaryHDU(weight, header).writeto(tiled.folder / "weights" / f"w{name}_{band}.fits")
    weight = {"path": "weights/w*_{band}.fits", "kind": "inverse-variance"}
    release = look(tiled, images={**GLOB, "weight": weight})
    rows = release.on_tiles(release.shards[1].table.read(0, 32, release.columns.names))
    x, y = (np.asarray(tiled.table[name])[32:] - 0.7 for name in ("X_IMAGE", "Y_IMAGE"))
    whole_on_d = (x >= 136) & (y >= 136)
    assert [name == "tiles/d_r.fits" for name in rows["* image r"].to_pylist()] == whole_on_d.tolist()
    assert rows["* weight r"].to_pylist()[-1] == "weights/wd_r.fits"
    # b is a tenth deeper than a, which is not enough to prefer its edge
    rows = release.on_tiles(release.shards[0].table.read(0, 8, release.columns.names))
    assert rows["* image g"].to_pylist() == [
        f"tiles/{'a' if x < 159 else 'b'}_g.fits" for x in range(20, 320, 40)
    ]


def test_objects_on_no_tile_are_lost_or_unnoticed(tiled):
    tiled.table["DEC"][[5, 40]] += 1.0
    tiled.table["RA"][7] = np.nan
    tiled.write(2)
    release = look(tiled)
    (note,) = [note for note in release.notes if "tiles at" in note]
    assert (
        "2 of 63 objects with a position lie on none of the 4 tiles at tiles/*_{band}.fits, such as 6, 41"
        in note
    )
    rows = pixels(release, 3)
    assert rows.num_rows == 64
    flags = np.array(rows["flags"])
    assert np.flatnonzero(flags).tolist() == [5, 7, 40]
    named = pixels(look(tiled, images={}), 3)
    assert rows.equals(named)  # flags too: those of objects off the image that they name
    assert flags[5] == Flag.OFF_IMAGE


def test_a_release_without_a_single_object_on_a_tile_is_run(tiled):
    tiled.table["DEC"] += 1.0
    tiled.write(2)
    assert "all 64 objects with a position lie on none of the 4 tiles" in fault(tiled)


def test_files_with_other_names_but_the_same_footprint_are_told_apart(tiled):
    for name in CUTS:
        path = tiled.folder / "tiles" / f"{name}_r.fits"
        path.rename(path.with_name(f"2026{'dcba'.index(name)}_r.fits"))
    release = look(tiled)
    assert pixels(release).equals(pixels(look(tiled, images={})))
    (tiled.folder / "tiles" / "new_r.fits").write_bytes(
        (tiled.folder / "tiles" / "20260_r.fits").read_bytes()
    )
    told = fault(tiled)
    assert "2 files have the footprint of this tile" in told
    assert "d_g.fits" in told


def test_bands_with_other_tiles_are_run(tiled):
    (tiled.folder / "tiles" / "d_r.fits").unlink()
    told = fault(tiled)
    assert "d_g.fits: there is no image of band 'r' with the same name or the same footprint" in told
    (tiled.folder / "tiles" / "d_g.fits").rename(tiled.folder / "tiles" / "d_r.fits")
    assert "d_r.fits: no tile of the first band has the same name" in fault(tiled)


def test_a_tile_without_wcs_is_run(tiled):
    data = fits.getdata(tiled.folder / "tiles" / "b_g.fits")
    fits.PrimaryHDU(data).writeto(tiled.folder / "tiles" / "b_g.fits", overwrite=True)
    told = fault(tiled)
    assert "b_g.fits: has no WCS, so that nothing says which objects are on it" in told


def test_a_glob_that_matches_nothing_is_run(tiled):
    told = fault(tiled, images={"path": "tile/*_{band}.fits"})
    assert "no image of band 'g' or 'r' is at" in told
    for path in (tiled.folder / "tiles").glob("*_r.fits"):
        path.unlink()
    assert "no image of band 'r' is at" in fault(tiled)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ({"position": "pixel", "pixel_scale": 0.2}, "position = "),
        ({"path": "tiles/{TILE}*_{band}.fits", "mask": {"path": "masks/*_{band}.fits"}}, r"names \{TILE\}"),
        ({"mask": {"path": "masks/{band}.fits"}}, r"has no \*"),
        ({"layout": "extensions", "hdu_column": "N", "pixel_scale": 0.2}, 'is for layout = "tiles"'),
    ],
)
def test_a_glob_is_taken_where_it_means_nothing(tiled, images, says):
    with pytest.raises(ValueError, match=says):
        Survey.model_validate(tiled.config(images={**GLOB, **images})["survey"])


def test_tiles_in_folders_and_on_an_object_store_are_others(tiled, bucket):
    for path in (tiled.folder / "tiles").iterdir():
        storage.write(f"{bucket}/cosmos/{path.name[0]}/img-{path.name}", path.read_bytes())
    expected = pixels(look(tiled))
    assert pixels(look(tiled, images={"path": f"{bucket}/cosmos/**/img-*_{{band}}.fits"}), 7).equals(expected)


def bent(header: fits.Header) -> fits.Header:
    """A header with distortions of some pixels at the corners."""
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN-SIP", "DEC--TAN-SIP"
    header.update({"A_ORDER": 3, "B_ORDER": 3, "A_2_0": 1e-4, "B_1_1": -2e-4, "A_0_3": 1e-6, "B_3_0": 2e-6})
    return header


@pytest.mark.parametrize("kind", ["tangent", "bent", "galactic", "pole"])
def test_a_footprint_is_beside_what_the_wcs_says(tmp_path, kind):
    header = wcs_header(300, 200, 359.99 if kind != "pole" else 30.0, 89.995 if kind == "pole" else -30.0)
    if kind == "bent":
        header = bent(header)
    if kind == "galactic":
        header.update({"CTYPE1": "GLON-CAR", "CTYPE2": "GLAT-CAR", "CRVAL1": 40.0, "CRVAL2": 0.0})
        header.remove("RADESYS", ignore_missing=True)
    fits.PrimaryHDU(np.zeros((200, 300), np.float32), header).writeto(tmp_path / "t.fits")
    image = open_image(str(tmp_path / "t.fits"))
    shape = outline(image)
    assert (len(shape.corners) > 4) == (kind in {"bent"})
    vectors = shape.axes[2] + np.random.default_rng(1).uniform(-2e-4, 2e-4, (20_000, 3))
    ra, dec = (
        np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0])) % 360,
        np.degrees(np.arcsin(vectors[:, 2] / np.linalg.norm(vectors, axis=1))),
    )
    x, y = sky_to_pixel(image.wcs, image.shape, ra, dec)
    margin = np.min([x + 0.5, 299.5 - x, y + 0.5, 199.5 - y], axis=0)
    found = Footprints.of([shape], np.array([np.nan])).tile_of(ra, dec, 32)
    sure = np.abs(margin) > 0.06
    assert (margin > 0).sum() > 500
    np.testing.assert_array_equal(found[sure] == 0, margin[sure] > 0)


def test_what_is_found_of_a_position_depends_on_the_others(tmp_path):
    rng, shapes = np.random.default_rng(3), []
    for number in range(40):
        header = bent(wcs_header(120, 120, 10 + 0.004 * (number % 8), 0.004 * (number // 8)))
        fits.PrimaryHDU(np.zeros((120, 120), np.float32), header).writeto(tmp_path / f"{number}.fits")
        shapes.append(outline(open_image(str(tmp_path / f"{number}.fits"))))
    tiles = Footprints.of(shapes, rng.choice([1.0, 0.9, 3.0], 40))
    ra, dec = 10 + rng.uniform(-0.005, 0.035, 3000), rng.uniform(-0.005, 0.025, 3000)
    whole = tiles.tile_of(ra, dec, 24)
    assert len(set(whole.tolist())) > 20
    assert -1 in whole
    for size in (1, 7, 2999):
        pieces = [tiles.tile_of(ra[i : i + size], dec[i : i + size], 24) for i in range(0, 3000, size)]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)
