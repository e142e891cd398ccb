"""Tests of a run's predictors: their answers in the catalog, their held-out scores, and the catalog's own labels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from catalogs.canned import identifier
from catalogs.validation import Row
from kernels.heads.answers import LEAST_ASKED
from kernels.heads.calibrate import ONE_SIGMA
from kernels.heads.columns import answer_columns, column_name, share_columns
from kernels.heads.scores import calibration_error, error_by_chance, reliability
from pipeline.config.validation import OF_PREDICTORS
from pipeline.plan.labelled import PARTLY_TAUGHT, labelled_of
from pipeline.plan.run_predictors import predictors_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    import duckdb

    from catalogs.validation import Verdict
    from kernels.heads.predictor import TaughtHead
    from pipeline.plan.labelled import Labelled
    from pipeline.plan.run_predictors import RunPredictor

__all__ = ["judged"]

TOLERANCE = 1e-4
"""By which probabilities may miss 1: they are stored as float32."""
LARGEST_ERROR = 0.05
"""Expected calibration error that passes."""
COVERAGE = (0.63, 0.73)
"""Share of the truths in 68 % intervals that passes."""
MOST_OUTSIDE = 0.1
"""Share of the objects outside of what was taught that passes: of those that were taught it is a hundredth."""
FALL = 0.05
"""Of the accuracy from the held-out objects to the catalog's labels that passes."""
SIGMAS = 2.0
"""Errors that decide."""
FEWEST = 30
"""Objects that a test of labels or held-out scores needs."""


def judged(
    connection: duckdb.DuckDBPyConnection, url: str, record: dict[str, Any], skip: Sequence[str], most: int
) -> list[Row]:
    """Rows of every test of every predictor; none in a run without predictors.

    Parameters
    ----------
    connection : DuckDB connection
        With the view `objects`.
    url, record
        The run directory and its `run.json`.
    skip : sequence of str
        Tests that are left out.
    most : int
        Objects that labels are compared on, about.
    """
    columns = [str(name) for (name, *_) in connection.execute("DESCRIBE objects").fetchall()]
    predictors, gone = predictors_of(url, record, columns)
    rows = [_row("answered", "", "not run", None, None, "", 0, reason) for reason in gone]
    for of in predictors:
        rows.append(_outside(connection, of))
        for taught in of.predictor.heads:
            rows += [
                _answered(connection, of, taught),
                *_probabilities(connection, taught),
                *_held_out(taught),
            ]
        known = labelled_of(connection, of, columns, most, record["config"]["survey"]["name"])
        for labelled in known:
            rows += _labels(labelled, of)
    order = list(OF_PREDICTORS)
    return sorted((r for r in rows if r["test"] not in skip), key=lambda row: order.index(row["test"]))


def _outside(connection: duckdb.DuckDBPyConnection, of: RunPredictor) -> Row:
    n, outside = _one(
        connection,
        f"SELECT count({identifier(of.outside)}), count(*) FILTER ({identifier(of.outside)}) FROM objects",
    )
    if not n:
        return _row("outside", of.name, "not run", None, None, "", 0, "no object has an answer")
    share = outside / n
    error = math.sqrt(share * (1 - share) / n)
    detail = f"{outside:,} objects are unlike those that it was taught on"
    expected = f"<= {MOST_OUTSIDE:g}"
    return _row("outside", of.name, _below(share, error, MOST_OUTSIDE), share, error, expected, n, detail)


def _answered(connection: duckdb.DuckDBPyConnection, of: RunPredictor, taught: TaughtHead) -> Row:
    """Nulls stand where an object has no embedding or a question does not apply, and nowhere else."""
    head, there = taught.head, f"{identifier(of.outside)} IS NOT NULL"
    columns = answer_columns(head)
    if head.asked:
        asked = identifier(column_name(head.name, "applies"))
        # the limit was applied before the column was rounded to float32
        expected = f"CASE WHEN abs({asked} - {LEAST_ASKED}) < 1e-6 THEN NULL ELSE coalesce({asked}, 0) > {LEAST_ASKED} END"
        there = f"CASE WHEN {there} THEN {expected} ELSE false END"
    wrong = " OR ".join(f"({identifier(name)} IS NOT NULL) <> ({there})" for name in columns)
    n, odd = _one(
        connection, f"SELECT count({identifier(columns[0])}), count(*) FILTER ({wrong}) FROM objects"
    )
    verdict: Verdict = "failed" if odd else "passed" if n else "not run"
    detail = f"{odd:,} objects lack an answer, or have one to a question that does not apply" if odd else ""
    return _row("answered", head.name, verdict, float(odd) if n or odd else None, None, "0", n, detail)


def _probabilities(connection: duckdb.DuckDBPyConnection, taught: TaughtHead) -> Iterator[Row]:
    names = [f"{identifier(name)}::DOUBLE" for name in share_columns(taught.head)]
    if not names:
        return
    n, missed, least = _one(
        connection,
        f"SELECT count({names[0]}), max(abs({' + '.join(names)} - 1)), min(least({', '.join(names)})) FROM objects",
    )
    if not n:
        yield _row("probabilities", taught.head.name, "not run", None, None, "", 0, "no object has an answer")
        return
    worst = max(missed, -least)
    detail = f"the least is {least:.3g}, and sums miss 1 by {missed:.2g} at most"
    verdict: Verdict = "passed" if worst <= TOLERANCE else "failed"
    yield _row("probabilities", taught.head.name, verdict, worst, None, f"<= {TOLERANCE:g}", n, detail)


def _held_out(taught: TaughtHead) -> Iterator[Row]:
    """What the predictor's file says of objects that nothing was learned from."""
    scores, name = taught.scores, taught.head.name
    of = f"of {scores.objects:,} held-out objects"
    if "calibration_error" in scores.numbers:
        found, error = scores.numbers["calibration_error"], error_by_chance(scores.reliability)
        detail = f"accuracy {scores.numbers['accuracy']:.3f} {of}; chance alone would give about {error:.3f}"
        yield _calibration("calibration", name, found, error, scores.objects, detail)
    if "coverage" in scores.numbers:
        detail = f"rank correlation {scores.numbers['rank_correlation']:.3f} {of}"
        yield _coverage("coverage", name, scores.numbers["coverage"], scores.objects, detail)


def _labels(labelled: Labelled, of: RunPredictor) -> Iterator[Row]:
    name, n = labelled.head.name, len(labelled.right)
    share = float(labelled.right.mean())
    if labelled.confidence is None:
        yield _lenient(_coverage("label_coverage", name, share, n, labelled.which))
        return
    error = math.sqrt(share * (1 - share) / n)
    scores = next(each.scores for each in of.predictor.heads if each.head.name == name)
    wanted = scores.numbers.get("accuracy", math.nan) - FALL
    verdict: Verdict = "not run" if n < FEWEST or math.isnan(wanted) else _below(-share, error, -wanted)
    detail = f"{labelled.which}; by probability: {_by_probability(labelled)}"
    yield _row("label_accuracy", name, verdict, share, error, f">= {wanted:.3f}", n, detail)
    bins = reliability(labelled.confidence, labelled.right)
    found = calibration_error(labelled.confidence, labelled.right)
    yield _lenient(_calibration("label_calibration", name, found, error_by_chance(bins), n, labelled.which))


def _lenient(row: Row) -> Row:
    """Objects that were learned from are answered better than promised: that is no failure."""
    if row["verdict"] == "failed" and row["detail"] == PARTLY_TAUGHT:
        row["verdict"] = "unclear"
    return row


def _by_probability(labelled: Labelled) -> str:
    """How accurate the less and the more certain answers are."""
    assert labelled.confidence is not None
    order = np.argsort(labelled.confidence, kind="stable")
    pieces = [piece for piece in np.array_split(order, 4) if len(piece)]
    return ", ".join(
        f"{labelled.confidence[p[0]]:.2f} to {labelled.confidence[p[-1]]:.2f} {labelled.right[p].mean():.2f}"
        for p in pieces
    )


def _calibration(test: str, name: str, found: float, error: float, n: int, detail: str) -> Row:
    verdict: Verdict = "not run" if n < FEWEST else _below(found, error, LARGEST_ERROR)
    return _row(test, name, verdict, found, error, f"<= {LARGEST_ERROR:g}", n, detail)


def _coverage(test: str, name: str, share: float, n: int, detail: str) -> Row:
    low, high = COVERAGE
    error = math.sqrt(ONE_SIGMA * (1 - ONE_SIGMA) / max(n, 1))
    inside = low <= share <= high
    far = max(low - share, share - high) > SIGMAS * error
    verdict: Verdict = "not run" if n < FEWEST else "passed" if inside else "failed" if far else "unclear"
    return _row(test, name, verdict, share, error, f"{low:g} to {high:g}", n, detail)


def _below(value: float, error: float, limit: float) -> Verdict:
    if value <= limit:
        return "passed"
    return "failed" if value - SIGMAS * error > limit else "unclear"


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    (found,) = connection.execute(sql).fetchall()
    return found


def _row(
    test: str, what: str, verdict: Verdict, statistic: float | None, error: float | None, expected: str, objects: int, detail: str
) -> Row:  # fmt: skip
    if verdict == "not run":
        few = f"fewer than {FEWEST} objects" if 0 < objects < FEWEST else ""
        statistic, error, detail = None, None, "; ".join(filter(None, [few, detail]))
    return Row(
        test=test,
        what=what,
        verdict=verdict,
        statistic=statistic,
        error=error,
        expected=expected or None,
        objects=objects,
        detail=detail,
    )
