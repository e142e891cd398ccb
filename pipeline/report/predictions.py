"""What a run's predictors answered, and how far each answer can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernels.heads.columns import PREDICTED, column_name, share_columns
from kernels.heads.scores import decided_at, error_by_chance
from pipeline.plan.labelled import labelled_of
from pipeline.report import reliability
from pipeline.report.palette import ordered
from pipeline.report.source import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernels.heads.predictor import TaughtHead
    from pipeline.plan.labelled import Labelled
    from pipeline.plan.run_predictors import RunPredictor
    from pipeline.report.source import Source

__all__ = ["predictions"]

ACCURACY = 0.95
"""Of which the table says how many objects reach it."""
NUMBERS = {
    "accuracy": "accuracy",
    "calibration_error": "calibration error",
    "coverage": "coverage of 68 %",
    "rank_correlation": "rank correlation",
    "rmse": "rmse",
}
"""Scores, and how the table calls them."""
MOST = 100_000
"""Objects that labels are compared on, about."""


def predictions(
    source: Source, by: str, truth_column: str | None
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """One entry a predictor, and the figures by the names of their files.

    Parameters
    ----------
    source : Source
        With a table `truth` (object_id, truth) where `truth_column` is given.
    by : str
        `class` or `group`: what the distribution of the answers is split by.
    truth_column : str, optional
        Name of the truth's column: if a question is called so, its answers are compared.
    """
    found, files = [], dict[str, bytes]()
    for number, of in enumerate(source.predictors):
        beside = _labels(source, of, truth_column)
        questions = [
            _question(source, each, by, f"predictor_{number}_{place}", files, beside.get(each.head.name, []))
            for place, each in enumerate(of.predictor.heads)
        ]
        outside = source.query(
            f"SELECT count({quoted(of.outside)}) AS answered, count(*) FILTER ({quoted(of.outside)}) AS outside FROM objects"
        )[0]
        numbers = [
            (key, title)
            for key, title in NUMBERS.items()
            if any(key in question["numbers"] for question in questions)
        ]
        found.append(
            {
                "numbers": numbers,
                "name": of.name,
                "taught": of.predictor.taught,
                "questions": questions,
                **outside,
            }
        )
    return found, files


def _labels(source: Source, of: RunPredictor, truth_column: str | None) -> dict[str, list[Labelled]]:
    survey = source.record["config"]["survey"]["name"]
    found = labelled_of(source.connection, of, list(source.columns), MOST, survey)
    if truth_column is not None:
        table = f"(SELECT object_id, truth AS {quoted(truth_column)} FROM truth)"
        found += labelled_of(source.connection, of, [truth_column], MOST, survey, table)
    by_name: dict[str, list[Labelled]] = {}
    for each in found:
        by_name.setdefault(each.head.name, []).append(each)
    return by_name


def _question(
    source: Source,
    taught: TaughtHead,
    by: str,
    name: str,
    files: dict[str, bytes],
    labels: Sequence[Labelled],
) -> dict[str, Any]:
    head, scores = taught.head, taught.scores
    figure = None
    if scores.reliability:
        figure = name
        files[f"plots/{name}.svg"] = reliability.draw(scores, of_votes=head.kind == "votes")
    decided = decided_at(scores, ACCURACY) if scores.decided else None
    columns, rows = _distribution(source, taught, by)
    return {
        "name": head.name,
        "about": head.about,
        "kind": head.kind,
        "objects": scores.objects,
        "numbers": scores.numbers,
        "chance": error_by_chance(scores.reliability),
        "decided": decided,
        "figure": figure,
        "columns": columns,
        "rows": rows,
        "labels": [
            {"objects": len(each.right), "right": float(each.right.mean()), "which": each.which}
            for each in labels
        ],
    }


def _distribution(
    source: Source, taught: TaughtHead, by: str
) -> tuple[list[str], list[tuple[str, int, list[float | None]]]]:
    """Heads of the columns, and a row for all objects and for each class or group: name, objects with an answer, values."""
    head, shares = taught.head, share_columns(taught.head)
    if head.kind == "classes":
        answer = quoted(column_name(head.name, PREDICTED))
        values = [f"avg(({answer} = '{_text(name)}')::INT)" for name in head.answers]
        columns, counted = [f"{name}" for name in head.answers], answer
    elif head.kind == "votes":
        values, columns, counted = (
            [f"avg({quoted(c)})" for c in shares],
            list(head.answers),
            quoted(shares[0]),
        )
    else:
        value = quoted(column_name(head.name, PREDICTED))
        columns, counted = ["16 %", "median", "84 %"], value
        values = [f"quantile_cont({value}, {q})" for q in (0.16, 0.5, 0.84)]
    sql = f"SELECT {{name}} AS name, count({counted}) AS n, [{', '.join(values)}] AS shown FROM objects {{rest}}"
    rows = source.query(sql.format(name="'all objects'", rest=""))
    grouped = source.query(sql.format(name=f'"{by}"', rest=f'WHERE "{by}" IS NOT NULL GROUP BY 1 ORDER BY 1'))
    if by == "class":
        place = {name: number for number, name in enumerate(ordered(row["name"] for row in grouped))}
        grouped.sort(key=lambda row: place[row["name"]])
    return columns, [(str(row["name"]), row["n"], row["shown"]) for row in [*rows, *grouped]]


def _text(name: str) -> str:
    return name.replace("'", "''")
