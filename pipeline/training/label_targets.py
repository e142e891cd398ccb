"""Labels of one kind each: how columns of a release become numbers that heads learn from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from catalogs import computed
from kernels.training.labels import soft_ordinal
from kernels.transforms import transformed
from kernels.tree_votes import products

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernels.heads.head import Head
    from kernels.trees import Tree
    from pipeline.config.training import Ordinal, TreeVotes, Values

LABEL = "label_"
"""Before the names of label columns: a catalog that comes out may have a column of the same name."""


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
        found = computed.numbers(as_number(self.condition), plain)
        return _one_hot(np.where(np.isfinite(found), found, -1), 2)


@dataclass(frozen=True)
class VoteTarget(LabelTarget):
    """Votes on one question; an object without any has no label."""

    volunteers: float
    """Votes that fractions are multiplied by; 1 where columns hold counts."""

    def targets(self, rows: pa.Table) -> torch.Tensor:
        """Counts."""
        counts = numbers_of(rows, self.columns).clamp(min=0) * self.volunteers
        return torch.where(counts.sum(dim=1, keepdim=True) > 0, counts, torch.nan)


@dataclass(frozen=True)
class TreeTarget(LabelTarget):
    """Votes along a decision tree; an object without any vote has no label, and an unasked question has no votes."""

    tree: Tree
    settings: TreeVotes

    def targets(self, rows: pa.Table) -> torch.Tensor:
        """Counts."""
        values = numbers_of(rows, self.columns).clamp(min=0).double()
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
        values, levels = numbers_of(rows, self.columns), torch.tensor(self.heads[0].levels)
        return soft_ordinal(
            known_or_nan(values[:, 0], self.ordinal.missing), self._spread(values, levels), levels
        )

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
        values = numbers_of(rows, self.columns).double()
        head, value = self.heads[0], known_or_nan(values[:, 0], self.settings.missing).numpy()
        learned = (transformed(value, head.transform) - head.shift) / head.scale
        error = np.zeros_like(learned)
        if values.shape[1] > 1:
            given = np.abs(values[:, 1].numpy())
            upper = transformed(value + given, head.transform) - transformed(value, head.transform)
            error = np.nan_to_num(upper / head.scale)
        return torch.tensor(np.stack([learned, error], axis=1), dtype=torch.float32)


def reweighted(target: LabelTarget, balance: Sequence[float]) -> LabelTarget:
    """The target with these weights of its classes."""
    return replace(target, heads=(replace(target.heads[0], balance=tuple(balance)),))


def as_number(condition: str) -> str:
    """SQL that is 1 where a condition is true, 0 where it is false, and null where it is null."""
    return f"CAST(({condition}) AS INTEGER)"


def _one_hot(numbers: np.ndarray[Any, Any], classes: int) -> torch.Tensor:
    index = torch.tensor(numbers).long()
    hot = torch.nn.functional.one_hot(index.clamp(min=0), classes).float()
    return torch.where((index >= 0)[:, None], hot, torch.nan)


def numbers_of(rows: pa.Table, columns: Sequence[str]) -> torch.Tensor:
    """Label columns side by side, (n, columns) float32; NaN where they are null."""
    return torch.stack([floats(rows[LABEL + name]) for name in columns], dim=1)


def known_or_nan(values: torch.Tensor, missing: float | None) -> torch.Tensor:
    """Values (n,), NaN where they say that they are missing."""
    return values if missing is None else torch.where(values == missing, torch.nan, values)


def floats(column: pa.ChunkedArray) -> torch.Tensor:
    """A column (n,) float32; NaN where it is null."""
    return torch.tensor(pc.fill_null(column.cast(pa.float32(), safe=False), float("nan")).to_numpy())
