"""Answers of queries as files: what is written can be read again, and means the same."""

from __future__ import annotations

import csv
import io
import json
import sys

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalogs import strict_json, views
from catalogs.canned import CannedQuery, refuse_what_is_not_there
from catalogs.errors import CannotWrite
from pipeline.cli import main, printing
from pipeline.cli import run as run_commands
from pipeline.engine import progress
from pipeline.results import answers, query
from tests.fuzz import fuzz

BIG = 1237648720693690487


def strict(text: str) -> object:
    def refuse(constant: str) -> object:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run as published, by hand."""
    folder = tmp_path_factory.mktemp("run") / "[run]"
    objects = pa.table(
        {
            "object_id": [BIG, BIG + 1, BIG + 2, BIG + 3],
            "objID": pa.array([2**64 - 1, 2**63, 2**53 + 1, None], pa.uint64()),
            "mag": [float("nan"), float("inf"), 20.5, None],
            "name": ["a", "b", "a", None],
            "spectrum": pa.array(
                [[1.0, float("nan")], [float("-inf"), 2.0], None, [0.0, 0.0]], pa.list_(pa.float64(), 2)
            ),
            "group": pa.array([0, 1, 0, None], pa.int16()),
            "kept": [True, True, True, None],
            "agreement": pa.array([1.0, 0.5, 1.0, None], pa.float32()),
            "reference_group": pa.array([0, 1, 1, None], pa.int16()),
            "class": ["SPH", "LTD", None, None],
            "flags": pa.array([0, 2, 0, 1], pa.int32()),
            "anomaly": pa.array([50.0, 99.0, 10.0, None], pa.float32()),
            "anomaly_distance": pa.array([0.5, 1.5, 0.2, None], pa.float32()),
        }
    )
    vectors = pa.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], None], pa.list_(pa.float32(), 2))
    embeddings = pa.table({"object_id": objects["object_id"], "embedding": vectors})
    for name, table in (("catalog", objects), ("embeddings", embeddings)):
        (folder / name).mkdir(parents=True)
        pq.write_table(table, folder / name / "part-000000.parquet")
    return str(folder)


@pytest.fixture
def typed(monkeypatch, capsysbinary):
    """Type a command: its exit code and what it printed."""

    def typed(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tuningfork", *words])
        with pytest.raises(SystemExit) as left:
            main.main()
        return left.value.code or 0, capsysbinary.readouterr().out.decode()

    return typed


def test_json_has_nan_or_loses_digits(run, typed):
    sql = "SELECT *, sum(objID) OVER () AS total, 'nan'::FLOAT AS f, [1, 'inf'::DOUBLE] AS l, {'x': 'nan'::DOUBLE} AS s, "
    sql += "1.50::DECIMAL(4, 2) AS d, DATE '2026-01-31' AS day, TIMESTAMP '2026-01-31 10:00:00' AS t, 'ab'::BLOB AS b, "
    sql += "INTERVAL 2 MONTHS AS i, MAP {'k': 'nan'::DOUBLE} AS m FROM objects ORDER BY object_id"
    code, text = typed("query", run, sql, "--format", "json")
    assert code == 0, text
    rows = strict(text)
    assert [row["objID"] for row in rows] == [2**64 - 1, 2**63, 2**53 + 1, None]
    assert [row["object_id"] for row in rows] == [BIG, BIG + 1, BIG + 2, BIG + 3]
    assert [row["mag"] for row in rows] == [None, None, 20.5, None]
    assert [row["spectrum"] for row in rows] == [[1.0, None], [None, 2.0], None, [0.0, 0.0]]
    one = rows[0]
    assert one["total"] == 2**64 + 2**63 + 2**53
    assert (one["f"], one["l"], one["s"], one["d"]) == (None, [1.0, None], {"x": None}, 1.5)
    assert (one["day"], one["t"], one["b"]) == ("2026-01-31", "2026-01-31T10:00:00", "6162")
    assert one["i"] == {"months": 2, "days": 0, "nanoseconds": 0}
    assert one["m"] == [["k", None]]


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "table"])
def test_answer_of_any_type_ends_in_a_traceback(run, typed, form, tmp_path):
    sql = "SELECT *, sum(objID) OVER () AS total, 'ab'::BLOB AS b, INTERVAL 2 MONTHS AS i, {'x': 1} AS s FROM objects"
    target = tmp_path / "new [folder]" / f"a*.{form}"
    code, text = typed(
        "query", run, sql, "--format", form, *(["--to", str(target)] if form != "table" else [])
    )
    if form == "parquet":
        assert code == 2
        assert "Parquet cannot hold the answer" in text
        code, text = typed(
            "query", run, sql.replace("INTERVAL 2 MONTHS", "2"), "--format", form, "--to", str(target)
        )
        assert pq.read_table(target)["objID"].to_pylist()[:2] == [2**64 - 1, 2**63]
    assert code == 0, text
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(target.read_text())))
        assert [row["objID"] for row in rows] == [str(2**64 - 1), str(2**63), str(2**53 + 1), ""]
        assert (rows[0]["spectrum"], rows[0]["total"]) == ("[1.0, null]", str(2**64 + 2**63 + 2**53))


def test_table_shows_all_digits(run, typed):
    code, text = typed("query", run, "SELECT objID FROM objects")
    assert (code, str(2**64 - 1) in text) == (0, True)


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_column_is_lost_because_two_have_one_name(run, typed, form, tmp_path):
    words = ["query", run, "SELECT 1 AS a, 2 AS a", "--format", form, "--to", str(tmp_path / "x")]
    code, text = typed(*words)
    assert code == 2
    assert "called 'a'" in text
    code, text = typed("query", run, "SELECT 1 AS a, 2 AS a")
    assert code == 0
    assert "2" in text


def test_file_that_cannot_be_written_is_a_traceback(run, tmp_path):
    with pytest.raises(CannotWrite, match=str(tmp_path)):
        query.once(run, query.Question("SELECT 1"), "csv", tmp_path)


REFUSED = [
    (["neighbours", "id=5"], "id='5' is not in the catalog"),
    (["neighbours", f"id={BIG + 3}"], "has no embedding"),
    (["neighbours", f"id={BIG}", "count=0"], "whole number"),
    (["neighbours", f"id={BIG}", "count=1.5"], "whole number"),
    (["neighbours", f"id={BIG}", "count=-1"], "whole number"),
    (["neighbours", f"id={BIG}", "count="], "whole number"),
    (["purity", "column=magn"], "Did you mean 'mag'?"),
    (["purity", "column=name"], "VARCHAR, not numbers"),
    (["purity", "column=spectrum"], "not numbers"),
    (["purity", "column=mag", "edges=[[1]]"], "numbers with commas"),
    (["purity", "column=mag", "edges=1 2"], "numbers with commas"),
    (["purity", "column=mag", "edges=-"], "numbers with commas"),
    (["purity", "column=mag", "edges="], "numbers with commas"),
    (["purity", "column=mag", "edges=1,,2"], "numbers with commas"),
    (["purity", "column=mag", "edges=nan"], "numbers with commas"),
    (["crosstab", "column="], "no column ''"),
    (["crosstab", "column"], "no column ''"),
    (["crosstab"], "needs --set column"),
    (["crosstab", "colum=mag"], "no parameter"),
]


@pytest.mark.parametrize(("words", "told"), REFUSED)
def test_wrong_parameter_gives_no_rows_or_an_error_of_duckdb(run, typed, words, told):
    name, *values = words
    sets = [word for value in values for word in ("--set", value)]
    code, text = typed("query", run, "--name", name, *sets)
    assert code == 2
    assert told in text
    assert len(text.strip().splitlines()) == 1


@pytest.mark.parametrize("edges", ["0, 21", "[0, 21]", " [0,21] ", "0,2.1e1", "-0.0, +21"])
def test_edges_are_taken_with_brackets_and_nan_is_in_no_bin(run, typed, edges):
    code, text = typed(
        "query", run, "--name", "purity", "--set", "column=mag", "--set", f"edges={edges}", "--format", "json"
    )
    assert code == 0, text
    ((objects, purity),) = {
        (r["objects"], r["purity"]) for r in strict(text) if r["way"] == "vote, all objects"
    }
    assert (objects, purity) == (2, 1.0)


def test_ids_of_64_bits_are_cut_into_bins(run, typed):
    words = ["--set", "column=objID", "--set", f"edges={2**53},{2**63}", "--format", "json"]
    code, text = typed("query", run, "--name", "purity", *words)
    assert code == 0, text
    assert {r["objects"] for r in strict(text) if r["way"] == "vote, all objects"} == {3}


def test_neighbours_of_a_long_id(run, typed):
    code, text = typed("query", run, "--name", "neighbours", "--set", f"id={BIG}", "--format", "json")
    assert code == 0, text
    assert [row["object_id"] for row in strict(text)] == [BIG + 1, BIG + 2]


def test_progress_and_status_and_plan_write_nan(capsys):
    progress._write_line({"rate": float("nan"), "at": np.float32("inf"), "n": np.int64(3)})
    assert strict(capsys.readouterr().out) == {"rate": None, "at": None, "n": 3}
    assert run_commands.strict_json is printing.strict_json is strict_json


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=3)
    | st.decimals()
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.timedeltas(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@fuzz(60)
@given(VALUES)
def test_any_value_is_json(value):
    strict(strict_json.dumps(value))


LACKING = ("classes", "measure_flags", "groups", "kept")
"""Queries over columns that this run has not."""
QUERIES = list(views.canned().values())
TEXTS = st.text(max_size=12) | st.text(st.sampled_from("0123456789.,-+eE[] '\"\n{}:column id"), max_size=12)


@fuzz(50)
@given(query=st.sampled_from(QUERIES), data=st.data())
def test_any_parameters_of_canned_queries_answer_or_are_refused(run, query: CannedQuery, data):
    values = {
        name: data.draw(TEXTS | st.sampled_from(["mag", "objID", "name", str(BIG), "3"]))
        for name in query.parameters
    }
    with views.connect(run) as connection:
        sql, told = _checked(connection, query, values)
        assert "\n" not in told
        if sql and query.name not in LACKING:
            assert isinstance(connection.sql(sql).to_arrow_table(), pa.Table)


def _checked(connection, query, values) -> tuple[str, str]:
    """The query's SQL, or what is wrong with its parameters."""
    try:
        sql = query.filled(values)
        refuse_what_is_not_there(connection, query, values)
    except views.BadQuery as error:
        return "", str(error)
    return sql, ""


def test_prompt_survives_what_is_typed(run, monkeypatch, capsys):
    lines = iter(["SELECT nonsense;", "SELECT max(object_id) FROM", "objects;", "SELECT 1 AS a, 2 AS a;"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines, None) or (_ for _ in ()).throw(EOFError))
    query.prompt(run)
    assert str(BIG + 3) in capsys.readouterr().out


def test_answers_know_their_rows():
    answer = duckdb.sql("SELECT 1 AS a, NULL AS b").to_arrow_table()
    assert list(answers._rows(answer)) == [(1, None)]
