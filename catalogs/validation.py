"""Physical tests of a classified catalog: `catalogs/sql/validate/`, one file a test, run by DuckDB."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict

import duckdb

from catalogs import canned, where
from catalogs.canned import CannedQuery, identifier
from catalogs.errors import BadRequest
from catalogs.missing import select_sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Verdict = Literal["passed", "failed", "unclear", "not run"]


class CannotMeasure(BadRequest):
    """A column that a test reads is there, but its values are not what they should be."""


class Row(TypedDict):
    """What one test says about one column or pair of classes."""

    test: str
    what: str
    verdict: Verdict
    statistic: float | None
    error: float | None
    expected: str | None
    objects: int
    detail: str


class PhysicalTest(CannedQuery):
    """One file of `catalogs/sql/validate/`: `about` is the statement that it tests."""

    @property
    def source(self) -> str:
        """Papers that the statement and its numbers are from."""
        return self._values_of("source")[0]

    @property
    def over(self) -> list[dict[str, str]]:
        """Parameters that it is run with in turn, `column` among them; one empty entry where it runs once."""
        return [dict(part.split(" = ") for part in line.split(", ")) for line in self._values_of("over")] or [
            {}
        ]

    def reads(self, turn: Mapping[str, str]) -> list[str]:
        """Columns that it cannot do without, in one turn."""
        return self._values_of("reads")[0].format_map(turn).split(", ")

    @property
    def columns(self) -> list[str]:
        """Every column that it may read."""
        return sorted({name for turn in self.over for name in self.reads(turn)})

    @property
    def settings(self) -> dict[str, tuple[str | None, str]]:
        """Parameters that a config may set."""
        return {name: value for name, value in self.parameters.items() if name not in self.over[0]}

    def _values_of(self, key: str) -> list[str]:
        return re.findall(rf"^-- {key}: (.*)$", self.sql, re.MULTILINE)


def tests() -> dict[str, PhysicalTest]:
    """The physical tests by name."""
    files = canned.texts("validate").items()
    return {name: PhysicalTest(name, sql) for name, sql in files if not name.startswith("_")}


def columns() -> list[str]:
    """Every column that some test reads."""
    return sorted({name for test in tests().values() for name in test.columns})


@dataclass(frozen=True)
class Measured:
    """What the tests run over: the table `measured` of a connection."""

    columns: frozenset[str]
    """Our names of the columns that are there."""
    objects: int
    """Objects in the catalog, of those that the condition selects."""
    tested: int
    """Objects in the table."""


def measure(
    connection: duckdb.DuckDBPyConnection,
    renamed: Mapping[str, str],
    condition: str | None = None,
    most: int = 100_000,
) -> Measured:
    """Make the table `measured` of the view `objects`: what the tests read, under the names that they read it by.

    Numbers are float64, null where they are NaN or infinite. `class` is text. `kept` is derived where it is absent: every
    object with a class is kept but for those of the class UNC.

    Parameters
    ----------
    connection : DuckDB connection
        With a view `objects`.
    renamed : dict
        Our name of a column to the catalog's name of it, where they differ.
    condition : str, optional
        SQL condition over the catalog's own columns; NaN is null in it.
    most : int
        Objects of a class, about, that the table holds at most. Of a larger class so many are drawn by a hash of
        `object_id` (of the whole row where there is none), so that the order of the rows changes nothing.

    Raises
    ------
    CannotMeasure
        If a column holds no numbers, `kept` is not true or false, or the condition is none.
    """
    described = [
        (str(name), str(kind)) for name, kind, *_ in connection.execute("DESCRIBE objects").fetchall()
    ]
    there = {name.lower(): name for name, _ in described}
    connection.execute(f"CREATE OR REPLACE TEMP VIEW known AS SELECT {select_sql(described)} FROM objects")
    found = {}
    for name in columns():
        catalogs_name = renamed.get(name, name).lower()
        if catalogs_name in there:
            found[name] = f"o.{identifier(there[catalogs_name])}"
    chosen = {"class": "NULL::VARCHAR"}
    chosen |= {name: _typed(name, column) for name, column in found.items()}
    if "kept" not in found and "class" in found:
        chosen["kept"] = f"{found['class']}::VARCHAR <> 'UNC'"
    key = f"o.{identifier(there['object_id'])}" if "object_id" in there else "o"
    listed = ", ".join(f"{sql} AS {identifier(name)}" for name, sql in chosen.items())
    chosen_rows = (
        "" if condition is None else f" WHERE {_condition(connection, condition, list(there.values()))}"
    )
    try:
        connection.execute(
            f"CREATE OR REPLACE TEMP VIEW all_measured AS "
            f"SELECT {listed}, hash({key}) / 18446744073709551616.0 AS draw FROM known AS o{chosen_rows}"
        )
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE class_sizes AS "
            "SELECT class, count(*) AS present FROM all_measured GROUP BY class"
        )
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE measured AS SELECT m.* EXCLUDE (draw) "
            f"FROM all_measured AS m JOIN class_sizes AS s ON m.class IS NOT DISTINCT FROM s.class "
            f"WHERE present <= {most} OR draw < {most} / present"
        )
    except duckdb.Error as error:
        raise CannotMeasure(f"a column is not what it should be: {str(error).splitlines()[0]}") from error
    connection.execute(canned.texts("validate")["_macros"])
    (total,) = connection.execute("SELECT coalesce(sum(present), 0) FROM class_sizes").fetchone() or (0,)
    (tested,) = connection.execute("SELECT count(*) FROM measured").fetchone() or (0,)
    names = set(found) | ({"kept"} if "kept" in chosen else set())
    return Measured(frozenset(names), int(total), int(tested))


def _condition(connection: duckdb.DuckDBPyConnection, condition: str, names: Sequence[str]) -> str:
    try:
        named = {name: where.existing(name, names) for name in where.columns_of(condition)}
        return where.in_sql(connection, condition, named, "known")
    except where.BadCondition as error:
        raise CannotMeasure(f"[validate] where = {condition!r}: {error}") from error


def run(
    connection: duckdb.DuckDBPyConnection,
    test: PhysicalTest,
    there: frozenset[str],
    values: Mapping[str, str],
) -> list[Row]:
    """Run a test over the table `measured`.

    Parameters
    ----------
    connection : DuckDB connection
        On which `measure` has been called.
    there : frozenset of str
        Columns that are there.
    values : dict
        Parameters; the file's defaults stand for those that are left out.

    Returns
    -------
    list of Row
        At least one for every turn of the test; `not run` says what is missing.
    """
    rows = []
    for turn in test.over:
        of = turn.get("column", "")
        missing = [name for name in test.reads(turn) if name not in there]
        if missing:
            reason = f"no column {', '.join(missing)}"
            rows.append(_not_run(test.name, of, reason))
            continue
        answer = connection.execute(test.filled({**values, **turn}))
        names = [d[0] for d in answer.description or []]
        for found in answer.fetchall():
            row = dict(zip(names, found, strict=True))
            row["what"] = f"{of} {row['what']}".strip()
            if row["verdict"] == "not run":
                row["statistic"] = row["error"] = None
            rows.append(Row(test=test.name, **row))  # type: ignore[typeddict-item]
    return rows


def _not_run(test: str, what: str, why: str) -> Row:
    return Row(
        test=test,
        what=what,
        verdict="not run",
        statistic=None,
        error=None,
        expected=None,
        objects=0,
        detail=why,
    )


def _typed(name: str, column: str) -> str:
    if name == "class":
        return f"{column}::VARCHAR"
    if name == "kept":
        return f"{column}::BOOLEAN"
    return f"CASE WHEN isfinite({column}::DOUBLE) THEN {column}::DOUBLE END"
