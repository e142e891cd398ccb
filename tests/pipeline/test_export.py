"""Exported files hold what the catalog holds, in the readers that astronomers use."""

from __future__ import annotations

import gzip
import io
import json
import sys
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.table import Table
from astropy.utils.exceptions import AstropyUserWarning

from catalogs import export_fits, export_rows, storage, views
from catalogs.answer import select
from catalogs.errors import BadRequest, CannotWrite
from catalogs.export_columns import columns_of
from catalogs.export_rows import row_type, rows_of
from pipeline.cli import main
from pipeline.results.export import export

BIG = 1237648720693690487
N = 5
INTEGERS = {
    "tiny": (pa.int8(), [-128, 127, 0, 1, None]),
    "byte": (pa.uint8(), [0, 254, 1, 2, None]),
    "small": (pa.int16(), [-(2**15), 2**15 - 2, 0, 1, None]),
    "usmall": (pa.uint16(), [0, 2**16 - 1, 1, 2, None]),
    "normal": (pa.int32(), [-(2**31), 2**31 - 2, 0, 1, None]),
    "unormal": (pa.uint32(), [0, 2**32 - 1, 1, 2, None]),
    "large": (pa.int64(), [-(2**63), 2**63 - 2, BIG, BIG + 1, None]),
    "ularge": (pa.uint64(), [0, 2**63 - 1, BIG, BIG + 1, None]),
}
TEXTS = ["a", "", "spiral & <ring>", "x" * 40, None]
SINGLE = [1.5, float("inf"), -1e-30, 0.1, None]
LISTS = [[1.0, 0.5], [2.0, -3.0], [0.0, 7.0], [1.0, 1.0], None]


def field(name, kind, unit="", ucd="", description=""):
    texts = {"unit": unit, "ucd": ucd, "description": description}
    return pa.field(name, kind, metadata={key: text for key, text in texts.items() if text})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run as published, by hand, with columns of every type."""
    folder = tmp_path_factory.mktemp("run") / "[run]"
    fields = [
        field("object_id", pa.int64(), ucd="meta.id;meta.main", description="id " + "of the survey " * 8),
        field("ra", pa.float64(), "deg", "pos.eq.ra;meta.main", "right ascension, ä"),
        field("brightness", pa.float32(), "1 / arcsec2", "UCD1_OF_OLD", "surface brightness"),
        field("colour", pa.float32(), "mag(odd)", "", "odd unit"),
        field("kept", pa.bool_()),
        field("class", pa.string(), "", "meta.code.class", "type"),
        field("day", pa.date32()),
        field("time", pa.timestamp("us")),
        *[field(name, kind, "ct", "phot.count") for name, (kind, _) in INTEGERS.items()],
    ]
    day = np.array(["2026-01-31"] * 4 + ["NaT"], "datetime64[D]")
    objects = [
        [BIG + n for n in range(N)],
        [10.123456789012345, 359.9, 0.1, 1e-9, None],
        SINGLE,
        SINGLE,
        [True, False, True, False, None],
        TEXTS,
        day,
        day.astype("datetime64[us]"),
        *[values for _, values in INTEGERS.values()],
    ]
    arrays = [pa.array(values, f.type) for values, f in zip(objects, fields, strict=True)]
    vectors = pa.array(LISTS, pa.list_(pa.float16(), 2))
    embedded = pa.schema([fields[0], field("embedding", vectors.type, "", "stat", "embedding")])
    tables = {
        "catalog": pa.Table.from_arrays(arrays, schema=pa.schema(fields)),
        "embeddings": pa.Table.from_arrays([arrays[0], vectors], schema=embedded),
    }
    for name, table in tables.items():
        (folder / name).mkdir(parents=True)
        pq.write_table(table, folder / name / "part-000000.parquet")
    return str(folder)


@pytest.fixture
def typed(monkeypatch, capsysbinary):
    """Type a command: its exit code and what it printed."""

    def typed(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tuningfork", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main.main()
        return left.value.code or 0, capsysbinary.readouterr().out.decode()

    return typed


def masked(column) -> list:
    """Values of a column of astropy's, None where one is masked."""
    return np.ma.asarray(column).tolist() if hasattr(column, "mask") else column.tolist()


def read_fits(file) -> Table:
    with warnings.catch_warnings():
        # astropy has no null among logicals: it says so, and makes them False.
        warnings.filterwarnings("ignore", "Column .* contains NULL", AstropyUserWarning)
        return Table.read(file, unit_parse_strict="silent")


def read_votable(file) -> Table:
    return votable.parse(str(file), verify="exception").get_first_table().to_table(use_names_over_ids=True)


READERS = {"fits": read_fits, "vot": read_votable, "parquet": pd.read_parquet, "csv": pd.read_csv}

EVERYTHING = "SELECT * FROM objects JOIN embeddings USING (object_id) ORDER BY object_id"


def test_fits_loses_values_nulls_or_digits(run, tmp_path):
    export(run, str(tmp_path / "all.fits"), EVERYTHING)
    table = read_fits(tmp_path / "all.fits")
    assert table["object_id"].tolist() == [BIG + n for n in range(N)]
    for name, (_, values) in INTEGERS.items():
        assert masked(table[name]) == values, name
    assert masked(table["ra"]) == [10.123456789012345, 359.9, 0.1, 1e-9, None]
    assert table["brightness"].dtype == ">f4"
    assert masked(table["brightness"])[:4] == np.array(SINGLE[:4], "f4").tolist()
    assert [text.decode() if text else "" for text in masked(table["class"])] == [
        text or "" for text in TEXTS
    ]
    assert table["day"][0] == "2026-01-31"
    assert table["time"][0] == "2026-01-31T00:00:00.000000"
    assert np.asarray(table["embedding"])[:4].tolist() == LISTS[:4]
    assert np.isnan(np.asarray(table["embedding"])[4]).all()
    with fits.open(tmp_path / "all.fits") as file:
        file.verify("exception")
        assert file[1].columns["large"].null is not None
        assert file[1].columns["embedding"].format == "2E"
        assert bytes(file[1].data.view(np.ndarray)["kept"].view("u1")) == b"TFTF\0"


def test_fits_columns_have_no_unit_ucd_or_description(run, tmp_path):
    export(run, str(tmp_path / "all.fits"), EVERYTHING)
    header = fits.getheader(tmp_path / "all.fits", 1)
    number = {header[f"TTYPE{n}"]: n for n in range(1, header["TFIELDS"] + 1)}

    def cards(name):
        return [header.get(f"{card}{number[name]}") for card in ("TUNIT", "TUCD", "TCOMM")]

    assert cards("ra") == ["deg", "pos.eq.ra;meta.main", r"right ascension, \xe4"]
    assert cards("brightness") == ["arcsec-2", "UCD1_OF_OLD", "surface brightness"]
    assert cards("colour") == ["mag(odd)", None, "odd unit"]
    assert cards("object_id")[2] == ("id " + "of the survey " * 8).strip()
    assert cards("embedding") == [None, "stat", "embedding"]
    assert cards("large")[0] == "count"


@pytest.mark.parametrize("suffix", [".vot", ".votable", ".xml", ".vot.gz"])
def test_votable_loses_values_nulls_or_digits(run, tmp_path, suffix):
    file = tmp_path / f"all{suffix}"
    export(run, str(file), EVERYTHING)
    table = read_votable(file)
    for name, (_, values) in INTEGERS.items():
        assert masked(table[name]) == values, name
    assert masked(table["ra"]) == [10.123456789012345, 359.9, 0.1, 1e-9, None]
    assert masked(table["brightness"]) == [*np.array(SINGLE[:4], "f4").tolist(), None]
    assert masked(table["kept"]) == [True, False, True, False, None]
    assert masked(table["class"]) == [text or "" for text in TEXTS]
    assert np.asarray(table["embedding"])[:4].tolist() == LISTS[:4]
    assert np.ma.getmaskarray(table["embedding"])[4].all()


def test_votable_columns_have_no_unit_ucd_or_description(run, tmp_path):
    export(run, str(tmp_path / "all.vot"), EVERYTHING)
    fields = {
        f.name: f for f in votable.parse(tmp_path / "all.vot", verify="exception").get_first_table().fields
    }
    ra, old = fields["ra"], fields["brightness"]
    assert (str(ra.unit), ra.ucd, ra.description) == ("deg", "pos.eq.ra;meta.main", "right ascension, ä")
    assert (str(old.unit), old.ucd) == ("1 / arcsec2", None)
    assert old.description == "surface brightness (ucd: UCD1_OF_OLD)"
    assert fields["colour"].description == "odd unit (unit: mag(odd))"


def test_parquet_loses_values_or_metadata(run, tmp_path):
    export(run, str(tmp_path / "all.parquet"), EVERYTHING)
    table = pq.read_table(tmp_path / "all.parquet")
    for name, (kind, values) in INTEGERS.items():
        assert (table[name].type, table[name].to_pylist()) == (kind, values)
    assert table["class"].to_pylist() == TEXTS
    assert table["embedding"].to_pylist() == LISTS
    assert table.schema.field("ra").metadata[b"unit"] == b"deg"
    assert table.schema.field("embedding").metadata[b"description"] == b"embedding"


def test_parquet_has_no_units_in_topcat_and_astropy(run, tmp_path):
    export(run, str(tmp_path / "some.parquet"), "SELECT ra, brightness, large FROM objects WHERE ra > 0")
    content = pq.read_metadata(tmp_path / "some.parquet").metadata[b"IVOA.VOTable-Parquet.content"]
    found = votable.parse(io.BytesIO(content), verify="exception").get_first_table().fields
    assert [(f.name, f.datatype) for f in found][:2] == [("ra", "double"), ("brightness", "float")]
    table = Table.read(tmp_path / "some.parquet", format="parquet.votable")
    assert table["ra"].unit == "deg"
    assert table["large"].tolist()[2] == BIG


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_csv_loses_digits_or_lists(run, tmp_path, suffix):
    file = tmp_path / f"all{suffix}"
    export(run, str(file), EVERYTHING)
    table = pd.read_csv(file, dtype_backend="numpy_nullable", dtype={"ularge": "UInt64"})
    assert table["object_id"].tolist() == [BIG + n for n in range(N)]
    assert table["ularge"].tolist()[:4] == INTEGERS["ularge"][1][:4]
    assert table["ularge"].isna().tolist() == [False] * 4 + [True]
    assert json.loads(table["embedding"][1]) == LISTS[1]


def test_equal_answers_are_different_bytes_when_compressed(run, tmp_path):
    for name in ("a", "b"):
        export(run, str(tmp_path / f"{name}.fits.gz"), EVERYTHING)
    assert (tmp_path / "a.fits.gz").read_bytes() == (tmp_path / "b.fits.gz").read_bytes()
    export(run, str(tmp_path / "c.fits"), EVERYTHING)
    assert gzip.decompress((tmp_path / "a.fits.gz").read_bytes()) == (tmp_path / "c.fits").read_bytes()


@pytest.mark.parametrize("suffix", ["fits", "vot", "parquet", "csv"])
def test_rows_of_many_batches_are_lost_or_out_of_order(run, tmp_path, suffix):
    rows = 40_001 if suffix == "vot" else 130_001  # which astropy reads slowly
    sql = "SELECT i AS n, i % 7 = 0 AS b, i || '' AS s, [i, -i]::FLOAT[2] AS l "
    sql += f"FROM range({rows}) t(i) ORDER BY i % 10, i DESC"
    file = tmp_path / f"many.{suffix}"
    export(run, str(file), sql)
    expected = sorted(range(rows), key=lambda i: (i % 10, -i))
    table = READERS[suffix](file)
    assert table["n"].tolist() == expected
    assert [int(text) for text in table["s"].tolist()] == expected
    if suffix == "fits":
        assert table["l"][:, 1].tolist() == [-i for i in expected]


@pytest.mark.parametrize("suffix", ["fits", "vot", "parquet", "csv"])
def test_an_answer_without_rows_is_no_file(run, tmp_path, suffix):
    file = tmp_path / f"none.{suffix}"
    export(run, str(file), f"SELECT * FROM ({EVERYTHING}) WHERE false")
    table = READERS[suffix](file)
    assert len(table) == 0
    assert list(getattr(table, "colnames", None) or table.columns)[:2] == ["object_id", "ra"]


def test_whole_catalog_is_exported_without_sql(run, typed, tmp_path):
    code, text = typed("export", run, tmp_path / "new" / "all.fits")
    assert code == 0, text
    assert "5 rows, 16 columns" in text
    assert len(read_fits(tmp_path / "new" / "all.fits")) == N


def test_unsigned_ids_above_the_signed_ones_lose_digits(run, tmp_path):
    ids = [2**64 - 1, 2**63, BIG]
    sql = f"SELECT unnest([{', '.join(f'{i}::UBIGINT' for i in ids)}]) AS objID"
    export(run, str(tmp_path / "ids.fits"), sql)
    assert Table.read(tmp_path / "ids.fits")["objID"].tolist() == ids
    with pytest.raises(BadRequest, match=f"'objID' holds {2**64 - 1}.*VOTable has no integer"):
        export(run, str(tmp_path / "ids.vot"), sql)


def test_sums_decimals_and_enums_are_refused_or_wrong(run, tmp_path):
    sql = "SELECT sum(byte) AS total, 1.25 AS d, 'b'::ENUM('a', 'b') AS e, TIMESTAMPTZ '2026-01-31 01:00:00+01' AS t, [1, NULL] AS l, TIMESTAMP_NS '2026-01-31 00:00:00.123456789' AS ns FROM objects"
    export(run, str(tmp_path / "x.fits"), sql)
    export(run, str(tmp_path / "x.vot"), sql)
    for table in (Table.read(tmp_path / "x.fits"), read_votable(tmp_path / "x.vot")):
        assert (table["total"][0], table["d"][0], table["e"][0]) == (257, 1.25, "b")
        assert table["t"][0] == "2026-01-31T00:00:00.000000"
        assert masked(table["l"]) == [[1, None]]
        assert table["ns"][0] == "2026-01-31T00:00:00.123456789"
    export(run, str(tmp_path / "x.parquet"), "SELECT 1.25 AS d, {'a': 1} AS s")
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == [{"d": Decimal("1.25"), "s": {"a": 1}}]


def test_text_of_any_script_is_broken_in_votable(run, tmp_path):
    texts = ["ä", "\N{MATHEMATICAL ITALIC SMALL ALPHA} Cen", "", " blanks ", "long " * 30]
    values = ", ".join(f"('{text}')" for text in texts)
    export(run, str(tmp_path / "x.vot"), f'SELECT s AS "Stern é" FROM (VALUES {values}) t(s)')
    assert read_votable(tmp_path / "x.vot")["Stern é"].tolist() == texts


@pytest.mark.parametrize("suffix", ["fits", "vot"])
def test_one_long_text_makes_all_rows_too_wide_for_memory(run, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(export_rows, "MOST_BYTES", 1000)
    sql = "SELECT i AS n, CASE WHEN i = 7 THEN repeat('x', 600) ELSE 'y' END AS s, [i, 2 * i] AS l FROM range(50) t(i)"
    export(run, str(tmp_path / f"x.{suffix}"), sql)
    table = READERS[suffix](tmp_path / f"x.{suffix}")
    assert np.asarray(table["l"]).tolist() == [[i, 2 * i] for i in range(50)]
    assert [len(text) for text in table["s"]] == [600 if i == 7 else 1 for i in range(50)]


REFUSED = [
    ("x.fits", "SELECT 'ä' AS s", "column 's' holds 'ä'"),
    ("x.fits", "SELECT chr(10) AS s", "printable ASCII"),
    ("x.fits", "SELECT 1 AS é", "column 'é'"),
    ("x.vot", 'SELECT 1 AS "a\x01"', "cannot be printed"),
    ("x.fits", "SELECT unnest([[1], [1, 2]]) AS l", "lists of 1 to 2 values"),
    ("x.vot", "SELECT unnest([[1], [1, 2]]) AS l", "lists of 1 to 2 values"),
    ("x.vot", "SELECT chr(0) AS s", "other than NUL"),
    ("x.fits", "SELECT {'a': 1} AS s", "column 's' is of type STRUCT"),
    ("x.fits", "SELECT []::INTEGER[] AS l", "lists of 0 to 0 values"),
    ("x.fits", "SELECT [[1]] AS l", "column 'l' is of type INTEGER[][]"),
    ("x.fits", "SELECT ['a'] AS l", "column 'l' is of type VARCHAR[]"),
    ("x.vot", "SELECT NULL AS n", "column 'n' is of type"),
    ("x.fits", "SELECT 1180591620717411303424 AS h", "column 'h'"),
    ("x.fits", f"SELECT unnest([{2**63}::UBIGINT, NULL]) AS u", "beside a null"),
    (
        "x.fits",
        "SELECT unnest(range(256))::UTINYINT AS b UNION ALL SELECT NULL",
        "no integer left for its nulls",
    ),
    ("x.parquet", "SELECT INTERVAL 2 MONTHS AS i", "Parquet cannot hold"),
    ("x.csv", "SELECT 1 AS a, 2 AS A", "called 'a'"),
    ("x.fits", "SELECT 1 AS a, 2 AS a", "called 'a'"),
    ("x.txt", "SELECT 1", "names no format"),
    ("x.parquet.gz", "SELECT 1", "names no format"),
    ("fits", "SELECT 1", "names no format"),
    ("x.csv", "SELECT nonsense FROM objects", "nonsense"),
    ("x.csv", "SELECT 1; SELECT 2", "not one SELECT"),
    ("x.csv", "CREATE TABLE t (a INTEGER)", "not one SELECT"),
    ("x.csv", "", "not one SELECT"),
    ("x.csv", "COPY objects TO 'y.csv'", "not one SELECT"),
]


@pytest.mark.parametrize(("name", "sql", "told"), REFUSED)
def test_what_cannot_be_written_is_a_traceback_or_a_broken_file(run, typed, tmp_path, name, sql, told):
    code, text = typed("export", run, tmp_path / name, sql)
    assert code == 2, text
    assert told in text
    assert len(text.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["fits", "vot", "parquet", "csv", "csv.gz"])
def test_a_query_that_fails_half_way_leaves_a_file_or_destroys_the_old_one(run, tmp_path, suffix):
    file = tmp_path / f"x.{suffix}"
    file.write_bytes(b"old")
    # which fails late, and for FITS and VOTable already when it is counted
    sql = (
        "SELECT CASE WHEN i = 140_000 THEN error('no such galaxy') ELSE 'a' END AS s FROM range(150_000) t(i)"
    )
    with pytest.raises(BadRequest, match="no such galaxy") as told:
        export(run, str(file), sql)
    assert "\n" not in str(told.value)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [(file.name, b"old")]


def test_rows_that_come_and_go_fill_a_file_of_another_length(run, tmp_path):
    with pytest.raises(BadRequest, match="other rows"):
        export(run, str(tmp_path / "x.fits"), "SELECT i FROM range(100_000) t(i) WHERE random() < 0.5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("'a' AS v", "'ab' AS v"),
        ("'a' AS v", "'ä' AS v"),
        ("1 AS v", "NULL::INTEGER AS v"),
        ("unnest([1, NULL]) AS v", "unnest([1, -2147483648]) AS v"),
        ("[1, 2] AS v", "[1, 2, 3] AS v"),
        ("[1, 2] AS v", "[1, NULL] AS v"),
        ("1 AS v", "unnest([1, 2]) AS v"),
        ("unnest([1, 2]) AS v", "1 AS v"),
    ],
)
def test_what_changes_between_the_passes_is_cut_or_takes_the_place_of_a_null(run, first, second):
    with views.connect(run) as connection:
        found = select(connection, f"SELECT {first}", run)
        rows, columns = columns_of(found, export_fits.TEXT)
        select(connection, f"SELECT {second}", run)  # which takes the place of the first one's view
        with pytest.raises(BadRequest, match="other rows"):
            list(rows_of(found, rows, columns, row_type(columns)))


def test_run_without_catalog_is_a_traceback(typed, tmp_path):
    code, text = typed("export", tmp_path, tmp_path / "x.fits")
    assert code == 2
    assert "no catalog yet" in text


def test_a_folder_in_the_way_is_a_traceback(run, tmp_path):
    (tmp_path / "x.fits").mkdir()
    with pytest.raises(CannotWrite, match=r"x\.fits cannot be written"):
        export(run, str(tmp_path / "x.fits"), "SELECT 1 AS a")
    assert [p.name for p in tmp_path.iterdir()] == ["x.fits"]


def test_other_columns_take_the_meaning_of_the_catalogs(run, tmp_path):
    sql = "SELECT brightness::VARCHAR AS brightness, ra AS r, dec FROM objects, (SELECT 1.0 AS dec)"
    export(run, str(tmp_path / "x.fits"), sql)
    header = fits.getheader(tmp_path / "x.fits", 1)
    assert [card for card in header if card.startswith(("TUNIT", "TUCD", "TCOMM"))] == []


def test_export_to_s3_leaves_half_an_object(run, bucket):
    export(run, f"{bucket}/out/x.fits", EVERYTHING)
    assert storage.read(f"{bucket}/out/x.fits")[:6] == b"SIMPLE"
    failing = "SELECT error('no such galaxy') FROM range(150_000) t(i) WHERE i > 140_000"
    with pytest.raises(BadRequest, match="no such galaxy"):
        export(run, f"{bucket}/out/y.csv", failing)
    assert storage.names(f"{bucket}/out") == ["x.fits"]
