"""Targets of training: which labels of a release are learned, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalogs import computed, where
from catalogs.errors import Fault, Refused
from catalogs.slices import slices_of
from kernels.heads.head import Head
from kernels.transforms import transformed
from pipeline.training.label_targets import (
    LABEL,
    ClassTarget,
    ConditionTarget,
    LabelTarget,
    OrdinalTarget,
    TreeTarget,
    ValueTarget,
    VoteTarget,
    as_number,
    floats,
    known_or_nan,
    numbers_of,
)
from pipeline.training.trees import tree_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs.release import Release
    from catalogs.survey import Survey
    from pipeline.config.training import Labels, Ordinal, Scale, TreeVotes, Values

MOST_LEVELS = 64
FRACTIONS = 1.001
"""Votes whose sums are never larger are fractions, not counts."""


def label_columns(labels: Labels) -> list[str]:
    """All columns that the labels rest on."""
    conditions = [
        name for text in labels.conditions.values() for name in computed.columns_of(as_number(text))
    ]
    return list(dict.fromkeys([*labels.classes, *conditions, *_number_columns(labels)]))


def with_labels(survey: Survey, wanted: Sequence[str]) -> Survey:
    """The survey with these columns kept, and no others."""
    kept = [f"{name} as {LABEL}{name}" for name in dict.fromkeys(wanted)]
    return survey.model_copy(update={"keep": kept})


def _number_columns(labels: Labels) -> list[str]:
    """Votes, attributes, values, limits and errors."""
    votes = [name for names in labels.votes for name in names]
    votes += [name for each in labels.trees for name in tree_of(each.tree).columns]
    scales: list[Scale | Values] = [*labels.ordinals, *labels.values]
    return votes + [name for scale in scales for column in scale.columns for name in scale.names(column)]


def refuse_types(release: Release, numbers: Sequence[str], classes: Sequence[str] = ()) -> None:
    """Refuse columns that are not of the type that they must be: numbers, or any plain values."""
    faults = []
    for name in dict.fromkeys([*numbers, *classes]):
        kind, file = release.columns.field(name).type, release.shards[0].table.url
        if pa.types.is_nested(kind):
            faults.append(Fault(file, f"is {kind}, not one value a row", "Choose another column", name))
        elif name in numbers and not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            faults.append(Fault(file, f"must be a number, not {kind}", "Choose another column", name))
    if faults:
        raise Refused(faults)


def label_rows(release: Release, slice_rows: int, columns: Sequence[str]) -> pa.Table:
    """Label columns of the selected rows, read slice by slice: a row's stamp may be in the same table."""
    condition = release.survey.where
    names = list(dict.fromkeys([*columns, *(where.columns_of(condition) if condition else [])]))
    found = []
    for piece in slices_of(release.shards, slice_rows):
        rows = release.shards[piece.shard].table.read(piece.start, piece.stop, names)
        found.append(rows.filter(pa.array(release.selected_rows(rows))))
    return pa.concat_tables(found)


def label_rows_by_id(release: Release, slice_rows: int, columns: Sequence[str]) -> tuple[pa.Array, pa.Table]:
    """Ids of the selected rows, and the rows as targets take them."""
    rows = label_rows(release, slice_rows, [*columns, release.survey.id])
    named = rows.select(list(columns)).rename_columns([LABEL + name for name in columns])
    return rows[release.survey.id].combine_chunks(), named


def label_targets_of(release: Release, labels: Labels, slice_rows: int) -> list[LabelTarget]:
    """The targets of a release, which was inspected with its label columns kept.

    Raises
    ------
    Refused
        If a column is not what its target needs.
    """
    wanted = label_columns(labels)
    if not wanted:
        return []
    refuse_types(release, _number_columns(labels), labels.classes)
    rows = label_rows(release, slice_rows, wanted)
    return Targets(rows, release.shards[0].table.url, labels.weight).of(labels)


class Targets:
    """Makes targets of label rows; what is wrong is refused at the end, all at once."""

    def __init__(self, rows: pa.Table, file: str, weight: float) -> None:
        self._rows, self._file, self._weight = rows, file, weight
        self._labels = rows.rename_columns([LABEL + name for name in rows.column_names])
        self._faults: list[Fault] = []

    def of(self, labels: Labels) -> list[LabelTarget]:
        """The targets of these labels, in their order in the config."""
        found = [
            *(self._classes(name) for name in labels.classes),
            *(self._condition(name, text) for name, text in labels.conditions.items()),
            *(self._votes(tuple(names), labels.volunteers) for names in labels.votes),
            *(self._ordinal(each, name) for each in labels.ordinals for name in each.columns),
            *(self._value(each, name) for each in labels.values for name in each.columns),
            *(self._tree(each) for each in labels.trees),
        ]
        targets = [target for target in found if target is not None]
        names = [head.name for target in targets for head in target.heads]
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._fault("is the name of two questions", "Name each question once", name)
        if self._faults:
            raise Refused(self._faults)
        return targets

    def _fault(self, problem: str, remedy: str, column: str) -> None:
        self._faults.append(Fault(self._file, problem, remedy, column))

    def _classes(self, name: str) -> LabelTarget | None:
        known = self._rows[name].filter(pc.invert(pc.is_null(self._rows[name], nan_is_null=True)))
        names = tuple(sorted(value for value in pc.unique(known).to_pylist() if value != ""))
        if not 1 < len(names) <= MOST_LEVELS:
            self._fault(f"has {len(names)} classes", f"Name a column with 2 to {MOST_LEVELS}", name)
            return None
        return ClassTarget(
            (Head(name, "classes", tuple(map(str, names)), weight=self._weight),), (name,), names
        )

    def _condition(self, name: str, text: str) -> LabelTarget | None:
        columns = tuple(computed.columns_of(as_number(text)))
        try:
            computed.check(as_number(text), self._rows.select(columns).schema)
        except where.BadCondition as error:
            remedy = "Give an SQL condition that is true, false or null"
            self._faults.append(
                Fault(self._file, str(error), remedy, value=text, key=f"train.labels.conditions.{name}")
            )
            return None
        target = ConditionTarget((Head(name, "classes", ("no", "yes"), weight=self._weight),), columns, text)
        there = target.targets(self._labels).nan_to_num(0.0).sum(dim=0)
        if not (there > 0).all():
            problem = f"is true for {int(there[1])} and false for {int(there[0])} objects"
            self._faults.append(
                Fault(
                    self._file, problem, "Both must occur", value=text, key=f"train.labels.conditions.{name}"
                )
            )
        return target

    def _votes(self, names: tuple[str, ...], volunteers: float) -> LabelTarget | None:
        sums = numbers_of(self._labels, names).clamp(min=0).sum(dim=1).nan_to_num(0.0)
        if not (sums > 0).any():
            self._fault("has no votes", "Name columns with votes", names[0])
            return None
        counts = float(sums.max()) > FRACTIONS
        question, answers = _question(names)
        head = Head(question, "votes", answers, weight=self._weight)
        return VoteTarget((head,), names, 1.0 if counts else volunteers)

    def _ordinal(self, ordinal: Ordinal, name: str) -> LabelTarget | None:
        values = known_or_nan(floats(self._rows[name]), ordinal.missing)
        levels = tuple(values[values.isfinite()].unique().tolist())
        if not 1 < len(levels) <= MOST_LEVELS:
            self._fault(f"has {len(levels)} levels", f"Name a column with 2 to {MOST_LEVELS}", name)
            return None
        answers, weight = tuple(f"{level:g}" for level in levels), self._weight * ordinal.weight
        head = Head(name, "ordinal", answers, levels, weight=weight)
        return OrdinalTarget((head,), tuple(ordinal.names(name)), ordinal)

    def _value(self, values: Values, name: str) -> LabelTarget | None:
        known = known_or_nan(floats(self._rows[name]), values.missing).double().numpy()
        learned = transformed(known, values.transform)
        learned = learned[np.isfinite(learned)]
        if len(learned) < 2 or not learned.std() > 0:
            self._fault(
                f"has {len(learned)} values that can be learned (transform = {values.transform!r})",
                "Name a column with different numbers, or another transform",
                name,
            )
            return None
        head = Head(
            name,
            "value",
            transform=values.transform,
            shift=float(learned.mean()),
            scale=float(learned.std()),
            weight=self._weight * values.weight,
        )
        return ValueTarget((head,), tuple(values.names(name)), values)

    def _tree(self, settings: TreeVotes) -> LabelTarget:
        tree = tree_of(settings.tree)
        weight = self._weight * settings.weight / len(tree.questions)
        heads = tuple(
            Head(
                question.name,
                "votes",
                question.answers,
                asked=question.parents,
                weight=weight,
                about=question.text,
            )
            for question in tree.questions
        )
        return TreeTarget(heads, tuple(tree.columns), tree, settings)


def _question(columns: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Name of a question and its answers: what vote columns begin with, and what is left of each; their own names where they share nothing."""
    shared = columns[0]
    while shared and not all(name.startswith(shared) and name != shared for name in columns):
        shared = shared[:-1]
    question = shared.rpartition("_")[0]
    if not question:
        return columns[0], tuple(columns)
    return question, tuple(name.removeprefix(f"{question}_") for name in columns)
