"""The same galaxies, however FITS holds them, are one catalog: every published number is the same."""

from __future__ import annotations

import bz2
import gzip
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits

from catalogs.flags import Flag
from tests.catalogs.test_weights import layouts, with_weights
from tests.survey.conftest import objects_of

MEASURED = {"measure": {"quantities": ["gini", "cas"]}}


def of_numbers(tile: Path, kind: str) -> None:
    """Write the tile, whose pixels are whole numbers, in another way."""
    pixels, header = fits.getdata(tile).astype(np.float64), fits.getheader(tile)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "uint16" in kind:
            hdu = fits.ImageHDU(pixels.astype(np.uint16), header)
        elif "scaled" in kind:
            hdu = fits.ImageHDU(((pixels - 1000) / 0.5).astype(np.int32), header)
            hdu.header["BSCALE"], hdu.header["BZERO"] = 0.5, 1000.0
        else:
            hdu = fits.ImageHDU(pixels.astype(np.int16), header)
            hdu.header["BLANK"] = -32768
        if "Rice" in kind:
            hdu = fits.CompImageHDU(hdu.data, hdu.header, compression_type="RICE_1")
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tile, overwrite=True)
    if "gzip" in kind:
        content = tile.read_bytes()
        members = [content[:9000], content[9000:]] if "members" in kind else [content]
        tile.write_bytes(b"".join(map(gzip.compress, members)))
    if "bzip2" in kind:
        tile.write_bytes(bz2.compress(tile.read_bytes()))


@pytest.fixture
def whole(tiny) -> Path:
    """The tile with whole numbers, which every kind can hold."""
    tile = tiny.folder / "images" / "t0_r.fits"
    pixels, header = fits.getdata(tile, header=True)
    whole = np.clip(np.round(pixels * 10 + 500), 0, 30_000).astype(np.float32)
    header["CRPIX1"], header["CRPIX2"] = (
        header["CRPIX1"] + 0.3,
        header["CRPIX2"] + 0.3,
    )  # no rounding at borders
    fits.writeto(tile, whole, header, overwrite=True)
    return tile


def published(runner, tiny, out: Path, **sections) -> pa.Table:
    runner(tiny.config(**MEASURED, **sections), tiny.folder, out)
    return objects_of(out)


KINDS = ["uint16", "scaled", "int16 and BLANK", "Rice uint16", "Rice int16", "gzip uint16", "gzip members, scaled", "bzip2 uint16"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_tiles_of_any_numbers_are_one_catalog(runner, tiny, whole, tmp_path, kind):
    expected = published(runner, tiny, tmp_path / "float32")
    of_numbers(whole, kind)
    assert published(runner, tiny, tmp_path / "other").equals(expected)


@pytest.mark.slow
def test_tiles_columns_and_extensions_are_one_catalog(runner, tiny, whole, tmp_path):
    expected = published(runner, tiny, tmp_path / "tiles", images={"pixel_scale": 0.2})
    tiles = runner.plan(tiny.config(), tiny.folder, tmp_path / "none").release
    corners = zip(np.array(tiny.table["Y_IMAGE"]), np.array(tiny.table["X_IMAGE"]), strict=True)
    pixels = fits.getdata(whole)
    assert tiles.survey.images.size == 32
    # the objects lie 0.3 pixels off the middle of theirs, where ceil(x - 16) is the next pixel
    stamps = np.stack([pixels[int(y) - 16 : int(y) + 16, int(x) - 16 : int(x) + 16] for y, x in corners])
    tiny.table["STAMP"], tiny.table["HDU"] = stamps.astype(">i2"), np.arange(64) + 1
    tiny.write(2)
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(stamp.astype(np.uint16)) for stamp in stamps)]
    fits.HDUList(hdus).writeto(tiny.folder / "catalogs" / "stamps.fit")
    column = {"layout": "column", "column": "STAMP", "pixel_scale": 0.2, "path": None}
    extensions = {"layout": "extensions", "path": "stamps.fit", "hdu_column": "HDU", "pixel_scale": 0.2}
    assert published(runner, tiny, tmp_path / "column", images=column).equals(expected)
    assert published(runner, tiny, tmp_path / "extensions", images=extensions).equals(expected)
    image = {"band": [["r"]] * 64, "flux": stamps[:, None].astype(np.float32).tolist()}
    records = pa.StructArray.from_arrays([pa.array(image["band"]), pa.array(image["flux"])], list(image))
    rows = {name: pa.array(np.asarray(tiny.table[name])) for name in ("NUMBER", "RA", "DEC")}
    magnitude = pa.field("MAG", pa.float64(), metadata={"unit": "mag"})
    table = pa.table({**rows, "image": records}).append_column(
        magnitude, pa.array(np.asarray(tiny.table["MAG"]))
    )
    for number, shard in enumerate((table.slice(0, 32), table.slice(32))):
        pq.write_table(shard, tiny.folder / "catalogs" / f"s{number:02d}.parquet")
    struct = {"layout": "struct", "column": "image", "path": None, "pixel_scale": 0.2}
    keys = {**tiny.config()["survey"], "catalogs": "catalogs/*.parquet"}
    found = published(
        runner,
        tiny,
        tmp_path / "struct",
        images=struct,
        survey=keys | {"images": {**keys["images"], **struct}},
    )
    assert found.drop_columns(["shard"]).equals(expected.drop_columns(["shard"]))


@pytest.mark.slow
def test_weights_and_masks_of_any_layout_are_one_catalog(runner, tiny, tmp_path):
    with_weights(tiny.folder, hole=0.0)
    tiny.table["ONE"] = np.ones(64, np.int64)
    every = layouts(tiny)
    expected = published(runner, tiny, tmp_path / "tiles", images=every.pop("tiles"))
    assert (np.array(expected["flags"]) & Flag.BAD_PIXELS > 0).any()
    assert "stamp_noise" not in expected.column_names
    assert expected["sn_pixel"].null_count < 8
    for name, images in every.items():
        assert published(runner, tiny, tmp_path / name.replace(" ", "_"), images=images).equals(expected), (
            name
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_catalog_of_another_kind_is_another_catalog(runner, tiny, tmp_path, kind):
    expected = published(runner, tiny, tmp_path / "fits")
    tiny.table.write(tiny.folder / "catalogs" / f"all.{kind}")
    keys = {"catalogs": f"catalogs/all.{kind}"}
    found = published(runner, tiny, tmp_path / kind, survey={**tiny.config()["survey"], **keys})
    own = ["shard", "row"]  # one file has other ones than two
    assert found.drop_columns(own).equals(expected.drop_columns(own))
