"""Targets of training: the labels of a release, as numbers that heads learn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from catalogs import computed, where
from catalogs.errors import Fault, Refused
from catalogs.slices import slices_of
from kernels.heads.head import Head, transformed
from kernels.training.labels import soft_ordinal
from kernels.tree_votes import products
from pipeline.training.trees import tree_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs.release import Release
    from catalogs.survey import Survey
    from kernels.trees import Tree
    from pipeline.config.training import Labels, Ordinal, Scale, TreeVotes, Values

MOST_LEVELS = 64
LABEL = "label_"
"""Before the names of label columns: a catalog that comes out may have a column of the same name."""
FRACTIONS = 1.001
"""Votes whose sums are never larger are fractions, not counts."""


@dataclass(frozen=True)
class LabelTarget(ABC):
    """Labels of one kind, the columns of the release that hold them, and their heads."""

    heads: tuple[Head, ...]
    columns: tuple[str, ...]

    @abstractmethod
    def targets(self, rows: pa.Table) -> torch.Tensor:
        """Targets (n, sum of the heads' widths) float32, see `kernels.training.labels.losses`; NaN where a row has no label."""


@dataclass(frozen=True)
class ClassTarget(LabelTarget):
    """A column with the name of a class."""

    names: tuple[Any, ...]

    def targets(self, rows: pa.Table) -> torch.Tensor:
        """One-hot."""
        named = rows[LABEL + self.columns[0]]
        number = pc.index_in(named, pa.array(self.names, named.type))
        return _one_hot(pc.fill_null(number, -1).to_numpy(), len(self.names))


@dataclass(frozen=True)
class ConditionTarget(LabelTarget):
    """A question of yes or no, by an SQL condition."""

    condition: str

    def targets(self, rows: pa.Table) -> torch.Tensor:
        """One-hot: no, yes."""
        plain = rows.select([LABEL + name for name in self.columns]).rename_columns(list(self.columns))
        found = computed.numbers(_as_number(self.condition), plain)
        return _one_hot(np.where(np.isfinite(found), found, -1), 2)


@dataclass(frozen=True)
class VoteTarget(LabelTarget):
    """Votes on one question; an object without any has no label."""

    volunteers: float
    """Votes that fractions are multiplied by; 1 where columns hold counts."""

    def targets(self, rows: pa.Table) -> torch.Tensor:
        """Counts."""
        counts = _numbers(rows, self.columns).clamp(min=0) * self.volunteers
        return torch.where(counts.sum(dim=1, keepdim=True) > 0, counts, torch.nan)


@dataclass(frozen=True)
class TreeTarget(LabelTarget):
    """Votes along a decision tree; an object without any vote has no label, and an unasked question has no votes."""

    tree: Tree
    settings: TreeVotes

    def targets(self, rows: pa.Table) -> torch.Tensor:
        """Counts."""
        values = _numbers(rows, self.columns).clamp(min=0).double()
        if self.settings.hold == "fractions":
            values = products(self.tree, values)
        if self.settings.hold != "counts":
            values = values * self.settings.volunteers
        counts = values.nan_to_num(0.0)
        return torch.where(counts.sum(dim=1, keepdim=True) > 0, counts, torch.nan).float()


@dataclass(frozen=True)
class OrdinalTarget(LabelTarget):
    """An attribute on an ordered scale."""

    ordinal: Ordinal

    def targets(self, rows: pa.Table) -> torch.Tensor:
        """Probabilities of the levels, by the confidence limits."""
        values, levels = _numbers(rows, self.columns), torch.tensor(self.heads[0].levels)
        return soft_ordinal(_known(values[:, 0], self.ordinal.missing), self._spread(values, levels), levels)

    def _spread(self, values: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        # Confidence limits are read as about 70 % to each side, never narrower than a third of a step between levels.
        step = float((levels[1:] - levels[:-1]).median())
        if values.shape[1] < 3:
            return torch.full((len(values),), 0.35 * step)
        return 0.7 * ((values[:, 2] - values[:, 1]) / 2).nan_to_num(0.0).clamp(min=0.5 * step)


@dataclass(frozen=True)
class ValueTarget(LabelTarget):
    """A number of any size."""

    settings: Values

    def targets(self, rows: pa.Table) -> torch.Tensor:
        """The value and its error as they are learned: transformed, in units of their spread."""
        values = _numbers(rows, self.columns).double()
        head, value = self.heads[0], _known(values[:, 0], self.settings.missing).numpy()
        learned = (transformed(value, head.transform) - head.shift) / head.scale
        error = np.zeros_like(learned)
        if values.shape[1] > 1:
            given = np.abs(values[:, 1].numpy())
            upper = transformed(value + given, head.transform) - transformed(value, head.transform)
            error = np.nan_to_num(upper / head.scale)
        return torch.tensor(np.stack([learned, error], axis=1), dtype=torch.float32)


def label_columns(labels: Labels) -> list[str]:
    """All columns that the labels rest on."""
    conditions = [
        name for text in labels.conditions.values() for name in computed.columns_of(_as_number(text))
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
        columns = tuple(computed.columns_of(_as_number(text)))
        try:
            computed.check(_as_number(text), self._rows.select(columns).schema)
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
        sums = _numbers(self._labels, names).clamp(min=0).sum(dim=1).nan_to_num(0.0)
        if not (sums > 0).any():
            self._fault("has no votes", "Name columns with votes", names[0])
            return None
        counts = float(sums.max()) > FRACTIONS
        question, answers = _question(names)
        head = Head(question, "votes", answers, weight=self._weight)
        return VoteTarget((head,), names, 1.0 if counts else volunteers)

    def _ordinal(self, ordinal: Ordinal, name: str) -> LabelTarget | None:
        values = _known(_floats(self._rows[name]), ordinal.missing)
        levels = tuple(values[values.isfinite()].unique().tolist())
        if not 1 < len(levels) <= MOST_LEVELS:
            self._fault(f"has {len(levels)} levels", f"Name a column with 2 to {MOST_LEVELS}", name)
            return None
        answers, weight = tuple(f"{level:g}" for level in levels), self._weight * ordinal.weight
        head = Head(name, "ordinal", answers, levels, weight=weight)
        return OrdinalTarget((head,), tuple(ordinal.names(name)), ordinal)

    def _value(self, values: Values, name: str) -> LabelTarget | None:
        known = _known(_floats(self._rows[name]), values.missing).double().numpy()
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


def reweighted(target: LabelTarget, balance: Sequence[float]) -> LabelTarget:
    """The target with these weights of its classes."""
    return replace(target, heads=(replace(target.heads[0], balance=tuple(balance)),))


def _question(columns: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Name of a question and its answers: what vote columns begin with, and what is left of each; their own names where they share nothing."""
    shared = columns[0]
    while shared and not all(name.startswith(shared) and name != shared for name in columns):
        shared = shared[:-1]
    question = shared.rpartition("_")[0]
    if not question:
        return columns[0], tuple(columns)
    return question, tuple(name.removeprefix(f"{question}_") for name in columns)


def _as_number(condition: str) -> str:
    return f"CAST(({condition}) AS INTEGER)"


def _one_hot(numbers: np.ndarray[Any, Any], classes: int) -> torch.Tensor:
    index = torch.tensor(numbers).long()
    hot = torch.nn.functional.one_hot(index.clamp(min=0), classes).float()
    return torch.where((index >= 0)[:, None], hot, torch.nan)


def _numbers(rows: pa.Table, columns: Sequence[str]) -> torch.Tensor:
    return torch.stack([_floats(rows[LABEL + name]) for name in columns], dim=1)


def _known(values: torch.Tensor, missing: float | None) -> torch.Tensor:
    return values if missing is None else torch.where(values == missing, torch.nan, values)


def _floats(column: pa.ChunkedArray) -> torch.Tensor:
    return torch.tensor(pc.fill_null(column.cast(pa.float32(), safe=False), float("nan")).to_numpy())
