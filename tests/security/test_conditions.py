"""A condition from a stranger's config can neither reach out of its catalog nor take time and memory without bound."""

from __future__ import annotations

import time

import duckdb
import pyarrow as pa
import pytest

from catalogs import where

ROWS = pa.table({"MAG": [20.0, None, 25.0], "CLASS": ["STAR", "GALAXY", None], "DATE": ["2026-01-31"] * 3})

REACHING_OUT = [
    "read_text('/etc/passwd') = ''",
    "read_csv('/etc/passwd') = ''",
    "sniff_csv('/etc/passwd') IS NULL",
    "glob('/etc/*') IS NULL",
    "getenv('HOME') <> ''",
    "current_setting('temp_directory') = ''",
    "getvariable('x') = 1",
    "version() = ''",
    "current_query() = ''",
    "parse_duckdb_log_message('a', 'b') IS NULL",
    "write_log('x') IS NULL",
    "duckdb_secrets() IS NULL",
    "pg_read_file('/etc/passwd') = ''",
    "nextval('s') > 0",
    "json_serialize_plan('SELECT 1') = ''",
    "error('x') IS NULL",
]
ANOTHER_SHAPE = [
    "true; COPY (SELECT 1) TO '/tmp/out'",
    "true; INSTALL httpfs",
    "COPY objects TO '/tmp/out'",
    "ATTACH '/tmp/x.db'",
    "LOAD httpfs",
    "SET lock_configuration = false",
    "PRAGMA enable_profiling",
    "EXISTS (FROM 'http://example.org/x.csv')",
    "MAG = ANY (SELECT 1)",
    "MAG IN (TABLE objects)",
    "true) FROM objects UNION ALL SELECT (true",
    "true) AS a, (SELECT 1",
    "(SELECT count(*) FROM objects) > 1",
    "count(*) OVER () > 1",
    "sum(MAG) > 1",
    "COLUMNS('M.*') > 1",
    "*",
    "objects.* IS NULL",
    "unnest([1, 2]) > 1",
    "MAG > ?",
    "MAG > $1",
    "#1 > 2",
    "true /* unfinished",
    "true -- \n) AS selected FROM read_text('/etc/passwd') --",
    "CLASS COLLATE de = 'x'",
]
WITHOUT_BOUND = [
    "length(repeat('a', 1000000000000)) > 1",
    "rpad('a', 1000000000, 'b') = ''",
    "len(range(1000000000000)) > 1",
    "len(generate_series(1, 1000000000000)) > 1",
    "printf('%1000000000d', 1) = ''",
    "format('{:1000000000d}', 1) = ''",
    "bar(1, 0, 1, 1000000000) = ''",
    "length(bitstring('1', 1000000000)) > 1",
    "len(list_resize([1], 1000000000)) > 1",
    "list_reduce([1, 2], lambda a, b: a + b) > 1",
    "len(list_transform([1], x -> x)) > 1",
    "sleep_ms(1000000) IS NULL",
    "hex(hex(hex('a'))) = ''",
    "replace(replace('a', 'a', 'aa'), 'a', 'aa') = ''",
    "regexp_replace('a', 'a', 'aa') = ''",
    "NULL::INTEGER[100000][100000] IS NULL",
    "CAST(NULL AS STRUCT(a INTEGER[100000])) IS NULL",
    "'a'::ENUM('a', 'b') = 'a'",
    "(" * 3000 + "true" + ")" * 3000,
    "NOT " * 990 + "true",
    "MAG" + " + MAG" * 900 + " > 1",
    "MAG > 1 OR " * 20_000 + "true",
]


@pytest.mark.parametrize("condition", [*REACHING_OUT, *ANOTHER_SHAPE, *WITHOUT_BOUND])
def test_what_is_more_than_a_condition_on_a_row_is_refused_before_it_runs(condition):
    with pytest.raises(where.BadCondition) as refused:
        where.columns_of(condition)
    assert len(str(refused.value)) < 300


def test_list_of_ids_is_too_long():
    condition = f"ID IN ({', '.join(str(i) for i in range(100_000, 120_000))})"
    rows = pa.table({"ID": [99_999, 100_000, 119_999, 120_000]})
    where.check(condition, rows.schema)
    assert where.selected(condition, rows).tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("MAG BETWEEN 19 AND 24 AND CLASS IN ('STAR')", [True, False, False]),
        ("CLASS IS NULL OR CLASS LIKE 'GAL%'", [False, True, True]),
        ("coalesce(sqrt(MAG), 0) < 1 OR regexp_matches(CLASS, '^S')", [True, True, False]),
        ("CASE WHEN CLASS = 'STAR' THEN MAG ELSE 2 * MAG END > 45", [False, False, True]),
        ("month(DATE::DATE) = 1 AND try_cast(CLASS AS DOUBLE) IS NULL", [True, True, True]),
        (
            "lower(trim(CLASS)) = 'star' AND 10 ** (-0.4 * MAG) < 1 AND MAG::DECIMAL(4, 1) = 20.0",
            [True, False, False],
        ),
    ],
)
def test_what_astronomers_write_is_still_a_condition(condition, expected):
    where.columns_of(condition)
    where.check(condition, ROWS.schema)
    assert where.selected(condition, ROWS).tolist() == expected


@pytest.mark.parametrize(
    "statement",
    [
        "FROM read_text('/etc/hostname')",
        "FROM read_text('.tmp/x')",
        "FROM read_csv('/etc/passwd')",
        "FROM '/etc/passwd'",
        "FROM glob('/etc/*')",
        "FROM sniff_csv('/etc/passwd')",
        "FROM read_parquet('http://127.0.0.1:1/x.parquet')",
        "COPY (SELECT 1) TO '/tmp/out.csv'",
        "COPY (SELECT 1) TO '.tmp/out.csv'",
        "EXPORT DATABASE '/tmp/out'",
        "ATTACH '/tmp/x.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "FROM duckdb_secrets()",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET memory_limit = '100GB'",
        "SET temp_directory = '/tmp'",
        "SET allowed_directories = ['/']",
        "PRAGMA enable_profiling = 'json'",
        "FROM rows_of_python",
    ],
)
def test_the_database_behind_a_condition_opens_no_door_even_to_whole_statements(
    statement, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".tmp").mkdir()
    (tmp_path / ".tmp" / "x").write_text("planted")
    rows_of_python = ROWS
    with where.locked_database() as connection, pytest.raises(duckdb.Error):
        connection.execute(statement).fetchall()
    assert rows_of_python is ROWS


def test_a_condition_that_takes_too_long_is_given_up(monkeypatch):
    monkeypatch.setattr(where, "PATIENCE", 0.2)
    rows = pa.table({"CLASS": ["b" * 200] * 1_000_000})
    condition = "sha256(" * 60 + "CLASS" + ")" * 60 + " = 'x'"
    where.columns_of(condition)
    start = time.monotonic()
    with pytest.raises(where.BadCondition, match="takes more than"):
        where.selected(condition, rows)
    assert time.monotonic() - start < 20  # it would take a minute
