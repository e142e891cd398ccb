"""Stamps in records and lists of Parquet are the stamps that a FITS vector column holds; bad ones are refused in one line."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.errors import Refused
from catalogs.flags import Flag
from catalogs.inspect import inspect
from catalogs.release import Release
from catalogs.survey import Survey
from tests.catalogs.conftest import everything
from tests.conftest import TinyRelease

BANDS = ["DES-G", "DES-R"]
SIDE = 32


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> TinyRelease:
    release = TinyRelease(tmp_path_factory.mktemp("records") / "release")
    rng = np.random.default_rng(2)
    table = release.table
    table["STAMP"] = rng.normal(100, 3, (64, 2, SIDE, SIDE)).astype(np.float32)
    table["IVAR"] = np.full((64, 2, SIDE, SIDE), 1 / 9, np.float32)
    table["BAD"] = (rng.uniform(size=(64, 2, SIDE, SIDE)) < 0.01).astype(np.uint8)
    release.write(2)
    return release


def columns(made: TinyRelease) -> dict[str, object]:
    table = made.table
    return {name: np.asarray(table[name]).tolist() for name in ("NUMBER", "RA", "DEC", "MAG")}


def records(made: TinyRelease, fixed: bool = False) -> pa.StructArray:
    """A struct of lists, a band more than is wanted, and the bands of odd rows in another order."""
    pixel = pa.list_(pa.list_(pa.float32(), SIDE), SIDE) if fixed else pa.list_(pa.list_(pa.float32()))
    mask = pa.list_(pa.list_(pa.bool_()))
    arrays = {name: np.asarray(made.table[name]) for name in ("STAMP", "IVAR", "BAD")}
    names, found = [], {name: [] for name in arrays}
    for row in range(64):
        order = [0, 1] if row % 2 else [1, 0]
        names.append(["DES-Z", *(BANDS[b] for b in order)])
        for name, array in arrays.items():
            found[name].append([array[row, 0] * 0, *(array[row, b] for b in order)])
    lists = {
        name: pa.array(
            [
                [plane.astype(bool).tolist() if name == "BAD" else plane.tolist() for plane in row]
                for row in rows
            ],
            pa.list_(mask if name == "BAD" else pixel),
        )
        for name, rows in found.items()
    }
    scale = pa.array([[0.2] * 3] * 64)
    return pa.StructArray.from_arrays(
        [pa.array(names), lists["STAMP"], lists["IVAR"], lists["BAD"], scale],
        ["band", "flux", "ivar", "mask", "scale"],
    )


def as_list_of_structs(struct: pa.StructArray) -> pa.ListArray:
    flat = [struct.field(n).flatten() for n in range(struct.type.num_fields)]
    inner = pa.StructArray.from_arrays(flat, [struct.type.field(n).name for n in range(len(flat))])
    return pa.ListArray.from_arrays(struct.field(0).offsets, inner)


def look(made: TinyRelease, path: object, **images) -> Release:
    layout = {
        "layout": "struct",
        "column": "image",
        "path": None,
        "bands": BANDS,
        "pixel_scale": 0.2,
        **images,
    }
    survey = made.config(images=layout)["survey"] | {"catalogs": str(path)}
    return inspect(Survey.model_validate(survey), str(made.folder))


PLANES = {"weight": {"column": "ivar", "kind": "inverse-variance"}, "mask": {"column": "mask"}}
FITS_PLANES = {"weight": {"column": "IVAR", "kind": "inverse-variance"}, "mask": {"column": "BAD"}}


def pixels(release: Release, slice_rows: int = 16) -> pa.Table:
    rows = everything(release, slice_rows)
    return rows.drop_columns(["shard", "row"]).replace_schema_metadata(None).combine_chunks()


@pytest.mark.parametrize("kind", ["struct of lists", "fixed lists", "list of structs"])
def test_records_are_other_stamps(made, tmp_path, kind):
    image = records(made, fixed=kind == "fixed lists")
    image = as_list_of_structs(image) if kind == "list of structs" else image
    pq.write_table(pa.table({**columns(made), "image": image}), tmp_path / "r.parquet", row_group_size=20)
    expected = pixels(look(made, "catalogs/*.fits", layout="column", column="STAMP", **FITS_PLANES))
    assert (np.array(expected["flags"]) & Flag.BAD_PIXELS > 0).any()
    assert pixels(look(made, tmp_path / "r.parquet", **PLANES), 7).equals(expected)


def test_lists_are_other_stamps(made, tmp_path):
    lists = {name: pa.array(np.asarray(made.table[name]).tolist()) for name in ("STAMP", "IVAR", "BAD")}
    lists["BAD"] = pa.array(np.asarray(made.table["BAD"]).tolist(), pa.list_(pa.list_(pa.list_(pa.uint8()))))
    pq.write_table(pa.table({**columns(made), **lists}), tmp_path / "l.parquet")
    images = {"layout": "column", "column": "STAMP", **FITS_PLANES}
    assert pixels(look(made, tmp_path / "l.parquet", **images)).equals(
        pixels(look(made, "catalogs/*.fits", **images))
    )


def test_objects_without_pixels_are_lost(made, tmp_path):
    image = records(made).to_pylist()
    image[20] = None
    image[21]["band"] = ["DES-Z", "DES-Y", "DES-R"]
    image[22]["flux"][1] = None
    image[23]["flux"][2][5][6] = None
    image[24]["flux"][1] = [*image[24]["flux"][1][:-1], [1.0]]
    array = pa.array(image, records(made).type)
    pq.write_table(pa.table({**columns(made), "image": array}), tmp_path / "n.parquet")
    flags = everything(look(made, tmp_path / "n.parquet"))["flags"].to_pylist()
    assert len(flags) == 64
    assert all(flags[row] & Flag.NO_PIXELS for row in (20, 21, 22, 24))
    assert flags[23] & Flag.BAD_PIXELS
    assert not any(flags[:20] + flags[25:])


def refused(made: TinyRelease, image: pa.Array, path, **images) -> str:
    pq.write_table(pa.table({**columns(made), "image": image}), path)
    with pytest.raises(Refused) as refused:
        look(made, path, **images)
    (fault,) = refused.value.faults
    assert fault.file == str(path)
    assert fault.column == "image"
    assert "\n" not in str(fault)
    return str(fault)


def test_bad_records(made, tmp_path):
    path, image = tmp_path / "bad.parquet", records(made)
    told = refused(made, image, path, bands=["DES-G", "DES-I"])
    assert "has the band 'DES-I'" in told
    assert "there are DES-Z, DES-R, DES-G" in told
    assert "no field 'fluxes'" in refused(made, image, path, field="fluxes")
    assert "no field 'err'" in refused(made, image, path, weight={"column": "err", "kind": "rms"})
    assert "the mask 'ivar' is of float" in refused(made, image, path, mask={"column": "ivar"})
    assert "'scale' of its records holds double" in refused(made, image, path, field="scale")
    assert "holds no records of images" in refused(made, pa.array([[1.0]] * 64), path)
    rows = image.to_pylist()
    rows[3]["flux"][1] = [*rows[3]["flux"][1][:-1], [1.0]]
    assert "in row 3 are lists of uneven length" in refused(made, pa.array(rows, image.type), path)
    rows = image.to_pylist()
    rows[4]["flux"] = rows[4]["flux"][:-1]
    assert "has 3 bands, but 2 of 'flux'" in refused(made, pa.array(rows, image.type), path)
    rows = image.to_pylist()
    rows[5]["ivar"][1] = rows[5]["ivar"][1][:-1]
    told = refused(made, pa.array(rows, image.type), path, **PLANES)
    assert "the weight of band 'DES-G' in row 5 has 32 x 31 pixels" in told or "'DES-R' in row 5" in told


def test_variable_length_columns_of_fits_are_other_stamps(made, tmp_path):
    from astropy.io import fits

    hdu = fits.BinTableHDU(made.table)
    bad = hdu.columns["BAD"]
    others = [c for c in hdu.columns if c.name not in {"STAMP", "IVAR", "BAD"}]
    cells = {n: np.asarray(made.table[n]).reshape(64, -1) for n in ("STAMP", "IVAR", "BAD")}
    varying = [
        fits.Column(n, f"P{'B' if n == 'BAD' else 'E'}()", array=np.array([*list(c), None], object)[:-1])
        for n, c in cells.items()
    ]
    assert bad.format.endswith("B")
    fits.BinTableHDU.from_columns([*others, *varying]).writeto(tmp_path / "v.fits")
    images = {"layout": "column", "column": "STAMP", **FITS_PLANES}
    expected = pixels(look(made, "catalogs/*.fits", **images))
    release = look(made, tmp_path / "v.fits", **images)
    assert release.shards[0].table.bytes_of(["STAMP"]) > 9 * 2 * SIDE**2
    assert pixels(release, 7).equals(expected)


def test_files_in_a_column_are_other_stamps(made, tmp_path):
    from io import BytesIO

    from astropy.io import fits
    from PIL import Image

    cut = np.clip(np.round(np.asarray(made.table["STAMP"])[:, 0]), 0, 255).astype(np.uint8)
    files: dict[str, list[bytes]] = {"PNG": [], "FITS": []}
    for plane in cut:
        stream = BytesIO()
        Image.fromarray(plane[::-1]).save(stream, "PNG")
        files["PNG"].append(stream.getvalue())
        stream = BytesIO()
        fits.PrimaryHDU(plane.astype(np.float32)).writeto(stream)
        files["FITS"].append(stream.getvalue())
    lists = pa.array(cut.tolist(), pa.list_(pa.list_(pa.uint8())))
    pq.write_table(pa.table({**columns(made), "image": lists}), tmp_path / "l.parquet")
    images = {"layout": "column", "bands": ["r"]}
    expected = pixels(look(made, tmp_path / "l.parquet", **images))
    hugging = pa.StructArray.from_arrays([pa.array(files["PNG"]), pa.array([""] * 64)], ["bytes", "path"])
    for column in (pa.array(files["PNG"]), pa.array(files["FITS"]), hugging):
        pq.write_table(pa.table({**columns(made), "image": column}), tmp_path / "f.parquet")
        assert pixels(look(made, tmp_path / "f.parquet", **images), 7).equals(expected)
    told = refused(made, pa.array([b"nothing"] * 64), tmp_path / "b.parquet", **images)
    assert "the file in row 0" in told
    told = refused(made, pa.array(files["PNG"]), tmp_path / "b.parquet", **images, mask={"column": "MAG"})
    assert "holds files, beside which there are no weights and masks" in told
    told = refused(made, pa.array(files["PNG"]), tmp_path / "b.parquet", layout="column")
    assert "has 1 bands, not 2" in told
