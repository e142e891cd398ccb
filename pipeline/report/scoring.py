"""Classes against the truth: of the kept objects, and of all of them by their group's class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from catalogs import readers, storage
from catalogs.errors import Fault, Refused
from pipeline.config.classes import Classes
from pipeline.plan import class_rules
from pipeline.report.palette import ordered
from pipeline.report.source import quoted
from pipeline.rundir.classes_file import read_classes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.report.source import Source

UNNAMED = "unnamed"
UNUSABLE = "no result"
READERS = {".parquet": "read_parquet", ".pq": "read_parquet", ".csv": "read_csv", ".tsv": "read_csv"}
MOST_CLASSES = 40


@dataclass(frozen=True)
class Confusion:
    """Counts of objects by truth and by class."""

    title: str
    truths: list[str]
    classes: list[str]
    """Columns; `unnamed` (kept, but its group has no class) and `no result` stand last."""
    cells: list[list[int]]
    """(truth, class)."""
    missing: dict[str, int] = field(default_factory=dict)
    """Objects of each truth that this table leaves out."""

    @property
    def completeness(self) -> list[float | None]:
        """Share of each truth's objects, left-out ones included, whose class is the true one."""
        shares: list[float | None] = []
        for truth, row in zip(self.truths, self.cells, strict=True):
            total = sum(row) + self.missing.get(truth, 0)
            right = row[self.classes.index(truth)] if truth in self.classes else 0
            shares.append(right / total if total else None)
        return shares

    @property
    def purity(self) -> list[float | None]:
        """Share of each class's objects whose truth it is; None where no such truth can be."""
        shares: list[float | None] = []
        for number, name in enumerate(self.classes):
            total = sum(row[number] for row in self.cells)
            known = name in self.truths and total > 0
            shares.append(self.cells[self.truths.index(name)][number] / total if known else None)
        return shares

    @property
    def objects(self) -> int:
        """Objects in the table."""
        return sum(map(sum, self.cells))

    @property
    def right(self) -> float | None:
        """Share of the objects with a class whose class is the true one."""
        given = [i for i, name in enumerate(self.classes) if name not in (UNNAMED, UNUSABLE)]
        total = sum(row[i] for row in self.cells for i in given)
        right = sum(
            row[self.classes.index(truth)]
            for truth, row in zip(self.truths, self.cells, strict=True)
            if truth in self.classes
        )
        return right / total if total else None


@dataclass(frozen=True)
class Score:
    """The confusion of kept objects, and of all."""

    truth: str
    """Where the truth comes from, in words."""
    matched: int
    """Objects of the catalog that have a truth."""
    kept: Confusion
    everything: Confusion
    by_group: Confusion
    """Truth against groups, for runs without classes."""


def classes_of(source: Source) -> dict[str, Any] | None:
    """What the barrier `classify` left, or None."""
    url = storage.join(source.run.models, "classes.json")
    return read_classes(url) if storage.exists(url) else None


def truth_of_file(source: Source, path: str, column: str) -> str:
    """Make the view `truth` (object_id and truth, texts) of a Parquet or CSV file; answers what it is, in words.

    Raises
    ------
    Refused
        If the file cannot be read, lacks a column, or names an object twice.
    """
    suffix = next((s for s in READERS if path.lower().removesuffix(".gz").endswith(s)), None)
    if suffix is None:
        raise Refused([Fault(path, "is neither Parquet nor CSV", "Give --truth a .parquet or .csv file")])
    connection = source.connection
    try:
        # Ids of 64 bits stay what they are, and so do words like 01.
        reader = (
            readers.csv_file(path, typed=False)
            if READERS[suffix] == "read_csv"
            else readers.parquet_file(path)
        )
        names = connection.sql(f"SELECT * FROM {reader} LIMIT 0").columns
        for name in ("object_id", column):
            if name not in names:
                remedy = f"It has: {', '.join(names)}. --truth-column names the one with the class"
                raise Refused([Fault(path, "there is no such column", remedy, column=name)])
        connection.sql(f"""CREATE OR REPLACE TEMP TABLE truth AS
            SELECT trim(object_id::VARCHAR) AS object_id, trim({quoted(column)}::VARCHAR) AS truth FROM {reader}
            WHERE {quoted(column)} IS NOT NULL""")
    except duckdb.Error as error:
        raise Refused([Fault(path, f"cannot be read ({_first(error)})", "Give another --truth")]) from error
    twice = source.query("SELECT object_id FROM truth GROUP BY 1 HAVING count(*) > 1 LIMIT 1")
    if twice:
        problem, which = "an object stands in it twice", twice[0]["object_id"]
        raise Refused([Fault(path, problem, "Leave one row an object", "object_id", which)])
    kinds = source.query("SELECT count(DISTINCT truth) AS kinds FROM truth")[0]["kinds"]
    if kinds > MOST_CLASSES:
        problem = f"has {kinds} different values, which are no classes"
        raise Refused([Fault(path, problem, "--truth-column names the one with the class", column)])
    return f"column {column} of {path}"


def truth_of_held_out(source: Source) -> str | None:
    """Make the view `truth` of the labels that named no group; None where none were held out."""
    values = source.record["config"].get("classes") or {}
    if values.get("by") != "column" or not values.get("held_out"):
        return None
    classes = Classes.model_validate(values)
    sql = f"SELECT object_id, {quoted(str(classes.column))} AS label FROM objects"
    rows = source.table(sql)
    held = class_rules.held_out(rows["object_id"].to_numpy(), classes.held_out, classes.seed)
    labels = class_rules.labels_of(rows["label"], classes)
    table = pa.table({"object_id": rows["object_id"].cast(pa.string()), "truth": labels}).filter(
        pa.array(held)
    )
    source.connection.register("held_out_labels", table)
    source.connection.sql(
        "CREATE OR REPLACE TEMP TABLE truth AS SELECT * FROM held_out_labels WHERE truth IS NOT NULL"
    )
    return f"the held-out {classes.held_out:.0%} of the labels in {classes.column}, which named no group"


def score(source: Source, truth: str) -> Score:
    """Compare the catalog with the table `truth`."""
    named = (classes_of(source) or {}).get("groups", [])
    classes = {group["group"]: group["class"] for group in named}
    sql = """SELECT t.truth AS truth, o."group" AS "group", coalesce(o.kept, false) AS kept, count(*) AS objects
             FROM objects o JOIN truth t ON o.object_id::VARCHAR = t.object_id GROUP BY ALL"""
    kept: Counter[tuple[str, str]] = Counter()
    everything: Counter[tuple[str, str]] = Counter()
    groups: Counter[tuple[str, str]] = Counter()
    left_out: Counter[str] = Counter()
    for row in source.query(sql):
        group, objects = row["group"], row["objects"]
        name = UNUSABLE if group is None else classes.get(group) or UNNAMED
        everything[row["truth"], name] += objects
        if row["kept"]:
            kept[row["truth"], name] += objects
            groups[row["truth"], str(group)] += objects
        else:
            left_out[row["truth"]] += objects
    truths = ordered({t for t, _ in everything})
    columns = ordered({name for _, name in everything} | {n for n in classes.values() if n})
    numbers = sorted({name for _, name in groups}, key=int)
    usual = [name for name in columns if name != UNUSABLE]
    return Score(
        truth,
        everything.total(),
        _confusion("Kept objects", truths, usual, kept, dict(left_out)),
        _confusion("All objects, each with its group's class", truths, columns, everything, {}),
        _confusion("Kept objects of each group", truths, numbers, groups, {}),
    )


def _confusion(
    title: str,
    truths: Sequence[str],
    classes: Sequence[str],
    counts: Counter[tuple[str, str]],
    missing: dict[str, int],
) -> Confusion:
    cells = [[counts[truth, name] for name in classes] for truth in truths]
    return Confusion(title, list(truths), list(classes), cells, missing)


def _first(error: Exception) -> str:
    return str(error).splitlines()[0]
