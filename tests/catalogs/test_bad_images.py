"""Images that can't be used are refused before any work; those that break afterwards name themselves."""

from __future__ import annotations

import gzip
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from catalogs.errors import CorruptFile, FileChanged, Refused
from catalogs.slices import slices_of
from tests.catalogs.conftest import everything

PIXEL = {"position": "pixel", "pixel_scale": 0.2}


@pytest.fixture
def tile(tiny) -> Path:
    return tiny.folder / "images" / "t0_r.fits"


def stored_as(tile: Path, kind: str) -> tuple[Path, dict[str, str]]:
    """The tile in another kind of file, and the keys of a config for it."""
    if kind == "plain":
        return tile, {}
    pixels, header = fits.getdata(tile, header=True)
    if kind == "gz":
        path = Path(f"{tile}.gz")
        path.write_bytes(gzip.compress(tile.read_bytes()))
    else:
        path = Path(f"{tile}.fz")
        plane = fits.CompImageHDU(pixels, header, compression_type=kind, quantize_level=16)
        fits.HDUList([fits.PrimaryHDU(), plane]).writeto(path)
    return path, {"path": "images/{TILE}_{band}.fits" + path.suffix}


def test_missing_tile(fails, tile):
    tile.unlink()
    fault = fails()
    assert fault.file == str(tile)
    assert "missing" in fault.problem
    assert "where" in fault.remedy


def test_missing_tile_is_fine_if_no_selected_object_lies_on_it(objects, tiny):
    tiny.table["TILE"][60:] = "t1"
    tiny.write(2)
    assert objects(survey={"where": "TILE <> 't1'"}).num_rows == 60


def test_many_missing_tiles_are_listed_but_not_all(look, tiny):
    tiny.table["TILE"] = [f"t{i}" for i in range(64)]
    tiny.write(2)
    with pytest.raises(Refused) as refused:
        look()
    assert len(refused.value.faults) == 21
    assert "and 43 more images" in str(refused.value)


@pytest.mark.parametrize("kind", ["plain", "gz", "RICE_1"])
@pytest.mark.parametrize("keep", [0.0, 0.005, 0.5, 0.98])
def test_truncated_tile(fails, tile, kind, keep):
    path, images = stored_as(tile, kind)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(int(len(whole) * keep), len(whole) - 2880)])
    fault = fails(images=images)
    assert fault.file == str(path)
    assert any(told in fault.problem for told in ("truncated", "gzip", "is not a FITS file", "end-of-stream"))


def test_tile_that_lacks_its_very_last_pixel(fails, tile):
    header = fits.getheader(tile)
    tile.unlink()
    fits.writeto(tile, np.zeros((320, 720), np.float32), header)  # 320 blocks of 2880 bytes: no padding
    whole = tile.read_bytes()
    tile.write_bytes(whole[:-4])
    assert fails().problem == "is truncated"


def test_tile_without_the_padding_at_its_end_is_whole(objects, tile):
    whole = tile.read_bytes()
    tile.write_bytes(whole[: whole.rindex(b"END ") // 2880 * 2880 + 2880 + 320 * 320 * 4])
    assert objects().num_rows == 64


@pytest.mark.parametrize("content", [b"", b"<html>404 Not Found</html>", b"\x89PNG"])
def test_tile_that_is_no_fits(fails, tile, content):
    tile.write_bytes(content)
    fault = fails()
    assert (fault.file, fault.problem) == (str(tile), "is not a FITS file")


@pytest.mark.parametrize("shape", [(5,), (3, 320, 320)])
def test_tile_of_other_than_two_dimensions(fails, tile, shape):
    fits.writeto(tile, np.zeros(shape, np.float32), overwrite=True)
    assert "no two-dimensional image" in fails().problem


def test_hdu_that_the_tile_lacks(fails):
    fault = fails(images={"hdu": "SCI"})
    assert "no two-dimensional image in HDU 'SCI'" in fault.problem
    assert "hdu" in fault.remedy


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("CTYPE1", None, "has no WCS"),
        ("CTYPE1", "RA---XXX", "XXX"),
        ("CTYPE2", "LINEAR", "celestial"),
        ("CDELT1", 0.0, "singular"),
        ("CUNIT1", "furlong", "furlong"),
    ],
)
def test_tile_without_a_usable_wcs(fails, objects, tile, key, value, told):
    with fits.open(tile, mode="update") as file:
        for name in ("CTYPE1", "CTYPE2") if value is None else ():
            del file[0].header[name]
        if value is not None:
            file[0].header[key] = value
    fault = fails()
    assert fault.file == str(tile)
    assert told in fault.problem
    assert 'position = "pixel"' in fault.remedy
    assert objects(images=PIXEL)["flags"].to_pylist() == [0] * 64
    assert told in fails(images={**PIXEL, "pixel_scale": "wcs"}).problem


@pytest.mark.parametrize("kind", ["galactic", "latitude first", "FK4"])
def test_tile_in_another_sky_is_cut_where_the_objects_are(objects, tiny, tile, kind):
    from astropy.coordinates import FK4, SkyCoord
    from astropy.wcs import WCS

    # A third of a pixel off, so that rounding cannot decide which pixel is the first.
    x, y = np.array(tiny.table["X_IMAGE"]) - 0.7, np.array(tiny.table["Y_IMAGE"]) - 0.7
    pixels, header = fits.getdata(tile, header=True)

    def place(frame) -> None:
        sky = SkyCoord(*WCS(header).all_pix2world(x, y, 0), unit="deg", frame=frame).icrs
        tiny.table["RA"], tiny.table["DEC"] = sky.ra.deg, sky.dec.deg
        tiny.table["RA"].unit = tiny.table["DEC"].unit = "deg"
        tiny.write(2)

    place("icrs")
    expected = objects()
    if kind == "latitude first":
        for name in ("CTYPE", "CRVAL", "CUNIT"):
            header[f"{name}1"], header[f"{name}2"] = header[f"{name}2"], header[f"{name}1"]
        header["PC1_1"], header["PC1_2"], header["PC2_1"], header["PC2_2"] = 0.0, 1.0, 1.0, 0.0
        header["CDELT1"], header["CDELT2"] = header["CDELT2"], header["CDELT1"]
    elif kind == "galactic":
        header["CTYPE1"], header["CTYPE2"] = "GLON-TAN", "GLAT-TAN"
        place("galactic")
    else:
        header["RADESYS"], header["EQUINOX"] = "FK4", 1950.0
        place(FK4(equinox="B1950"))
    fits.writeto(tile, pixels, header, overwrite=True)
    assert objects()["stamp"].equals(expected["stamp"])


def test_bands_on_different_scales(fails, tiny):
    from tests.conftest import wcs_header

    pixels = np.zeros((640, 640), np.float32)
    fits.writeto(tiny.folder / "images" / "t0_z.fits", pixels, wcs_header(640, 640, scale=0.1))
    fault = fails(images={"bands": ["r", "z"]})
    assert fault.file.endswith("t0_z.fits")
    assert "0.1000 arcsec a pixel" in fault.problem
    assert "0.2000" in fault.problem
    assert "one scale" in fault.remedy


def test_garbled_compressed_tile_fails_alone(look, tile):
    for kind in ("RICE_1", "GZIP_1", "HCOMPRESS_1"):
        path, images = stored_as(tile, kind)
        whole = path.read_bytes()
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + b"\xa5" * (len(whole) - middle - 2880) + whole[-2880:])
        release = look(images=images)
        with pytest.raises(CorruptFile, match=r"t0_r\.fits\.fz: pixels cannot be read"):
            everything(release)
        path.unlink()


@pytest.mark.parametrize("how", ["truncated", "removed", "no WCS any more", "replaced by a page"])
def test_tile_that_breaks_after_the_plan_names_itself(look, tile, how):
    release = look()
    if how == "removed":
        tile.unlink()
    elif how == "no WCS any more":
        fits.writeto(tile, fits.getdata(tile), overwrite=True)
    else:
        tile.write_bytes(tile.read_bytes()[:100_000] if how == "truncated" else b"<html>")
    with pytest.raises(CorruptFile, match=r"t0_r\.fits: .+\. .+"):
        release.read(next(iter(slices_of(release.shards, 16))))


@pytest.fixture
def vectors(tiny):
    """The tiny release with its stamps in a vector column."""
    rng = np.random.default_rng(1)
    tiny.table["STAMP"] = rng.normal(size=(64, 2, 32, 32)).astype(np.float32)
    tiny.write(2)
    return tiny


COLUMN = {"layout": "column", "column": "STAMP", "path": None, "pixel_scale": 0.2, "bands": ["g", "r"]}


def test_column_of_stamps(objects, vectors):
    found = objects(images={**COLUMN, "background": "none"})
    expected = np.asarray(vectors.table["STAMP"]).reshape(64, -1)
    np.testing.assert_array_equal(np.stack(found["stamp"].to_numpy(zero_copy_only=False)), expected)


def test_column_of_another_number_of_bands(fails, vectors):
    fault = fails(images={**COLUMN, "bands": ["g", "r", "i"]})
    assert fault.file.endswith("s00.fits")
    assert (fault.column, fault.problem) == ("STAMP", "holds (32,32,2) pixels, not stamps of 3 band(s)")


@pytest.mark.parametrize("column", ["MAG", "TILE"])
def test_column_that_is_no_vector(fails, vectors, column):
    fault = fails(images={**COLUMN, "column": column})
    assert fault.column == column
    assert "not a vector of pixels" in fault.problem


@pytest.mark.parametrize(
    ("dims", "told"),
    [("(64,16,2)", None), ("(2048)", "(2048)"), ("(32,32,2,1)", "(32,32,2,1)"), (None, None)],
)
def test_column_by_its_dimensions(look, fails, vectors, dims, told):
    for path in (vectors.folder / "catalogs").iterdir():
        with fits.open(path) as file:
            header, data = file[1].header.copy(), path.read_bytes()
        number = next(n for n in range(1, 20) if header.get(f"TTYPE{n}") == "STAMP")
        old = f"TDIM{number:<4}= '(32,32,2)'".encode()
        assert data.count(old) == 1
        new = f"TDIM{number:<4}= '{dims}'" if dims else f"COMMENT  '{'x' * 9}'"
        # The card is 80 characters long, whatever stands in it.
        at = data.index(old)
        path.write_bytes(data[:at] + new.encode().ljust(80) + data[at + 80 :])
    if told is None:
        assert look(images=COLUMN).selected == 64
    else:
        fault = fails(images=COLUMN)
        assert fault.column == "STAMP"
        assert told in fault.problem


@pytest.fixture
def extensions(tiny):
    """The tiny release with a file of one HDU a stamp."""
    rng = np.random.default_rng(2)
    planes = [fits.ImageHDU(rng.normal(size=(20 + i % 5, 41)).astype(np.float32)) for i in range(64)]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(tiny.folder / "catalogs" / "stamps.fit")
    tiny.table["FILE"] = ["stamps.fit"] * 64
    tiny.table["HDU"] = np.arange(64) + 1
    tiny.write(2)
    return tiny


HDUS = {"layout": "extensions", "path": "{FILE}", "hdu_column": "HDU", "pixel_scale": 0.2}


def test_extensions_of_any_size(objects, extensions):
    found = objects(images=HDUS)
    assert found.num_rows == 64
    assert (found["flags"].to_numpy() == 0).all()


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (65, "only 65 HDUs"),
        (10_000, "only 65 HDUs"),
        (-1, "integer from 0"),
        (0, "no two-dimensional image"),
    ],
)
def test_hdu_out_of_range(fails, extensions, number, told):
    extensions.table["HDU"][40] = number
    extensions.write(2)
    fault = fails(images=HDUS)
    assert fault.file.endswith("catalogs/stamps.fit")
    assert (fault.column, fault.value) == ("HDU", str(number))
    assert told in fault.problem
    assert "orrect the column" in fault.remedy


@pytest.mark.parametrize(
    ("values", "told"), [(np.arange(64.0) + 0.5, "0.5"), ([f"{i}" for i in range(64)], "'0'")]
)
def test_hdu_numbers_that_are_none(look, extensions, values, told):
    extensions.table["HDU"] = values
    extensions.write(2)
    with pytest.raises(Refused) as refused:
        look(images=HDUS)
    assert told in {fault.value for fault in refused.value.faults}
    assert len(refused.value.faults) <= 21


def test_file_of_extensions_that_is_missing(fails, extensions):
    (extensions.folder / "catalogs" / "stamps.fit").unlink()
    assert "missing" in fails(images=HDUS).problem


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.52, 0.995])
def test_truncated_file_of_extensions(fails, extensions, keep):
    path = extensions.folder / "catalogs" / "stamps.fit"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    fault = fails(images=HDUS)
    assert fault.file == str(path)
    assert "truncated" in fault.problem or "is not a FITS file" in fault.problem


def test_file_of_extensions_that_breaks_after_the_plan(look, extensions):
    release = look(images=HDUS)
    path = extensions.folder / "catalogs" / "stamps.fit"
    whole = path.read_bytes()
    time = path.stat().st_mtime_ns
    path.write_bytes(whole[: len(whole) // 2])
    good, bad = list(slices_of(release.shards, 32))
    for piece in (good, bad):  # what is whole in it may be of another version too
        with pytest.raises(FileChanged, match=r"stamps\.fit: has changed"):
            release.read(piece)
    path.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    os.utime(path, ns=(time, time))
    assert release.read(good).num_rows == 32
    with pytest.raises(CorruptFile, match=r"stamps\.fit: (HDU \d+ )?cannot be read"):
        release.read(bad)


def test_table_among_the_extensions(fails, extensions):
    path = extensions.folder / "catalogs" / "stamps.fit"
    with fits.open(path, mode="append") as file:
        file.append(fits.BinTableHDU(Table({"a": [1]})))
    extensions.table["HDU"][3] = 65
    extensions.write(2)
    fault = fails(images=HDUS)
    assert (fault.value, fault.problem) == ("65", "this HDU is no two-dimensional image")


def test_one_image_for_every_object_needs_no_column(objects, tiny, tile):
    shutil.copy(tile, tiny.folder / "whole.fits")
    assert objects(images={"path": "whole.fits"}).num_rows == 64
