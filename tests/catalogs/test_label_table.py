"""A table of labels keeps every cell, or says which one it can't keep."""

from __future__ import annotations

import bz2
import gzip

import pytest

from catalogs import label_table
from catalogs.errors import Refused
from catalogs.published import connect


def table(tmp_path, text, name="labels.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return label_table.read(path)


def column(tmp_path, *cells, name="x"):
    lines = [f"{number}.png,{cell}" for number, cell in enumerate(cells)]
    read = table(tmp_path, "\n".join([f"file,{name}", *lines, ""]))
    values = read.columns[name]
    return [None if missing else value for value, missing in zip(values.tolist(), values.isna())], read.notes


WORDS = ("None", "NA", "N/A", "null", "NULL", "nan", "NaN", "n/a", "<NA>", "#N/A", "-nan", "inf", "True")


def test_words_for_nothing_are_words(tmp_path):
    """Pandas takes them for empty cells: a bar of kind None is a label like weak."""
    assert column(tmp_path, *WORDS, "weak", "") == ([*WORDS, "weak", None], [])


def test_ids_may_be_any_words(tmp_path):
    assert column(tmp_path, *WORDS, name="id")[0] == [*WORDS]
    assert column(tmp_path, "1", "nan", "2", name="id")[0] == ["1", "nan", "2"]
    assert column(tmp_path, "1.0", "2.50", name="id")[0] == ["1.0", "2.50"]
    assert column(tmp_path, "True", "False", name="id")[0] == ["True", "False"]


def test_nan_among_numbers_is_no_number(tmp_path):
    """As in FITS; what else stands among numbers makes them text, and is told."""
    assert column(tmp_path, "1.5", "nan", "-2", "", "inf")[0] == [1.5, None, -2.0, None, float("inf")]
    big = 588848901530583233
    assert column(tmp_path, big, "NaN", "+7")[0] == [big, None, 7]
    values, notes = column(tmp_path, "1.5", "NA", "-2")
    assert values == ["1.5", "NA", "-2"]
    assert notes == [
        "column x: numbers, but for 'NA' (line 3): kept as text. Empty those cells to have numbers"
    ]
    assert column(tmp_path, "nan", "NaN") == (["nan", "NaN"], [])


def test_numbers_that_no_type_holds_stay_as_written(tmp_path):
    for cell in (str(2**64), "1e999", "9" * 6000):
        values, notes = column(tmp_path, cell, "2")
        assert values == [cell, "2"]
        assert "kept as text (line 2)" in notes[0]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_dialects_of_csv_are_one_table(tmp_path, separator, end, mark):
    rows = [["file", "note"], ["a.png", '"two\nlines, one; ""cell"""'], ["b.png", " é "], [], ["c.png", ""]]
    read = table(tmp_path, mark + end.join(separator.join(row) for row in rows) + end)
    assert read.files == ["a.png", "b.png", "c.png"]
    assert read.columns["note"].fillna("").tolist() == ['two\nlines, one; "cell"', "é", ""]
    assert read.lines.tolist() == [2, 4, 6]


def test_compressed_tables_are_read(tmp_path):
    text = b"file\na.png\n"
    assert table(tmp_path, gzip.compress(text), "a.csv.gz").files == ["a.png"]
    assert table(tmp_path, bz2.compress(text), "a.csv.bz2").files == ["a.png"]
    with pytest.raises(Refused, match="cannot be read as CSV"):
        table(tmp_path, gzip.compress(text)[:-9], "a.csv.gz")


def test_column_without_name_gets_one(tmp_path):
    """Pandas writes its index so."""
    read = table(tmp_path, ",file,x\n0,a.png,1\n1,b.png,2\n")
    assert list(read.columns) == ["id", "column_1", "x"]
    assert read.notes == ["column 1 has no name: it is called column_1"]
    assert list(table(tmp_path, "file,x,\na.png,1,\n").columns) == ["id", "x"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("file,x\n", "has no row"),
        ("name,x\na,1\n", "column 'file': has no such column; there are: name, x"),
        ("file,x\na.png,1\nb.png\nc.png,1,2\n", r"line 3 .*has 1 cells, the header 2(.|\n)*line 4 .*has 3 cells"),
        ('file,x\na.png,"no\nend\n', "line 2 cannot be read as CSV"),
        ('file,x\na.png,"a"b\n', "line 2 cannot be read as CSV"),
        (b"file,x\na.png,\xe9t\xe9\n", "line 2 is not UTF-8"),
        ("file,x\na.png,1\n".encode("utf-16"), "line 1 is not UTF-8"),
        ("file,x\n,1\na.png,1\n,2\n", r"line 2 names no file(.|\n)*line 4 names no file"),
        ("file,id\na.png,\n", "line 2 has no id"),
        ("file,id\na.png,7\nb.png,+7\n", "value 7: stands more than once, in lines 2 and 3"),
        ("file,id\na.png,g\nb.png,g \n", "value 'g': stands more than once"),
        ("file\na/1.png\nb/1.png\n", "value 1: stands more than once"),
        ("file,x,x\na.png,1,2\n", "column 'x': is in FITS and SQL the same as x"),
        ('file,"a\nb"\na.png,1\n', "no FITS header holds"),
        (f"file,{'x' * 69}\na.png,1\n", "has 69 characters"),
        ("file," + ",".join(f"c{n}" for n in range(998)) + "\na.png" + ",1" * 998 + "\n", "has 999 columns"),
        (f"file,x\na.png,1\nb.png,{'y' * 9000}\n", "line 3 has a text of more than 8,192 bytes"),
        (f"file,x\na.png,{'y' * 200_000}\n", "line 2 cannot be read as CSV"),
        ("file,x\na.png,b\0c\n", r"line 2 has a character of code 0"),
        ("file;x\na.png;0,5\nb.png;1\n", "value '0,5': line 2 has a decimal comma"),
    ],
)  # fmt: skip
def test_what_a_release_cannot_hold_is_refused_with_its_place(tmp_path, text, words):
    with pytest.raises(Refused, match=words) as refused:
        table(tmp_path, text)
    assert all(fault.remedy and "labels.csv" in fault.file for fault in refused.value.faults)


def test_many_faults_are_counted(tmp_path):
    with pytest.raises(Refused, match="and 80 more lines"):
        table(tmp_path, "file\n" + "a,b\n" * 100)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.dat"])
def test_published_tables_keep_their_words_and_digits(tmp_path, name):
    separator = {".csv": ",", ".gz": ",", ".tsv": "\t", ".dat": " "}[(tmp_path / name).suffix]
    rows = [["id", "kind", "long", "size"], ["a7", "None", "12345678901234567890", "1.5"]]
    rows += [["b", "NA", "12345678901234567891", "2"], ["c", "null", "1", "nan"]]
    text = "".join(separator.join(row) + "\n" for row in rows).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    with connect({"t": str(tmp_path / name)}, "SELECT * FROM t", "", "test") as connection:
        found = connection.sql("SELECT id::VARCHAR, kind, long::VARCHAR, size FROM objects").fetchall()
    assert [row[:3] for row in found] == [tuple(row[:3]) for row in rows[1:]]
    assert [row[3] for row in found[:2]] == [1.5, 2.0]


def test_ids_of_published_tables_are_typed_by_all_rows(tmp_path):
    """By the first 20,480 rows the id 0123 was a number, 123."""
    rows = "".join(f"{number},x\n" for number in range(1, 30_000))
    (tmp_path / "t.csv").write_text(f"id,kind\n{rows}0123,x\n")
    with connect({"t": str(tmp_path / "t.csv")}, "SELECT * FROM t", "", "test") as connection:
        assert connection.sql("SELECT id FROM objects WHERE id = '0123'").fetchall() == [("0123",)]
