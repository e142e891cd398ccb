"""Targets of an encoder: the labels of a release, as soft labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import torch

from catalogs import where
from catalogs.errors import Fault, Refused
from catalogs.slices import slices_of
from kernels.training.labels import Head, soft_ordinal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs.release import Release
    from catalogs.survey import Survey
    from pipeline.config.training import Labels, Ordinal

MOST_LEVELS = 64
LABEL = "label_"
"""Before the names of label columns: a catalog that comes out may have a column of the same name."""


@dataclass(frozen=True)
class LabelTarget:
    """One label head, and the columns of the release that answer it."""

    head: Head
    columns: tuple[str, ...]
    kind: str
    """`classes`, `votes` or `ordinals`."""
    answers: tuple[Any, ...]
    """Class names, names of the vote columns, or levels."""
    ordinal: Ordinal | None = None

    def targets(self, rows: pa.Table) -> torch.Tensor:
        """Soft labels (n, answers) float32; NaN where a row has none."""
        if self.kind == "classes":
            named = rows[LABEL + self.columns[0]]
            number = pc.index_in(named, pa.array(self.answers, named.type))
            index = torch.tensor(pc.fill_null(number, -1).to_numpy(), dtype=torch.int64)
            hot = torch.nn.functional.one_hot(index.clamp(min=0), len(self.answers)).float()
            return torch.where((index >= 0)[:, None], hot, torch.nan)
        values = torch.stack([_floats(rows[LABEL + name]) for name in self.columns], dim=1)
        if self.kind == "votes":
            total = values.clamp(min=0).sum(dim=1, keepdim=True)
            return torch.where(total > 0, values.clamp(min=0) / total, torch.nan)
        levels = torch.tensor(self.answers, dtype=torch.float32)
        return soft_ordinal(_known(values[:, 0], self.ordinal), self._spread(values, levels), levels)

    def _spread(self, values: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        # Confidence limits are read as about 70 % to each side, never narrower than a third of a step between levels.
        step = float((levels[1:] - levels[:-1]).median())
        if values.shape[1] < 3:
            return torch.full((len(values),), 0.35 * step)
        return 0.7 * ((values[:, 2] - values[:, 1]) / 2).nan_to_num(0.0).clamp(min=0.5 * step)


def label_columns(labels: Labels) -> list[str]:
    """All columns that the labels rest on."""
    return list(dict.fromkeys([*labels.classes, *_number_columns(labels)]))


def with_labels(survey: Survey, wanted: Sequence[str]) -> Survey:
    """The survey with these columns kept, and no others."""
    kept = [f"{name} as {LABEL}{name}" for name in dict.fromkeys(wanted)]
    return survey.model_copy(update={"keep": kept})


def _number_columns(labels: Labels) -> list[str]:
    """Votes, attributes and limits."""
    votes = [name for names in labels.votes for name in names]
    return votes + [name for o in labels.ordinals for column in o.columns for name in o.names(column)]


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
    rows, faults, found = label_rows(release, slice_rows, wanted), [], []
    prefix, first = release.survey.name, release.shards[0].table.url
    for name in labels.classes:
        known = rows[name].filter(pc.invert(pc.is_null(rows[name], nan_is_null=True)))
        names = sorted(value for value in pc.unique(known).to_pylist() if value != "")
        if not 1 < len(names) <= MOST_LEVELS:
            problem, remedy = f"has {len(names)} classes", f"Name a column with 2 to {MOST_LEVELS}"
            faults.append(Fault(first, problem, remedy, name))
            continue
        found.append(
            LabelTarget(Head(f"{prefix}.{name}", len(names), labels.weight), (name,), "classes", tuple(names))
        )
    found += [
        LabelTarget(
            Head(f"{prefix}.{names[0]}", len(names), labels.weight), tuple(names), "votes", tuple(names)
        )
        for names in labels.votes
    ]
    for ordinal in labels.ordinals:
        for name in ordinal.columns:
            values = _known(_floats(rows[name]), ordinal)
            levels = values[values.isfinite()].unique().tolist()
            if not 1 < len(levels) <= MOST_LEVELS:
                problem, remedy = f"has {len(levels)} levels", f"Name a column with 2 to {MOST_LEVELS}"
                faults.append(Fault(first, problem, remedy, name))
                continue
            head = Head(f"{prefix}.{name}", len(levels), labels.weight * ordinal.weight)
            found.append(LabelTarget(head, tuple(ordinal.names(name)), "ordinals", tuple(levels), ordinal))
    if faults:
        raise Refused(faults)
    return found


def _known(values: torch.Tensor, ordinal: Ordinal | None) -> torch.Tensor:
    missing = None if ordinal is None else ordinal.missing
    return values if missing is None else torch.where(values == missing, torch.nan, values)


def _floats(column: pa.ChunkedArray) -> torch.Tensor:
    return torch.tensor(pc.fill_null(column.cast(pa.float32(), safe=False), float("nan")).to_numpy())
