"""What networks learn from: releases in the usual config, read slice by slice, with the labels that they carry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from catalogs import where
from catalogs.errors import Fault, Refused
from catalogs.inspect import inspect
from catalogs.slices import Slice, slices_of
from kernels.bags import hash_ids
from kernels.bands import band_order
from kernels.nets.galaxy import CHANNELS
from kernels.training.labels import Head, soft_ordinal
from kernels.training.prepare import prepare, prepare_clean, prepared_side
from pipeline.config_training import Labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs.release import Release
    from pipeline.config import Config
    from pipeline.config_training import Ordinal

MOST_LEVELS = 64
LABEL = "label_"
"""Before the names of label columns: a catalog that comes out may have a column of the same name."""
FOLD_SEED = 5
"""Of the hash that deals objects out to folds."""


@dataclass(frozen=True)
class Question:
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


@dataclass(frozen=True)
class Course:
    """A release to learn from."""

    release: Release
    network: str
    """`encoder` or `denoiser`."""
    slice_rows: int
    stretch: str
    side: int
    """Of what the network sees, pixels."""
    fold: int | None
    """Objects of this fold are held out."""
    folds: int
    questions: list[Question] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of what is learned from one stamp (of one band of it, for a denoiser)."""
        if self.network == "denoiser":
            return (1, self.side, self.side)
        return (CHANNELS, prepared_side(self.side), prepared_side(self.side))

    @property
    def stamps_each(self) -> int:
        """Stamps that one object gives: a denoiser learns from every band by itself."""
        return len(self.release.survey.images.bands) if self.network == "denoiser" else 1

    def slices(self) -> list[Slice]:
        """All slices of the release."""
        return list(slices_of(self.release.shards, self.slice_rows))

    def read(self, piece: Slice) -> pa.Table:
        """Usable objects that are not held out: `stamp` (float16, of `shape`) and `targets` (float32)."""
        rows = self.release.read(piece)
        usable = rows["usable"].to_numpy()
        if self.fold is not None:
            usable &= fold_of(rows["object_id"], self.folds) != self.fold
        rows = rows.filter(pa.array(usable))
        bands, size = len(self.release.survey.images.bands), self.release.survey.images.size
        pixels = rows["stamp"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        stamps = torch.tensor(pixels.reshape(-1, bands, size, size))
        if self.network == "denoiser":
            images = prepare_clean(stamps, self.side).numpy()
            return pa.table(
                {"stamp": _lists(images, self.side**2), "targets": _lists(images[:, :0, 0, 0], 0)}
            )
        stamps = stamps[:, band_order(self.release.survey.images.bands) or list(range(bands))]
        images = prepare(stamps, self.side, self.stretch).numpy()
        targets = [question.targets(rows) for question in self.questions]
        answers = torch.cat(targets, dim=1).numpy() if targets else np.zeros((len(images), 0), np.float32)
        return pa.table(
            {
                "stamp": _lists(images, int(np.prod(self.shape))),
                "targets": _lists(answers, answers.shape[1]),
            }
        )


def fold_of(ids: pa.ChunkedArray, folds: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Fold of every object, (n,) int64 below `folds`: a hash of its id, so that it never changes."""
    return (hash_ids(ids.to_numpy(), FOLD_SEED) % np.uint64(folds)).astype(np.int64)


def course_of(config: Config, folder: str, side: int, network: str) -> Course:
    """Look at a release, its labels among the rest.

    Raises
    ------
    Refused
        With everything that is wrong.
    """
    labels = config.train.labels if network == "encoder" else Labels()
    wanted = list(labels.classes) + [column for names in labels.votes for column in names]
    for ordinal in labels.ordinals:
        wanted += [name for column in ordinal.columns for name in ordinal.names(column)]
    kept = [f"{name} as {LABEL}{name}" for name in dict.fromkeys(wanted)]
    survey = config.survey.model_copy(update={"keep": kept})
    release = inspect(survey, folder)
    course = Course(
        release=release,
        network=network,
        slice_rows=config.run.slice_rows,
        stretch=config.encode.stretch,
        side=side,
        fold=config.train.fold,
        folds=config.train.folds,
    )
    if wanted:
        _refuse_types(labels, release)
        course.questions.extend(_questions(config, release, _label_rows(course, wanted)))
    return course


def _refuse_types(labels: Labels, release: Release) -> None:
    """Votes, attributes and limits are numbers, classes plain values."""
    faults = []
    numbers = [name for names in labels.votes for name in names]
    numbers += [name for o in labels.ordinals for column in o.columns for name in o.names(column)]
    for name in dict.fromkeys([*numbers, *labels.classes]):
        kind, file = release.columns.field(name).type, release.shards[0].table.url
        if pa.types.is_nested(kind):
            faults.append(Fault(file, f"is {kind}, not one value a row", "Choose another column", name))
        elif name in numbers and not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            faults.append(Fault(file, f"must be a number, not {kind}", "Choose another column", name))
    if faults:
        raise Refused(faults)


def _label_rows(course: Course, columns: Sequence[str]) -> pa.Table:
    """Label columns of the selected rows, read slice by slice: a row's stamp may be in the same table."""
    release = course.release
    condition = release.survey.where
    names = list(dict.fromkeys([*columns, *(where.columns_of(condition) if condition else [])]))
    found = []
    for piece in course.slices():
        rows = release.shards[piece.shard].table.read(piece.start, piece.stop, names)
        found.append(rows.filter(pa.array(release.selected_rows(rows))))
    return pa.concat_tables(found)


def _questions(config: Config, release: Release, rows: pa.Table) -> list[Question]:
    labels, faults, found = config.train.labels, [], []
    prefix, first = config.survey.name, release.shards[0].table.url
    for name in labels.classes:
        known = rows[name].filter(pc.invert(pc.is_null(rows[name], nan_is_null=True)))
        names = sorted(value for value in pc.unique(known).to_pylist() if value != "")
        if not 1 < len(names) <= MOST_LEVELS:
            problem, remedy = f"has {len(names)} classes", f"Name a column with 2 to {MOST_LEVELS}"
            faults.append(Fault(first, problem, remedy, name))
            continue
        found.append(
            Question(Head(f"{prefix}.{name}", len(names), labels.weight), (name,), "classes", tuple(names))
        )
    found += [
        Question(Head(f"{prefix}.{names[0]}", len(names), labels.weight), tuple(names), "votes", tuple(names))
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
            found.append(Question(head, tuple(ordinal.names(name)), "ordinals", tuple(levels), ordinal))
    if faults:
        raise Refused(faults)
    return found


def _known(values: torch.Tensor, ordinal: Ordinal | None) -> torch.Tensor:
    missing = None if ordinal is None else ordinal.missing
    return values if missing is None else torch.where(values == missing, torch.nan, values)


def _floats(column: pa.ChunkedArray) -> torch.Tensor:
    return torch.tensor(pc.fill_null(column.cast(pa.float32(), safe=False), float("nan")).to_numpy())


def _lists(values: np.ndarray[Any, Any], length: int) -> pa.Array:
    if not length:
        return pa.array([[]] * len(values), pa.list_(pa.float32()))
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), length)
