"""The same galaxies in a catalog of any kind are the same objects; a bad one is refused in one line."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from hats.pixel_math.spatial_index import compute_spatial_index

from catalogs import hats_catalog, hats_metadata, storage
from catalogs.errors import CorruptFile, Refused
from catalogs.inspect import inspect
from catalogs.release import Release
from catalogs.survey import Survey
from tests.catalogs.conftest import everything
from tests.conftest import TinyRelease


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> TinyRelease:
    """The tiny release with its catalog of every kind, each in a folder of its own."""
    return with_catalogs(TinyRelease(tmp_path_factory.mktemp("any") / "release"))


def with_catalogs(release: TinyRelease) -> TinyRelease:
    table = release.table
    for kind in ("parquet", "csv", "ecsv", "vot"):
        for number, rows in enumerate(np.array_split(np.arange(len(table)), 2)):
            (release.folder / kind).mkdir(exist_ok=True)
            table[rows].write(
                release.folder / kind / f"s{number:02d}.{kind}", format={"vot": "votable"}.get(kind)
            )
    arrow = pq.read_table(release.folder / "parquet" / "s00.parquet")
    arrow = pa.concat_tables([arrow, pq.read_table(release.folder / "parquet" / "s01.parquet")])
    (release.folder / "one").mkdir()
    pq.write_table(arrow, release.folder / "one" / "all.parquet", row_group_size=10)
    pq.write_to_dataset(arrow, release.folder / "dataset", partition_cols=["TILE"])
    _write_hats(arrow, str(release.folder / "hats"))
    return release


def _write_hats(rows: pa.Table, folder: str) -> None:
    index = compute_spatial_index(rows["RA"].to_numpy(), rows["DEC"].to_numpy())
    found = [hats_catalog.Partition(14, int(pixel)) for pixel in sorted(set((index >> 30).tolist()))]
    for partition in found:
        own = rows.filter(pa.array(partition.holds(index))).rename_columns({"NUMBER": "object_id"})
        own = own.append_column("_healpix_29", pa.array(index[partition.holds(index)]))
        hats_catalog.write_partition(folder, partition, own)
    counts = Counter((index >> 2 * (29 - hats_catalog.ORDER)).tolist())
    hats_metadata.finish(folder, "tiny", found, rows.num_rows, counts)


def look(made: TinyRelease, folder: Path | str | None = None, **sections) -> Release:
    return inspect(Survey.model_validate(made.config(**sections)["survey"]), str(folder or made.folder))


def same(release: Release, slice_rows: int) -> pa.Table:
    rows = everything(release, slice_rows).sort_by("object_id").drop_columns(["shard", "row"])
    return rows.replace_schema_metadata(None).combine_chunks()


KINDS = {
    "Parquet": "parquet/*.parquet",
    "one Parquet file": "one/all.parquet",
    "partitioned": "dataset",
    "HATS": "hats",
    "CSV": "csv/*.csv",
    "ECSV": "ecsv/*.ecsv",
    "VOTable": "vot/*.vot",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_catalog_of_another_kind_has_other_objects(made, kind):
    where = '"MAG" > 20.05 AND "TILE" = \'t0\''
    expected = same(look(made, survey={"where": where}), 16)
    keys = {"catalogs": KINDS[kind], "where": where} | ({"id": "object_id"} if kind == "HATS" else {})
    release = look(made, survey=keys)
    assert release.rows == 64
    for slice_rows in (7, 16_384):
        found = same(release, slice_rows)
        assert found.equals(expected), slice_rows
        if kind not in {"CSV", "HATS"}:  # CSV has no units, and this HATS was given none
            assert found.schema.field("MAG").metadata == {b"unit": b"mag"}


@pytest.mark.slow
def test_five_thousand_galaxies_differ_by_the_kind_of_their_catalog(tmp_path):
    large = with_catalogs(TinyRelease(tmp_path / "large", shards=7, per_side=71))
    expected = same(look(large), 512)
    assert expected.num_rows == 5041
    for kind, catalogs in KINDS.items():
        keys = {"catalogs": catalogs} | ({"id": "object_id"} if kind == "HATS" else {})
        release = look(large, survey=keys)
        assert same(release, 16_384).equals(expected), kind
        names = release.columns.names
        for table in (shard.table for shard in release.shards[:3]):
            pieces = [table.read(row, min(row + 7, table.rows), names) for row in range(0, table.rows, 7)]
            assert pa.concat_tables(pieces).equals(table.read(0, table.rows, names)), kind


@pytest.mark.slow
def test_five_thousand_galaxies_in_structs_are_others(tmp_path, bucket):
    large = TinyRelease(tmp_path / "large", shards=7, per_side=71)
    in_pixels = {"position": "pixel", "pixel_scale": 0.2}  # at the borders of pixels no WCS decides
    expected = same(look(large, images=in_pixels), 512)
    assert expected.num_rows == 5041
    write_structs(large, large.folder / "struct")
    layout = {"layout": "struct", "column": "image", "path": None, "pixel_scale": 0.2}
    for path in (large.folder / "struct").iterdir():
        storage.write(f"{bucket}/structs/{path.name}", path.read_bytes())
    for folder, slice_rows in [("struct", 7), ("struct", 16_384), (f"{bucket}/structs", 16_384)]:
        config = large.config(images=layout)["survey"] | {"catalogs": f"{folder}/*.parquet"}
        release = inspect(Survey.model_validate(config), str(large.folder))
        assert same(release, slice_rows).equals(expected), (folder, slice_rows)


def write_structs(release: TinyRelease, folder: Path) -> None:
    """The catalog with the stamps of its tile, in records of the Multimodal Universe, in three shards."""
    folder.mkdir()
    image = fits.getdata(release.folder / "images" / "t0_r.fits")
    half = 16
    for number, rows in enumerate(np.array_split(np.arange(len(release.table)), 3)):
        part = release.table[rows]
        corners = [(int(y) - 1 - half, int(x) - 1 - half) for y, x in zip(part["Y_IMAGE"], part["X_IMAGE"])]
        stamps = [image[y : y + 2 * half, x : x + 2 * half].astype(np.float32) for y, x in corners]
        flux = pa.array([[stamp.tolist()] for stamp in stamps], pa.list_(pa.list_(pa.list_(pa.float32()))))
        bands = pa.array([["r"]] * len(rows))
        cells = {name: pa.array(np.asarray(part[name]).tolist()) for name in ("NUMBER", "RA", "DEC", "MAG")}
        table = pa.table({**cells, "image": pa.StructArray.from_arrays([bands, flux], ["band", "flux"])})
        unit = pa.field("MAG", pa.float64(), metadata={"unit": "mag"})
        table = table.set_column(3, unit, table["MAG"])
        pq.write_table(table, folder / f"s{number}.parquet", row_group_size=500)


def test_an_object_store_has_other_objects(made, bucket):
    expected = same(look(made), 16)
    for kind in ("hats", "one"):
        for path in (made.folder / kind).rglob("*"):
            if path.is_file():
                storage.write(f"{bucket}/{path.relative_to(made.folder)}", path.read_bytes())
    assert same(look(made, survey={"catalogs": f"{bucket}/one/*.parquet"}), 7).equals(expected)
    assert same(look(made, survey={"catalogs": f"{bucket}/hats", "id": "object_id"}), 16_384).equals(expected)


def test_rows_read_in_any_order_and_by_several_are_others(made):
    table = look(made, survey={"catalogs": "one/all.parquet"}).shards[0].table
    whole = table.read(0, 64, ["NUMBER", "MAG"])
    for start, stop in [(50, 60), (0, 7), (7, 14), (9, 33), (63, 64), (20, 20), (14, 64)]:
        assert table.read(start, stop, ["NUMBER", "MAG"]).equals(whole.slice(start, stop - start))


def test_only_the_columns_asked_for_are_read_of_a_parquet_file(made, monkeypatch):
    from catalogs import parquet_rows

    asked = []
    real = parquet_rows.read
    monkeypatch.setattr(parquet_rows, "read", lambda *a: asked.append(a[4]) or real(*a))
    look(made, survey={"catalogs": "one/all.parquet"}).shards[0].table.read(0, 5, ["MAG"])
    looked_at = [
        "NUMBER",
        "TILE",
        "RA",
        "DEC",
    ]  # for ids and names of tiles, and for what lies beside its tile
    assert asked == [looked_at, looked_at, ["MAG"]]


def bad(made: TinyRelease, folder: Path, name: str, **survey) -> str:
    with pytest.raises(Refused) as refused:
        look(
            made,
            folder,
            survey={"catalogs": name, **survey},
            images={"path": f"{made.folder}/images/{{TILE}}_{{band}}.fits"},
        )
    (fault,) = refused.value.faults
    assert "\n" not in str(fault)
    assert str(folder) in fault.file
    assert fault.remedy
    return str(fault)


def write(folder: Path, name: str, content: bytes | str) -> str:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


CSV = "NUMBER,RA,DEC,TILE,MAG\n1,150.0,2.0,t0,20.5\n2,150.001,2.0,t0,20.6\n"


def test_bad_parquet(made, tmp_path):
    whole = (made.folder / "one" / "all.parquet").read_bytes()
    assert "is truncated" in bad(made, tmp_path, write(tmp_path, "cut.parquet", whole[:2000]))
    assert "is not a Parquet file" in bad(made, tmp_path, write(tmp_path, "no.parquet", CSV))
    broken = whole[:-400] + bytes(200) + whole[-200:]
    assert "footer of its Parquet is damaged" in bad(made, tmp_path, write(tmp_path, "b.parquet", broken))
    rows = pq.read_table(made.folder / "one" / "all.parquet")
    nested = pa.StructArray.from_arrays([rows["NUMBER"].combine_chunks()], ["id"])
    pq.write_table(rows.set_column(0, "NUMBER", nested), tmp_path / "nested.parquet")
    assert "column 'NUMBER': is nested (a struct)" in bad(made, tmp_path, "nested.parquet")
    pq.write_table(rows.set_column(0, "NUMBER", pa.array([[1]] * 64)), tmp_path / "list.parquet")
    assert "is of variable length" in bad(made, tmp_path, "list.parquet")


def test_damage_behind_the_footer_of_parquet_is_told_when_it_is_read(made, tmp_path):
    whole = bytearray((made.folder / "parquet" / "s00.parquet").read_bytes())
    (tmp_path / "s.parquet").write_bytes(whole)
    table = look(made, survey={"catalogs": str(tmp_path / "s.parquet")}).shards[0].table
    whole[4:1200] = bytes(1196)
    import os

    before = (tmp_path / "s.parquet").stat()
    (tmp_path / "s.parquet").write_bytes(whole)
    os.utime(tmp_path / "s.parquet", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(CorruptFile, match=r"s.parquet: cannot be read"):
        table.read(0, 32, ["NUMBER", "MAG"])


def test_hats_without_its_metadata(made, tmp_path):
    for path in (made.folder / "hats").rglob("*.parquet"):
        to = tmp_path / "h" / path.relative_to(made.folder / "hats")
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes())
    assert "has neither hats.properties nor collection.properties" in bad(made, tmp_path, "h")
    properties = (made.folder / "hats" / "hats.properties").read_text()
    (tmp_path / "h" / "hats.properties").write_text(properties)
    (tmp_path / "h" / "partition_info.csv").write_text("Norder,Npix\nfive,6\n")
    assert "HATS metadata cannot be read" in bad(made, tmp_path, "h", id="object_id")
    (tmp_path / "h" / "partition_info.csv").write_bytes(
        (made.folder / "hats" / "partition_info.csv").read_bytes()
    )
    (tmp_path / "h" / "hats.properties").write_text(properties.replace("=64", "=65"))
    assert "promise 65 rows, but its" in bad(made, tmp_path, "h", id="object_id")


@pytest.mark.parametrize(
    "text", [CSV, "\ufeff" + CSV, CSV.replace(",", ";"), CSV.replace(",", "\t"), CSV.replace("\n", "\r\n")]
)
def test_a_byte_order_mark_or_semicolons_change_what_csv_says(made, tmp_path, text):
    write(tmp_path, "c.csv", text)
    rows = everything(look(made, survey={"catalogs": str(tmp_path / "c.csv")}))
    assert rows["object_id"].to_pylist() == [1, 2]
    assert rows["MAG"].to_pylist() == [20.5, 20.6]


def test_bad_csv(made, tmp_path):
    assert "row 3 cannot be read (Expected 5 columns, got 2" in bad(
        made, tmp_path, write(tmp_path, "a.csv", CSV + "3,150\n")
    )
    assert "UTF-16" in bad(made, tmp_path, write(tmp_path, "b.csv", CSV.encode("utf-16")))
    assert "has no header line" in bad(made, tmp_path, write(tmp_path, "c.csv", ""))
    assert "two of its columns are called 'RA'" in bad(
        made, tmp_path, write(tmp_path, "d.csv", CSV.replace("DEC", "RA"))
    )
    comma = CSV.replace(",", ";").replace(".", ",")
    assert "column 'RA'" in (told := bad(made, tmp_path, write(tmp_path, "e.csv", comma), dec="RA"))
    assert "must be a number, not string" in told


def test_text_that_looks_like_a_number_loses_its_zeros(made, tmp_path):
    text = CSV.replace("t0,20.5", "007,20.5").replace("t0,20.6", "12,20.6")
    write(tmp_path, "z.csv", text)
    write(tmp_path, "zz.csv", "NUMBER,RA,DEC,TILE,MAG\n3,150.0,2.0,8,20\n")
    images = {"path": f"{made.folder}/images/t0_{{band}}.fits"}
    release = look(made, survey={"catalogs": str(tmp_path / "*.csv"), "keep": ["TILE", "MAG"]}, images=images)
    assert everything(release)["TILE"].to_pylist() == ["007", "12", "8"]
    assert everything(release)["MAG"].to_pylist() == [20.5, 20.6, 20.0]


def test_bad_votable(made, tmp_path):
    whole = (made.folder / "vot" / "s00.vot").read_text()
    assert "its VOTable is damaged" in bad(made, tmp_path, write(tmp_path, "a.vot", whole[:3000]))
    wrong = whole.replace("<TD>1</TD>", "<TD>one</TD>", 1)
    assert "its VOTable is damaged" in bad(made, tmp_path, write(tmp_path, "b.vot", wrong))
    error = '<INFO name="QUERY_STATUS" value="ERROR">no such table</INFO>'
    told = whole.replace('<RESOURCE type="results">', '<RESOURCE type="results">' + error)
    told = told if error in told else whole.replace("<TABLE", error + "<TABLE", 1)
    assert "no such table" in bad(made, tmp_path, write(tmp_path, "c.vot", told))


def test_units_of_voparquet_are_lost(made, tmp_path):
    from catalogs.column_notes import VOPARQUET

    rows = pq.read_table(made.folder / "one" / "all.parquet").replace_schema_metadata(None)
    votable = (made.folder / "vot" / "s00.vot").read_bytes()
    pq.write_table(rows.replace_schema_metadata({VOPARQUET: votable}), tmp_path / "v.parquet")
    release = look(made, survey={"catalogs": str(tmp_path / "v.parquet")})
    assert release.columns.field("MAG").metadata == {b"unit": b"mag"}


def test_an_image_may_be_named_by_its_url(made, tmp_path):
    rows = pq.read_table(made.folder / "one" / "all.parquet")
    urls = pa.array([f"file://{made.folder}/images/t0_r.fits"] * 64)
    pq.write_table(rows.append_column("URL", urls), tmp_path / "u.parquet")
    with warnings.catch_warnings():
        release = look(made, survey={"catalogs": str(tmp_path / "u.parquet")}, images={"path": "{URL}"})
    assert same(release, 16).equals(same(look(made), 16))


def test_fits_tables_of_other_kinds_have_other_objects(made, tmp_path):
    rows, whole = made.table, fits.BinTableHDU(made.table)
    header = fits.BinTableHDU.from_columns([fits.Column("Field Header Card", "1680A", array=["SIMPLE"])])
    header.name, whole.name = "LDAC_IMHEAD", "LDAC_OBJECTS"
    fits.HDUList([fits.PrimaryHDU(), header, whole]).writeto(tmp_path / "ldac.fits")
    formats = {
        "NUMBER": "I8",
        "RA": "D25.17",
        "DEC": "D25.17",
        "X_IMAGE": "F9.3",
        "Y_IMAGE": "F9.3",
        "MAG": "E25.16",
    }
    columns = [
        fits.Column(
            n,
            formats.get(n, "A4"),
            array=np.asarray(rows[n]),
            unit=str(rows[n].unit or "") or None,
            ascii=True,
        )
        for n in rows.colnames
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.TableHDU.from_columns(columns)]).writeto(tmp_path / "ascii.fits")
    expected = same(look(made), 16)
    for name in ("ldac", "ascii"):
        release = look(made, survey={"catalogs": str(tmp_path / f"{name}.fits")})
        assert same(release, 7).equals(expected), name
        assert release.columns.field("MAG").metadata == {b"unit": b"mag"}


def test_cells_of_an_ascii_table_that_are_blank_are_numbers(tmp_path):
    from catalogs.tables import open_table

    columns = [
        fits.Column("I", "I5", array=np.array([1, 2, 3]), null="-9", ascii=True),
        fits.Column("F", "F6.2", array=np.array([1.5, 2.5, 3.5]), ascii=True),
    ]
    path = tmp_path / "t.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.TableHDU.from_columns(columns)]).writeto(path)
    data = path.read_bytes()
    at = data.rindex(b"    2 ")
    data = data[:at] + b"   -9" + data[at + 5 :]
    at = data.rindex(b"  3.50")
    path.write_bytes(data[:at] + b"      " + data[at + 6 :])
    rows = open_table(str(path)).read(0, 3, ["I", "F"])
    assert rows["I"].to_pylist() == [1, None, 3]
    np.testing.assert_array_equal(rows["F"].to_numpy(), [1.5, 2.5, np.nan])
    path.write_bytes(data[:at] + b"  3.x0" + data[at + 6 :])
    with pytest.raises(CorruptFile, match=r"t.fits: cannot be read"):
        open_table(str(path)).read(0, 3, ["F"])
