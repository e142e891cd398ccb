"""What predictors are asked on real galaxies, how their codes are made, and how their answers are scored; for `benchmarks.predictors`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from actors.encoder import Encoder
from benchmarks.encoder import YES_OR_NO
from benchmarks.galaxies import SIZE, Galaxies, galaxies, type_bins
from kernels.bags import hash_ids
from kernels.heads.answers import moments, probabilities
from kernels.heads.calibrate import calibrate
from kernels.heads.scores import calibration_error
from pipeline.config.training import Labels, Ordinal, PredictorTraining
from pipeline.training.label_targets import LABEL
from pipeline.training.predictor_dataset import ENOUGH, LARGEST_SHARE, VALIDATION_SEED
from pipeline.training.targets import Targets

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from kernels.heads.head import Head

TEST_FOLD = 0
ORDER = [2, 1, 0]  # r, g, b to bluest first
ATTRIBUTES = (
    *("bulge_to_total", "arm_strength", "arm_curvature", "bar_length", "inner_ring"),
    *("outer_ring", "pseudo_ring", "perturbation", "visible_dust", "dust_dispersion", "flocculence"),
    *("hot_spots", "inclination_elongation", "contamination", "multiplicity"),
)


@dataclass(frozen=True)
class Task:
    """Stamps of one set, what is asked of them, and who is scored on."""

    name: str
    data: Galaxies
    ids: NDArray[np.object_]
    classes: NDArray[np.int64]
    heads: list[Head]
    targets: torch.Tensor

    @property
    def test(self) -> NDArray[np.bool_]:
        """Objects that are scored on."""
        return np.asarray(self.data.fold == TEST_FOLD)

    def drawn(self, share: float, draw: int) -> NDArray[np.bool_]:
        """Objects whose labels are known."""
        lot = hash_ids(self.ids, 1000 + draw) / np.float64(2**64)
        return ~self.test & (lot < share)

    def validation(self, drawn: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Those of them that are not learned from, as the command chooses them."""
        share = max(PredictorTraining().validation, min(LARGEST_SHARE, ENOUGH / drawn.sum()))
        return drawn & (hash_ids(self.ids, VALIDATION_SEED) / np.float64(2**64) < share)


def task(name: str, scratch: Path) -> Task:
    """`efigi` or `gz1`."""
    data = galaxies(name, scratch)
    labels = data.labels.copy()
    if name == "efigi":
        labels["kind"] = np.array(["1E", "2S0", "3early", "4late", "5irregular"])[type_bins(labels)]
        limits = {"low": "{column}_lo", "high": "{column}_hi"}
        wanted = Labels(
            classes=["kind"],
            ordinals=[
                Ordinal(columns=["t_type"], **limits),
                Ordinal(columns=list(ATTRIBUTES), missing=-1.0, weight=0.5, **limits),
            ],
        )
    else:
        labels["kind"] = labels["truth"].str.replace("_anticlockwise", "").str.replace("_clockwise", "")
        wanted = Labels(classes=["kind"])
    rows = pa.Table.from_pandas(labels, preserve_index=False)
    found = Targets(rows, name, 1.0).of(wanted)
    named = rows.rename_columns([LABEL + column for column in rows.column_names])
    targets = torch.cat([each.targets(named) for each in found], dim=1)
    classes = np.unique(labels["kind"].to_numpy(str), return_inverse=True)[1]
    heads = [head for each in found for head in each.heads]
    return Task(name, data, data.stamps["object_id"].to_numpy(), classes, heads, targets)


def encoded(
    task: Task, rows: NDArray[np.bool_], checkpoint: Path, side: int, turns: int
) -> NDArray[np.float64]:
    """Codes as a run makes them."""
    encoder = Encoder(
        model="galaxy-atto",
        checkpoint=str(checkpoint),
        bands=3,
        order=ORDER,
        size=SIZE,
        input=side,
        unwrap="none",
        stretch="linear",
        turns=turns,
    )
    column = encoder(task.data.stamps.filter(pa.array(rows)))["embedding"].combine_chunks()
    values = column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)
    return np.asarray(values, np.float64)


def scores(
    task: Task,
    heads: Sequence[Head],
    calibrated: tuple[NDArray[np.float64], NDArray[np.float64]],
    outputs: NDArray[np.float64],
) -> dict[str, float]:
    """Scores of outputs for the test objects, calibrated by others' outputs and targets."""
    found: dict[str, float] = {}
    start, ranks = 0, []
    for head in heads:
        of = slice(start, start + head.width)
        start += head.width
        answers, calibration = outputs[:, of], calibrate(head, calibrated[0][:, of], calibrated[1][:, of])
        if head.kind == "classes":
            shares = probabilities(answers, calibration)
            right = shares.argmax(axis=1) == task.classes[task.test]
            found["accuracy"] = float(right.mean())
            found["calibration_error"] = calibration_error(shares.max(axis=1), right)
            continue
        truth = task.data.labels[head.name].to_numpy(float)[task.test]
        known = (truth >= 0) | (head.name == "t_type")
        mean, spread = (each[known] for each in moments(head, answers, calibration))
        rank = float(np.corrcoef(rankdata(mean), rankdata(truth[known]))[0, 1])
        ranks.append(rank)
        if head.name == "t_type":
            found["type_rank_correlation"] = rank
            found["type_coverage"] = float((np.abs(mean - truth[known]) <= spread).mean())
        if head.name in YES_OR_NO:
            name, least = YES_OR_NO[head.name]
            shares = probabilities(answers[known], calibration)
            yes = shares[:, np.array(head.levels) >= least].sum(axis=1)
            key = f"{name.replace('-', '_')}_AP"
            found[key] = float(average_precision_score(truth[known] >= least, yes))
    if len(ranks) == len(ATTRIBUTES) + 1:
        found["attributes_rank_correlation"] = float(np.mean(ranks))
    return found


def some_heads(task: Task, names: Sequence[str]) -> tuple[list[Head], torch.Tensor]:
    """Heads of these names, and their targets: frozen heads are fitted one by one, so that others change nothing."""
    found, columns, start = [], [], 0
    for head in task.heads:
        if not names or head.name in names:
            found.append(head)
            columns += range(start, start + head.width)
        start += head.width
    return found, task.targets[:, columns]
