"""Answers of a run's predictors beside the labels that its catalog, or a table of the truth, has for the same objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalogs import computed
from catalogs.canned import identifier
from catalogs.where import BadCondition, resolved
from kernels.folds import fold_of
from kernels.heads.columns import PREDICTED, column_name, share_columns
from kernels.transforms import transformed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    from numpy.typing import NDArray

    from kernels.heads.head import Head
    from pipeline.plan.run_predictors import RunPredictor

__all__ = ["PARTLY_TAUGHT", "Labelled", "labelled_of"]

PARTLY_TAUGHT = "in part objects that it was taught on"


@dataclass(frozen=True, eq=False)
class Labelled:
    """One question's answers on objects with a label."""

    head: Head
    right: NDArray[np.bool_]
    """Of classes, whether the likeliest answer is the label, (n,); of levels and values, whether the 68 % interval holds it."""
    confidence: NDArray[np.float64] | None
    """Of classes, the probability of the likeliest answer, (n,)."""
    which: str
    """Which objects they are, in words."""


def labelled_of(
    connection: duckdb.DuckDBPyConnection,
    of: RunPredictor,
    columns: Sequence[str],
    most: int,
    survey: str,
    labels: str | None = None,
) -> list[Labelled]:
    """Every question for whose label there is a column, and whose objects with one are two or more.

    A label's column is called as it was when the predictor was taught. Objects that it was taught on are left out where its file says which fold was
    held out; votes are not compared.

    Parameters
    ----------
    connection : DuckDB connection
        With the view `objects`.
    of : RunPredictor
    columns : sequence of str
        Of the table with the labels.
    most : int
        Objects that are looked at, about, drawn by a hash of their ids.
    survey : str
        Name of the run's: another one's objects were not taught.
    labels : str, optional
        A table with the labels and `object_id` as text; by default they are in the catalog.
    """
    found = []
    for taught in of.predictor.heads:
        head = taught.head
        # a table of the truth has the answers themselves
        condition = _condition(of, head) if labels is None else None
        try:
            rows = _rows(connection, of, head, condition, columns, most, labels)
            if rows is None:
                continue
            truth = _truth(head, condition, rows, _missing(of, head))
        except BadCondition:  # of columns that are others than those that were learned from
            continue
        rows, truth, which = _unseen(of, rows, truth, survey)
        answered = np.isfinite(truth)
        if answered.sum() < 2:
            continue
        if head.kind == "classes":
            shares = np.column_stack([_numbers(rows[name]) for name in share_columns(head)])[answered]
            right, confidence = shares.argmax(axis=1) == truth[answered], shares.max(axis=1)
            found.append(Labelled(head, right, confidence, which))
            continue
        low, high = (_numbers(rows[f"{_predicted(head)}_{end}"])[answered] for end in ("lo", "hi"))
        found.append(Labelled(head, (low <= truth[answered]) & (truth[answered] <= high), None, which))
    return found


def _rows(
    connection: duckdb.DuckDBPyConnection,
    of: RunPredictor,
    head: Head,
    condition: str | None,
    columns: Sequence[str],
    most: int,
    labels: str | None,
) -> pa.Table | None:
    """Ids, labels and answers; None where there is no label, or no answer that can be compared."""
    if head.kind == "votes":
        return None
    names = [head.name] if condition is None else computed.columns_of(_as_number(condition))
    there = {name: resolved(name, columns) for name in names}
    if any(name is None for name in there.values()):
        return None
    if head.kind == "classes":
        answers = share_columns(head)
    else:
        answers = [f"{_predicted(head)}_{end}" for end in ("lo", "hi")]
    place = "o" if labels is None else "l"
    column = "{}" if head.kind == "classes" else "TRY_CAST({} AS DOUBLE)"
    chosen = [
        f"{column.format(f'{place}.{identifier(str(real))}')} AS {identifier(f'label {name}')}"
        for name, real in there.items()
    ]
    chosen += [f"o.{identifier(name)}" for name in answers]
    joined = "" if labels is None else f" JOIN {labels} AS l ON l.object_id = o.object_id::VARCHAR"
    known = " AND ".join(f"{place}.{identifier(str(real))} IS NOT NULL" for real in there.values())
    rows = connection.sql(
        f"""WITH found AS (
                SELECT o.object_id AS object_id, {", ".join(chosen)}, hash(o.object_id) / 18446744073709551616.0 AS draw
                FROM objects AS o{joined} WHERE {known} AND o.{identifier(of.outside)} IS NOT NULL
            )
            SELECT * EXCLUDE (draw) FROM found WHERE draw * (SELECT count(*) FROM found) < {most} ORDER BY object_id"""
    )
    return rows.to_arrow_table()


def _truth(head: Head, condition: str | None, rows: pa.Table, missing: float | None) -> NDArray[np.float64]:
    """The number of the class, the level or the value, (n,); NaN where it is none that can be an answer."""
    labels = rows.select([name for name in rows.column_names if name.startswith("label ")])
    labels = labels.rename_columns([name.removeprefix("label ") for name in labels.column_names])
    if head.kind == "classes":
        if condition is not None:
            return np.asarray(computed.numbers(_as_number(condition), labels), np.float64)
        coded = labels[head.name].combine_chunks().dictionary_encode()
        texts = [_text(head, value) for value in coded.dictionary.to_pylist()]
        numbers = [head.answers.index(text) if text in head.answers else None for text in texts]
        return _numbers(pa.array(numbers, pa.int64()).take(coded.indices))
    values = _numbers(labels[head.name])
    if missing is not None:
        values = np.where(values == np.float32(missing), np.nan, values)
    return np.where(np.isfinite(transformed(values, head.transform)), values, np.nan)


def _unseen(
    of: RunPredictor, rows: pa.Table, truth: NDArray[np.float64], survey: str
) -> tuple[pa.Table, NDArray[np.float64], str]:
    """The objects that it was not taught on, where that can be told, and which those are."""
    taught = of.predictor.taught
    fold, folds = taught.get("fold"), taught.get("folds")
    if taught.get("from") != survey:
        return rows, truth, f"taught on {taught.get('from')}"
    if fold is None or not folds:
        return rows, truth, PARTLY_TAUGHT
    held_out = fold_of(rows["object_id"].to_numpy(zero_copy_only=False), int(folds)) == int(fold)
    return rows.filter(pa.array(held_out)), truth[held_out], f"held out, fold {fold} of {folds}"


def _condition(of: RunPredictor, head: Head) -> str | None:
    found: str | None = (of.predictor.taught.get("labels") or {}).get("conditions", {}).get(head.name)
    return found


def _missing(of: RunPredictor, head: Head) -> float | None:
    labels: dict[str, Any] = of.predictor.taught.get("labels") or {}
    scales = labels.get("ordinals", []) + labels.get("values", [])
    return next((s["missing"] for s in scales if head.name in s["columns"] and "missing" in s), None)


def _predicted(head: Head) -> str:
    return column_name(head.name, PREDICTED)


def _as_number(condition: str) -> str:
    return f"CAST(({condition}) AS INTEGER)"


def _text(head: Head, value: object) -> str:
    """A label as answers are called; of a condition, true and false are yes and no."""
    text = str(value)
    if head.answers == ("no", "yes"):
        return {"true": "yes", "false": "no"}.get(text.lower(), text)
    return text


def _numbers(column: pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """As float64, null as NaN."""
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
