"""A catalog that can't be used is refused before any work, with the file, the column, the value and the remedy."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from catalogs.errors import Refused


@pytest.fixture
def shard(tiny):
    return tiny.folder / "catalogs" / "s00.fits"


def without(tiny, name: str) -> None:
    tiny.table.remove_column(name)
    tiny.write(2)


@pytest.mark.parametrize("keep", [0.02, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["plain", "gz"])
def test_truncated_catalog(fails, tiny, shard, keep, kind):
    tiny.table["PADDING"] = np.random.default_rng(0).normal(size=(64, 50))
    tiny.write(2)
    if kind == "gz":
        (shard.parent / "s00.fits.gz").write_bytes(gzip.compress(shard.read_bytes()))
        shard.unlink()
        shard = shard.parent / "s00.fits.gz"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: int(len(whole) * keep)])
    fault = fails(survey={"catalogs": "catalogs/*"})
    assert fault.file == str(shard)
    assert "truncated" in fault.problem or "gzip" in fault.problem
    assert "Fetch the file again" in fault.remedy


def test_catalog_that_ends_before_its_table_is_truncated_and_not_without_a_table(fails, tiny, shard):
    shard.unlink()
    table = fits.BinTableHDU(tiny.table[:8])
    fits.HDUList([fits.PrimaryHDU(np.zeros((100, 100))), table]).writeto(shard)
    shard.write_bytes(shard.read_bytes()[:20000])
    assert "truncated" in fails().problem


def test_gzipped_catalog_with_one_wrong_bit(fails, tiny, shard):
    packed = bytearray(gzip.compress(shard.read_bytes()))
    packed[len(packed) // 2] ^= 1
    zipped = shard.parent / "s00.fits.gz"
    zipped.write_bytes(packed)
    shard.unlink()
    fault = fails(survey={"catalogs": "catalogs/*"})
    assert fault.file == str(zipped)
    assert "Fetch the file again" in fault.remedy


@pytest.mark.parametrize("content", [b"", b"NUMBER,RA,DEC\n1,2,3\n", b"PAR1" + bytes(3000), b"SIMPLE"])
def test_catalog_that_is_no_fits(fails, shard, content):
    shard.write_bytes(content)
    fault = fails()
    assert fault.file == str(shard)
    assert "is not a FITS file" in fault.problem or "truncated" in fault.problem


def test_image_in_the_place_of_a_catalog(fails, shard):
    fits.writeto(shard, np.zeros((9, 9)), overwrite=True)
    fault = fails()
    assert (fault.file, fault.problem) == (str(shard), "has no binary table")
    assert "catalogs and hdu" in fault.remedy


def test_hdu_that_no_shard_has(fails):
    fault = fails(survey={"hdu": "SOURCES"})
    assert "has no HDU 'SOURCES' with a binary table" in fault.problem
    assert "hdu" in fault.remedy


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (b"TFORM6  = 'D       '", b"TFORM6  = 'Y       '", "Y"),
        (b"NAXIS   =                    2", b"NAXIS   =                  two", "damaged"),
        (
            b"NAXIS1  =                   50",
            b"NAXIS1  =                   49",
            "50 bytes a row, not NAXIS1 = 49",
        ),
        (b"NAXIS2  =                   32", b"NAXIS2  =                  -32", "describe no data"),
        (b"PCOUNT  =                    0", b"PCOUNT  =                   -8", "describe no data"),
        (b"TTYPE2  = 'RA      '", b"TTYPE2  = 'DEC     '", "two of its columns are called 'DEC'"),
    ],
)
def test_damaged_header(fails, shard, old, new, told):
    whole = shard.read_bytes()
    assert whole.count(old) == 1
    shard.write_bytes(whole.replace(old, new))
    fault = fails()
    assert fault.file == str(shard)
    assert told in fault.problem


def test_column_without_a_name_is_fine(objects, tiny):
    for path in (tiny.folder / "catalogs").iterdir():
        path.write_bytes(path.read_bytes().replace(b"TTYPE6  = 'MAG     '", b"COMMENT = 'none    '"))
    assert objects(survey={"keep": ["col6 as MAG"]})["MAG"].to_pylist()[0] == pytest.approx(20.01)


@pytest.mark.parametrize("name", ["NUMBER", "RA", "DEC", "TILE", "MAG"])
def test_missing_column_is_named_with_the_nearest_there_is(fails, tiny, shard, name):
    tiny.table.rename_column(name, f"{name}_2")
    tiny.write(2)
    fault = fails()
    assert (fault.file, fault.column) == (str(shard), name)
    where = " for {TILE} in [survey.images] path, where {band} is the band" if name == "TILE" else ""
    assert fault.problem == f"no such column{where}; the same in 1 more files"
    assert f"{name}_2" in fault.remedy


def test_column_in_other_case_is_not_taken_silently(fails):
    fault = fails(survey={"id": "Number"})
    assert fault.column == "Number"
    assert "Did you mean 'NUMBER'?" in fault.remedy


def test_all_that_is_missing_is_listed_at_once(look):
    with pytest.raises(Refused) as refused:
        look(survey={"id": "ID", "ra": "ALPHA", "keep": ["FLUX"], "where": "SIZE > 3"})
    assert {f.column for f in refused.value.faults} == {"ID", "ALPHA", "FLUX", "SIZE"}


def test_pixel_columns_that_are_missing(fails):
    fault = fails(images={"position": "pixel", "x": "XPEAK", "pixel_scale": 0.2})
    assert fault.column == "XPEAK"


@pytest.mark.parametrize("column", ["RA", "DEC"])
def test_position_that_is_text(fails, tiny, column):
    tiny.table[column] = ["10:00:00"] * 64
    tiny.write(2)
    fault = fails()
    assert fault.column == column
    assert fault.problem == "must be a number, not string"


@pytest.mark.parametrize(
    ("values", "kind"),
    [(np.arange(64.0), "double"), (np.zeros((64, 2), int), "list"), (np.arange(64) > 3, "bool")],
)
def test_id_that_is_neither_integer_nor_text(fails, tiny, values, kind):
    tiny.table["NUMBER"] = values
    tiny.write(2)
    fault = fails()
    assert fault.column == "NUMBER"
    assert "an id must be an integer or a string" in fault.problem
    assert kind in fault.problem


@pytest.mark.parametrize(
    ("column", "unit"), [("RA", "rad"), ("RA", "h"), ("RA", "hourangle"), ("DEC", "arcsec")]
)
def test_position_in_other_units_than_degrees(fails, tiny, shard, column, unit):
    for path in (tiny.folder / "catalogs").iterdir():
        with fits.open(path, mode="update") as file:
            file[1].header[f"TUNIT{2 if column == 'RA' else 3}"] = unit
    fault = fails()
    assert (fault.file, fault.column, fault.value) == (str(shard), column, f"unit {unit!r}")
    assert "degrees" in fault.problem


@pytest.mark.parametrize("unit", ["deg", "degree", "DEG", ""])
def test_degrees_by_any_name_are_fine(look, tiny, unit):
    for path in (tiny.folder / "catalogs").iterdir():
        with fits.open(path, mode="update") as file:
            file[1].header["TUNIT2"] = unit
    assert look().selected == 64


@pytest.mark.parametrize("other", [1, 40], ids=["within a shard", "across shards"])
def test_an_id_that_stands_twice(fails, tiny, other):
    tiny.table["NUMBER"][other] = 1
    tiny.write(2)
    fault = fails()
    assert fault.file.endswith("s00.fits" if other == 1 else "s01.fits")
    assert (fault.column, fault.value) == ("NUMBER", "1")
    assert "2 times" in fault.problem


def test_an_id_that_stands_twice_is_fine_if_only_one_is_selected(look, tiny):
    tiny.table["NUMBER"][40] = 1
    tiny.write(2)
    assert look(survey={"where": "MAG < 20.3"}).selected == 29


def test_only_the_first_of_many_double_ids_are_listed(look, tiny):
    tiny.table["NUMBER"] = np.arange(64) // 2
    tiny.write(2)
    with pytest.raises(Refused) as refused:
        look()
    assert len(refused.value.faults) == 5
    assert all("32 such ids" in fault.problem for fault in refused.value.faults)


@pytest.mark.parametrize("kind", ["integer", "string"])
def test_an_object_without_an_id(fails, tiny, kind):
    if kind == "integer":
        tiny.table["NUMBER"] = MaskedColumn(np.arange(64), mask=np.arange(64) == 50, fill_value=-1)
    else:
        tiny.table["NUMBER"] = ["" if i == 50 else f"J{i}" for i in range(64)]
    tiny.write(2)
    fault = fails()
    assert fault.file.endswith("s01.fits")
    assert (fault.column, fault.value) == ("NUMBER", "null" if kind == "integer" else "''")
    assert "have no id" in fault.problem


def test_shards_that_disagree_on_a_type(fails, tiny):
    tiny.table["MAG"] = tiny.table["MAG"].astype(np.float32)
    tiny.table[32:].write(tiny.folder / "catalogs" / "s01.fits", overwrite=True)
    fault = fails()
    assert fault.file.endswith("s01.fits")
    assert fault.column == "MAG"
    assert "is float here, but double in the first shard" in fault.problem


def test_shard_that_lacks_a_column(fails, tiny):
    tiny.table.remove_column("MAG")
    tiny.table[32:].write(tiny.folder / "catalogs" / "s01.fits", overwrite=True)
    fault = fails()
    assert fault.file.endswith("s01.fits")
    assert (fault.column, fault.problem) == ("MAG", "no such column")


def test_shards_may_differ_in_columns_that_nobody_asked_for_and_in_order(objects, tiny):
    tiny.table["EXTRA"] = "only here"
    reordered = tiny.table[list(reversed(tiny.table.colnames))]
    reordered[32:].write(tiny.folder / "catalogs" / "s01.fits", overwrite=True)
    found = objects()
    assert found["object_id"].to_pylist() == list(range(1, 65))
    np.testing.assert_allclose(found["MAG"], tiny.table["MAG"])


@pytest.mark.parametrize("kind", ["variable length", "complex"])
def test_columns_that_arrow_has_no_rows_for_matter_only_if_they_are_needed(objects, fails, tiny, kind):
    for path in (tiny.folder / "catalogs").iterdir():
        with fits.open(path) as file:
            columns, n = file[1].columns, len(file[1].data)
            if kind == "complex":
                odd = fits.Column("ODD", "2C", array=np.ones((n, 2), complex))
            else:
                array = np.empty(n, object)
                array[:] = [np.arange(k % 5, dtype=np.float32) for k in range(n)]
                odd = fits.Column("ODD", "PE()", array=array)
            made = fits.BinTableHDU.from_columns([odd, *columns])
            made.data  # noqa: B018 - before its file is closed
        made.writeto(path, overwrite=True)
    assert objects()["object_id"].to_pylist() == list(range(1, 65))
    fault = fails(survey={"keep": ["ODD"]})
    assert fault.column == "ODD"
    assert kind in fault.problem


def test_vectors_of_strings_are_kept_as_such(objects, tiny):
    tiny.table["NAMES"] = [["a", f"b{i}"] for i in range(64)]
    tiny.write(2)
    assert objects(survey={"keep": ["NAMES"]})["NAMES"].to_pylist()[5] == ["a", "b5"]


def test_empty_shard_is_fine(objects, tiny):
    tiny.table[:0].write(tiny.folder / "catalogs" / "s02.fits")
    assert objects().num_rows == 64


def test_release_of_empty_shards(fails, tiny):
    tiny.table = tiny.table[:0]
    tiny.write(2)
    fault = fails()
    assert "none of its 2 shards has a row" in fault.problem


def test_pattern_that_no_file_matches(fails, tiny):
    fault = fails(survey={"catalogs": "catalogue/*.fits"})
    assert fault.file == f"{tiny.folder}/catalogue/*.fits"
    assert fault.problem == "no such catalog"
    assert "[survey] catalogs" in fault.remedy


def test_one_pattern_of_two_that_no_file_matches(fails):
    assert fails(survey={"catalogs": ["catalogs/*.fits", "more/*.fits"]}).file.endswith("more/*.fits")


def test_folder_in_the_place_of_a_catalog(fails):
    fault = fails(survey={"catalogs": "catalogs"})
    assert fault.problem == "is a folder"
    assert "/*.fits" in fault.remedy


def test_url_that_nobody_can_open(fails):
    fault = fails(survey={"catalogs": "gopher://survey/*.fits"})
    assert fault.file == "gopher://survey/*.fits"
    assert "cannot be listed" in fault.problem


def test_where_that_selects_nothing(fails):
    fault = fails(survey={"where": "MAG > 99"})
    assert fault.file == "[survey] where"
    assert fault.value == "MAG > 99"
    assert "selects no object" in fault.problem


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("MAG <", "is not one SQL condition"),
        ("", "is empty"),
        ("MAG", "must be true or false"),
        ("MAG < 24; DROP TABLE objects", "is not one SQL condition"),
        ("COPY objects TO '{folder}/stolen'", "is not one SQL condition"),
        ("MAG < 24) FROM objects; COPY objects TO '{folder}/stolen' --", ""),
        ("MAG IN (SELECT 1 FROM read_csv('/etc/passwd'))", "subquery"),
        ("EXISTS (FROM read_text('/etc/passwd'))", "subquery"),
        ("MAG > ?", "parameter"),
        ("COLUMNS(*) IS NOT NULL", "* is not allowed"),
        ("*", "* is not allowed"),
        ("MAG > avg(MAG)", ""),
        ("count(*) > 3", ""),
        ("random() < 0.5", "random()"),
        ("now() > TIMESTAMP '2020-01-01'", "now()"),
        ("no_such_function(MAG)", "no_such_function"),
        ("CAST(TILE AS INTEGER) > 0", "Could not convert string 't0'"),
    ],
)
def test_where_that_is_no_plain_condition(fails, tiny, condition, told):
    condition = condition.format(folder=tiny.folder)
    fault = fails(survey={"where": condition})
    assert fault.value == condition
    assert told in fault.problem
    assert not (tiny.folder / "stolen").exists()


def test_keep_of_a_name_that_the_catalog_uses_itself(fails, objects, tiny, shard):
    tiny.table.rename_column("MAG", "flags")
    tiny.write(2)
    fault = fails(survey={"keep": ["flags"]})
    assert (fault.file, fault.column) == (str(shard), "flags")
    assert fault.remedy == 'Rename it: keep = ["flags as survey_flags"]'
    assert objects(survey={"keep": ["flags as survey_flags"]})["survey_flags"][0].as_py() == pytest.approx(
        20.01
    )


@pytest.mark.parametrize("name", ["Class", "RA", "dec", "_healpix_29", "vote_kmeans", "Embedding", "Norder"])
def test_keep_under_a_name_that_the_catalog_uses_itself(fails, name):
    assert f"{name.lower()!r} of its own" in fails(survey={"keep": [f"MAG AS {name}"]}).problem


def test_two_kept_columns_of_one_name(fails):
    fault = fails(survey={"keep": ["MAG", "X_IMAGE as mag"]})
    assert fault.column == "X_IMAGE"
    assert "two kept columns" in fault.problem


def test_column_that_names_the_images_without_a_value(fails, tiny):
    tiny.table["FIELD"] = MaskedColumn(np.zeros(64, int), mask=np.arange(64) == 60)
    tiny.write(2)
    fault = fails(images={"path": "images/t{FIELD}_{band}.fits"})
    assert fault.file.endswith("s01.fits")
    assert (fault.column, fault.value) == ("FIELD", "null")


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.int16, np.uint8, np.uint16, np.uint64, str])
def test_ids_of_every_kind(objects, tiny, kind):
    values = tiny.table["NUMBER"].astype(kind)
    tiny.table["NUMBER"] = values
    tiny.write(2)
    ids = objects()["object_id"]
    assert ids.to_pylist() == values.tolist()
    assert str(ids.type) == ("string" if kind is str else np.dtype(kind).name)


def test_names_with_quotes_spaces_and_accents_work_everywhere(objects, tiny):
    folder = tiny.folder.parent / 'die "große" [Ära]*'
    tiny.folder.rename(folder)
    tiny.folder = folder
    table = tiny.table
    for old, new in {"NUMBER": 'my "odd" id', "MAG": "it's a\tmag; --", "TILE": "{tile} name"}.items():
        table.rename_column(old, new.replace("\t", " ").replace("{", "").replace("}", ""))
    table['my "odd" id'] = [f"NGC {i} é 星".encode() for i in range(64)]
    table["tile name"] = ["t0 Größe".encode()] * 64
    tiny.write(2)
    (folder / "images" / "t0_r.fits").rename(folder / "images" / "t0 Größe_r.fits")
    found = objects(
        survey={
            "id": 'my "odd" id',
            "keep": ['it\'s a mag; -- as Größe "x"'],
            "where": '"it\'s a mag; --" < 20.3 AND "my ""odd"" id" LIKE \'%é%\'',
        },
        images={"path": "images/{tile name}_{band}.fits"},
    )
    assert found["object_id"].to_pylist() == [f"NGC {i} é 星" for i in range(29)]
    assert found['Größe "x"'][0].as_py() == pytest.approx(20.01)
    assert not (found["flags"].to_numpy() != 0).any()


def test_catalog_whose_own_name_looks_like_a_pattern(objects, tiny):
    (tiny.folder / "catalogs" / "s00.fits").rename(tiny.folder / "catalogs" / "s[1].fits")
    assert objects(survey={"catalogs": "catalogs/s[1].fits"}).num_rows == 32


def test_catalog_that_may_not_be_read_is_told_apart_from_one_that_is_absent(fails, shard, monkeypatch):
    # A link to itself cannot be opened by anybody, root included.
    shard.unlink()
    shard.symlink_to(shard)
    fault = fails(survey={"catalogs": "catalogs/s0*.fits"})
    assert fault.file == str(shard)


def test_empty_list_of_rows_keeps_its_types(tiny):
    from catalogs.tables import open_table

    Table({"v": np.zeros((1, 3)), "s": ["x"]})[:0].write(tiny.folder / "none.fits")
    opened = open_table(str(tiny.folder / "none.fits"))
    assert str(opened.empty.schema.field("v").type) == "fixed_size_list<item: double>[3]"
