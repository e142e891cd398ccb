"""Conditions of synthetic galaxies: parsed from text, read off the rows of a table, jittered.

A condition is a row of wanted values, one for each of the model's attributes and NaN where it is unknown, with confidences from 0 to 1.
"""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from catalogs.errors import Fault
from catalogs.positions import numbers
from kernels.attributes import confidence as confidence_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.attributes import Attribute

    Floats = NDArray[np.float32]
    Integers = NDArray[np.int64]

__all__ = ["UnfitRows", "chosen_rows", "jittered", "of_rows", "parsed", "settled"]

JITTER, ROWS = 1, 2
"""Of the random streams of a seed: its noise (`kernels.diffusion.initial_noise`) is another one."""
OBSERVED = ("noise", "psf")
"""Kinds of attributes that describe the observation, not the galaxy."""


class UnfitRows(ValueError):
    """Rows whose values are no conditions; `column` and `value` show it."""

    def __init__(self, problem: str, column: str, value: str) -> None:
        super().__init__(problem)
        self.column, self.value = column, value


def jittered(values: Floats, attributes: Sequence[Attribute], seeds: Integers, jitter: float) -> Floats:
    """Conditions near others: new galaxies rather than the same ones again.

    Parameters
    ----------
    values : (n, attributes) float32
        NaN where unknown, which it stays.
    attributes : sequence of Attribute
    seeds : (n,) int64
        A row's jitter rests on its seed and its own values alone.
    jitter : float
        Standard deviation of the normal shift, as a share of each attribute's range. Noise and PSF are not shifted: new galaxies
        are to lie in the same noise.

    Returns
    -------
    (n, attributes) float32 within the attributes' ranges. What has no meaning any more (see `settled`) is unknown.
    """
    low, high = np.array([(a.low, a.high) for a in attributes], np.float64).reshape(-1, 2).T
    spread = jitter * (high - low) * np.array([a.kind not in OBSERVED for a in attributes], bool)
    shifts = [np.random.default_rng([int(seed), JITTER]).standard_normal(len(attributes)) for seed in seeds]
    shifted = values + spread * np.reshape(shifts, values.shape)
    return settled(np.clip(shifted, low, high).astype(np.float32), attributes)


def settled(values: Floats, attributes: Sequence[Attribute]) -> Floats:
    """The conditions without meaningless values: no arms, no curvature of arms."""
    place = {attribute.name: i for i, attribute in enumerate(attributes)}
    settled = values.copy()
    for i, attribute in enumerate(attributes):
        if attribute.needs in place:
            needed = place[attribute.needs]
            settled[settled[:, needed] <= attributes[needed].low, i] = np.nan
    return settled


def chosen_rows(rows: int, seeds: Integers) -> Integers:
    """Row (n,) for each of n stamps: no row twice as long as there are enough, then drawn with replacement.

    Fewer stamps than rows take a sample that rests on the first seed, in the rows' order; more, a row by each stamp's own seed.
    """
    if len(seeds) > rows:
        return np.array([np.random.default_rng([int(seed), ROWS]).integers(rows) for seed in seeds], np.int64)
    first = int(seeds[0]) if len(seeds) else 0
    return np.sort(np.random.default_rng([first, ROWS]).permutation(rows)[: len(seeds)])


def of_rows(rows: pa.Table, attributes: Sequence[Attribute]) -> tuple[Floats, Floats]:
    """Conditions of a table's rows: values and confidences, (n, attributes) float32 each.

    Columns are called like the attributes. Null, NaN and an attribute's `missing` are unknown; confidence comes from the columns of the
    limits where the table has them, and is 1 elsewhere. Labels must be within their range; what was measured is clipped into it.

    Raises
    ------
    UnfitRows
        If a label is out of its range, or a column holds no numbers.
    """
    shape = (rows.num_rows, len(attributes))
    values, confidence = np.full(shape, np.nan, np.float32), np.ones(shape, np.float32)
    for i, attribute in enumerate(attributes):
        if attribute.name not in rows.column_names:
            continue
        found = _numbers(rows, attribute.name)
        if attribute.missing is not None:
            found[found == attribute.missing] = np.nan
        out = (found < np.float32(attribute.low)) | (found > np.float32(attribute.high))
        if attribute.kind == "label" and out.any():
            worst = int(np.flatnonzero(out)[0])
            problem = f"{int(out.sum())} rows are out of the range {range_text(attribute)}, row {worst} (from 0) for one"
            raise UnfitRows(problem, attribute.name, f"{found[worst]:g}")
        values[:, i] = np.clip(found, attribute.low, attribute.high)
        if attribute.limits is not None and set(attribute.limits) <= set(rows.column_names):
            lower, upper = (torch.from_numpy(_numbers(rows, limit)) for limit in attribute.limits)
            confidence[:, i] = confidence_of(attribute, lower, upper).numpy()
    return settled(values, attributes), confidence


def parsed(
    text: str, attributes: Sequence[Attribute], option: str = "--condition"
) -> tuple[Floats, Floats, list[Fault]]:
    """A condition written as `t_type=-3 visible_dust=0.75@0.9`: values, confidences (attributes,) and all that is wrong with it."""
    place = {attribute.name: i for i, attribute in enumerate(attributes)}
    values, confidence = np.full(len(place), np.nan, np.float32), np.ones(len(place), np.float32)
    faults: list[Fault] = []
    for token in text.split():
        name, assigned, wanted = token.partition("=")
        if not assigned:
            problem, remedy = "is not NAME=VALUE", "Write it as t_type=-3, or t_type=-3@0.8 with a confidence"
            faults.append(Fault(option, problem, remedy, value=repr(token)))
        elif name not in place:
            faults.append(_unknown(option, name, list(place)))
        elif not np.isnan(values[place[name]]):
            faults.append(Fault(option, "is given twice", "Give it once", key=name, value=wanted))
        else:
            value, sure, wrong = _value(option, attributes[place[name]], wanted)
            values[place[name]], confidence[place[name]] = value, sure
            faults += wrong
    return values, confidence, faults + _contradictions(option, values, attributes)


def range_text(attribute: Attribute) -> str:
    """Range of an attribute's values, for people."""
    return f"{attribute.low:g} to {attribute.high:g}{f' {attribute.unit}' if attribute.unit else ''}"


def _value(option: str, attribute: Attribute, wanted: str) -> tuple[float, float, list[Fault]]:
    """Value and confidence of `VALUE[@CONFIDENCE]`; a value that is wrong counts as given, as the attribute's highest."""
    number, marked, trust = wanted.partition("@")
    value, sure, faults = _float(number), _float(trust) if marked else 1.0, []
    if math.isnan(value):
        remedy = "Give a number, or leave the attribute out: what is not named is unknown"
        faults.append(Fault(option, "is not a number", remedy, key=attribute.name, value=repr(number)))
    elif not attribute.low <= value <= attribute.high:
        remedy = f"Give {range_text(attribute)}: the model has seen no other values"
        faults.append(Fault(option, "is out of range", remedy, key=attribute.name, value=number))
    value = attribute.high if faults else value
    if not 0 <= sure <= 1:
        problem = "has a confidence that is none"
        faults.append(
            Fault(option, problem, "Give 0 to 1 after the @", key=attribute.name, value=repr(trust))
        )
    return value, sure, faults


def _contradictions(option: str, values: Floats, attributes: Sequence[Attribute]) -> list[Fault]:
    faults = []
    lost = ~np.isnan(values) & np.isnan(settled(values[None], attributes)[0])
    for i in np.flatnonzero(lost).tolist():
        name, needed = attributes[i].name, attributes[i].needs
        problem = f"has no meaning where {needed} is at its lowest"
        faults.append(
            Fault(
                option,
                problem,
                f"Leave out one of the two, or raise {needed}",
                key=name,
                value=f"{values[i]:g}",
            )
        )
    return faults


def _unknown(option: str, name: str, known: list[str]) -> Fault:
    near = difflib.get_close_matches(name.lower(), known, 3, 0.5)
    remedy = (
        f"Did you mean {' or '.join(near)}? There are: {', '.join(known)}"
        if near
        else f"There are: {', '.join(known)}"
    )
    return Fault(option, "the model knows no such attribute", remedy, key=name)


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _numbers(rows: pa.Table, name: str) -> Floats:
    kind = rows.schema.field(name).type
    if not (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_null(kind)
    ):
        raise UnfitRows(f"holds {kind}, not numbers", name, str(rows[name][0]) if rows.num_rows else "")
    return numbers(rows[name]).astype(np.float32)
