"""The columns of a predictor's answers: names, descriptions, UCDs, and values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from kernels.heads.answers import LEAST_ASKED, applies, interval, moments, probabilities

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.heads.answers import Calibration
    from kernels.heads.head import Head

__all__ = ["Column", "answer_columns", "column_name", "columns_of", "in_order", "share_columns", "values_of"]

PREDICTED = "predicted"
"""Ends the names of columns that would else be called like the labels that were learned from."""


@dataclass(frozen=True)
class Column:
    """One column of answers."""

    name: str
    kind: Literal["number", "text", "flag"]
    description: str
    ucd: str


def column_name(*words: str) -> str:
    """Words as a name of a column: letters and digits in lower case, with `_` between them."""
    return re.sub(r"[^a-z0-9]+", "_", "_".join(words).lower()).strip("_")


def share_columns(head: Head) -> list[str]:
    """Columns with the probability, or the fraction of votes, of each answer; of levels and values none."""
    return [column_name(head.name, answer) for answer in head.answers if head.kind in ("classes", "votes")]


def answer_columns(head: Head) -> list[str]:
    """Columns with the answers as numbers: those of `share_columns`, or the level or value."""
    return share_columns(head) or [column_name(head.name, PREDICTED)]


def in_order(heads: Sequence[Head]) -> list[int]:
    """Positions of the heads so that every question comes after those that lead to it.

    Raises
    ------
    ValueError
        If a question leads to itself, or is asked by the answer of one that is not there.
    """
    left, found, names = list(range(len(heads))), list[int](), set[str]()
    while left:
        ready = [i for i in left if all(question in names for question, _ in heads[i].asked)]
        if not ready:
            raise ValueError(
                f"questions {[heads[i].name for i in left]} wait for each other, or for one that is not there"
            )
        found += ready
        names |= {heads[i].name for i in ready}
        left = [i for i in left if i not in ready]
    return found


def columns_of(heads: Sequence[Head], name: str) -> list[Column]:
    """Columns of these heads, in their order, and of the predictor `name` itself."""
    found = []
    for head in heads:
        question, of = column_name(head.name), f" ({head.about})" if head.about else ""
        predicted = f"{question}_{PREDICTED}"
        if head.kind in ("ordinal", "value"):
            what = "level" if head.kind == "ordinal" else "value"
            found += [
                Column(predicted, "number", f"predicted {what} of {head.name}{of}", "stat.value"),
                Column(f"{predicted}_lo", "number", "lower end of its 68 % interval", "stat.min"),
                Column(f"{predicted}_hi", "number", "upper end of its 68 % interval", "stat.max"),
            ]
            continue
        if head.kind == "classes":
            found.append(Column(predicted, "text", f"likeliest answer to {head.name}{of}", "meta.code.class"))
        if head.asked:
            text = f"probability that a volunteer is asked {head.name}{of}"
            found.append(Column(f"{question}_applies", "number", text, "stat.probability"))
        for answer in head.answers:
            column = column_name(question, answer)
            if head.kind == "classes":
                text = f"probability that {head.name} is {answer}"
                found.append(Column(column, "number", text, "stat.probability"))
                continue
            text = f"expected fraction of votes for {answer} of those on {head.name}{of}"
            found.append(Column(column, "number", text, "stat.probability"))
            found.append(Column(f"{column}_err", "number", "its standard deviation", "stat.error"))
    text = f"whether the object is unlike what the predictor {name} was taught on: its answers are a guess"
    found.append(Column(f"{column_name(name)}_outside", "flag", text, "meta.code.qual"))
    text = f"distance to the codes that {name} was taught on, above 1 outside"
    found.append(Column(f"{column_name(name)}_distance", "number", text, "stat.param"))
    return found


def values_of(
    heads: Sequence[tuple[Head, NDArray[np.float64], Calibration]], distance: NDArray[np.float32], name: str
) -> dict[str, NDArray[Any]]:
    """Values of the columns, each (n,), by name.

    Parameters
    ----------
    heads : sequence of (Head, (n, width), Calibration)
    distance : (n,)
        To what the predictor was taught on.
    name : str
        Of the predictor.

    Returns
    -------
    dict of arrays: float32, text, or bool; masked arrays where questions are asked of some objects only: their fractions are given where at least
    `LEAST_ASKED` of the volunteers are expected to be asked.
    """
    found: dict[str, NDArray[Any]] = {}
    reached: dict[tuple[str, str], NDArray[np.float64]] = {}
    for position in in_order([head for head, _, _ in heads]):
        head, outputs, calibration = heads[position]
        question = column_name(head.name)
        predicted = f"{question}_{PREDICTED}"
        if head.kind in ("ordinal", "value"):
            names = (predicted, f"{predicted}_lo", f"{predicted}_hi")
            found |= dict(zip(names, map(_float32, interval(head, outputs, calibration)), strict=True))
        elif head.kind == "classes":
            share = probabilities(outputs, calibration)
            found[predicted] = np.array(head.answers, dtype=object)[share.argmax(axis=1)]
            found |= {
                column_name(question, a): _float32(p) for a, p in zip(head.answers, share.T, strict=True)
            }
        else:
            asked = applies(head, reached, len(outputs))
            mean, spread = moments(head, outputs, calibration)
            nobody = asked < LEAST_ASKED
            if head.asked:
                found[f"{question}_applies"] = _float32(asked)
            for answer, fraction, error in zip(head.answers, mean.T, spread.T, strict=True):
                reached[head.name, answer] = asked * fraction
                column = column_name(question, answer)
                found[column] = np.ma.masked_array(_float32(fraction), nobody)
                found[f"{column}_err"] = np.ma.masked_array(_float32(error), nobody)
    found[f"{column_name(name)}_outside"] = distance > 1
    found[f"{column_name(name)}_distance"] = distance
    return found


def _float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    largest = float(np.finfo(np.float32).max)
    return np.clip(values, -largest, largest).astype(np.float32)
