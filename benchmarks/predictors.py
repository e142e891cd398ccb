"""Predictors on real galaxies: `python -m benchmarks.predictors`. Writes benchmarks/results/predictors.csv.

EFIGI (types in five bins, and 16 attributes: all but the sense of the arms, which a mirror changes) and Galaxy Zoo 1 (classes; the direction of the arms left out), 88-pixel colour stamps, with a share of the
labels of folds 1 to 4; all scores are on fold 0, which neither the heads nor the bundled network have seen. The bundled network was itself trained with the labels of
folds 1 to 4: with few labels it knows more than these.

`fine-tuned`: as `tuningfork train predictor`, through the same objective, settings and encoder. `frozen`: as with `--from`, heads on the bundled network's codes.
`probe`: the linear probe of `benchmarks.encoder`. Rows are written as they come; what is there already is not measured again without `--anew`.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from actors.encoder import Encoder
from actors.stamps import stamps_of
from benchmarks import probes
from benchmarks.common import read_csv, write_csv
from benchmarks.contestants import FOLDER
from benchmarks.encoder import YES_OR_NO
from benchmarks.galaxies import SIZE, Galaxies, galaxies, type_bins
from kernels.bags import hash_ids
from kernels.heads.answers import moments, probabilities
from kernels.heads.calibrate import calibrate
from kernels.heads.scores import calibration_error
from kernels.nets.weights import bundled
from kernels.stretch import stretch
from kernels.training.labels import mean_loss
from kernels.training.linear_heads import fit_linear_heads, starting_heads
from kernels.training.predictor_objective import (
    PredictorNet,
    PredictorObjective,
    TeachingSettings,
    with_drop_path,
)
from kernels.training.recipe import Recipe
from kernels.training.trainer import Training
from pipeline.config.training import Labels, Ordinal, PredictorTraining
from pipeline.training.predictor_dataset import ENOUGH, LARGEST_SHARE, VALIDATION_SEED
from pipeline.training.targets import LABEL, Targets
from pipeline.training.worker import batches_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.heads.head import Head

COLUMNS = (
    "set",
    "way",
    "share_of_labels",
    "labels",
    "draws",
    "input",
    "epochs",
    "turns",
    "accuracy",
    "calibration_error",
    "type_rank_correlation",
    "type_coverage",
    "attributes_rank_correlation",
    "bar_AP",
    "edge_on_AP",
    "dust_AP",
    "cpu_seconds",
)
SHARES = (0.01, 0.05, 0.2, 1.0)
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


def fine_tuned(
    task: Task, drawn: NDArray[np.bool_], draw: int, side: int, epochs: int, turns: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Outputs for the objects to calibrate on and for the test objects, and which the former are."""
    settings, batch_size = PredictorTraining(), 64
    validation = task.validation(drawn)
    torch.manual_seed(draw)
    network = Encoder.networks(
        model="galaxy-atto", checkpoint=str(bundled("galaxy-atto")), bands=3, size=SIZE, input=side
    )[0].train()
    with_drop_path(network, settings.drop_path)
    net = PredictorNet(network, 320, task.targets.shape[1], settings.dropout)
    recipe = Recipe(rate=2e-3, ema=0.99)
    teaching = TeachingSettings(
        settings.network_rate, settings.layer_decay, settings.smoothing, settings.mixup
    )
    core = PredictorObjective(net, side, task.heads, recipe, teaching)
    learned = drawn & ~validation

    def seen(rows: NDArray[np.bool_]) -> torch.Tensor:
        pixels = stamps_of(task.data.stamps.filter(pa.array(rows))["stamp"], 3, SIZE)
        return stretch(torch.tensor(pixels), "linear")[:, ORDER].half()

    stamps, targets = seen(learned), task.targets[learned]
    others, wanted = seen(validation), task.targets[validation]
    weight, bias = starting_heads(core.codes(stamps).numpy(), targets.numpy(), task.heads)
    with torch.no_grad():
        net.heads.weight.copy_(torch.tensor(weight))
        net.heads.bias.copy_(torch.tensor(bias))
    training = Training(core, copy.deepcopy(net).eval(), draw)
    best, kept = np.inf, copy.deepcopy(training.averaged)
    for epoch in range(epochs):
        order = torch.from_numpy(np.random.default_rng([draw, epoch]).permutation(len(stamps)))
        batches, losses = batches_of(order, batch_size, 20), []
        for number, part in enumerate(batches):
            progress = (epoch + number / len(batches)) / epochs
            losses.append(float(training.step(stamps[part], targets[part], progress)["loss"]))
        loss = float(mean_loss(task.heads, core.unseen_sums(training.averaged, others, wanted)))
        print(f"  epoch {epoch + 1}: {np.mean(losses):.4f}, validation {loss:.4f}", flush=True)
        if loss < best:
            best = loss
            kept.load_state_dict(training.averaged.state_dict())
    from kernels.nets.weights import half_precision

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.safetensors"
        path.write_bytes(half_precision(kept.network))
        layer = kept.heads.weight.detach().double().numpy().T
        offset = kept.heads.bias.detach().double().numpy()
        outputs = [
            encoded(task, rows, path, side, turns) @ layer + offset for rows in (validation, task.test)
        ]
    return outputs[0], outputs[1], validation


def frozen(
    task: Task,
    drawn: NDArray[np.bool_],
    codes: NDArray[np.float64],
    heads: Sequence[Head],
    targets: torch.Tensor,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Outputs for the drawn objects by layers that have not seen them, and for the test objects."""
    mean, scale = codes.mean(axis=0), codes.std(axis=0)
    order = np.argsort(hash_ids(task.ids[drawn], 7))
    found = fit_linear_heads(codes[drawn][order], targets[drawn][order].numpy(), heads, mean, scale)
    back = np.argsort(order)
    return found.held_out[back], codes[task.test] @ found.weight.T + found.bias


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


def main() -> None:
    """Measure what was asked for, row by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="*", default=("efigi", "gz1"))
    parser.add_argument("--ways", nargs="*", default=("fine-tuned", "frozen", "probe"))
    parser.add_argument("--shares", nargs="*", type=float, default=SHARES)
    parser.add_argument("--draws", type=int, default=5, help="of frozen heads and probes")
    parser.add_argument("--fine-draws", type=int, default=1, help="of fine-tuned networks")
    parser.add_argument("--input", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--turns", type=int, default=4, help="of fine-tuned networks' codes")
    parser.add_argument("--heads", nargs="*", default=(), help="of frozen ones; all by default")
    parser.add_argument("--anew", action="store_true")
    parser.add_argument("--releases", type=Path, default=FOLDER / "releases")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.releases.mkdir(parents=True, exist_ok=True)
    for name in options.sets:
        measured = task(name, options.releases)
        codes = None
        for way in options.ways:
            if way != "fine-tuned" and codes is None:
                codes = encoded(
                    measured, np.ones(len(measured.ids), bool), bundled("galaxy-atto"), 64, turns=1
                )
            for share in options.shares:
                fine = way == "fine-tuned"
                draws = (options.fine_draws if fine else options.draws) if share < 1 else 1
                key = (name, way, f"{share:g}")
                if not options.anew and any(_key(row) == key for row in read_csv("predictors")):
                    continue
                before, found = time.process_time(), list[dict[str, float]]()
                labels = 0
                for draw in range(draws):
                    drawn = measured.drawn(share, draw)
                    labels += int(drawn.sum())
                    found.append(_one(measured, way, drawn, draw, codes, options))
                cost = (time.process_time() - before) / draws
                shape = (options.input, options.epochs, options.turns) if fine else (64, "", 1)
                mean = [_mean([each[column] for each in found if column in each]) for column in COLUMNS[8:-1]]
                row = (*key, round(labels / draws), draws, *shape, *mean, f"{cost:.0f}")
                rest = [tuple(r.values()) for r in read_csv("predictors") if _key(r) != key]
                write_csv("predictors", COLUMNS, [*rest, row])


def _one(
    measured: Task,
    way: str,
    drawn: NDArray[np.bool_],
    draw: int,
    codes: NDArray[np.float64] | None,
    options: argparse.Namespace,
) -> dict[str, float]:
    if way == "fine-tuned":
        calibrated, outputs, validation = fine_tuned(
            measured, drawn, draw, options.input, options.epochs, options.turns
        )
        pair = calibrated, measured.targets[validation].double().numpy()
        return scores(measured, measured.heads, pair, outputs)
    assert codes is not None
    if way == "frozen":
        heads, targets = some_heads(measured, options.heads)
        held_out, outputs = frozen(measured, drawn, codes, heads, targets)
        return scores(measured, heads, (held_out, targets[drawn].double().numpy()), outputs)
    rows, test = drawn | measured.test, measured.test[drawn | measured.test]
    try:
        return {"accuracy": probes.linear_accuracy(codes[rows], measured.classes[rows], test)}
    except ValueError:  # a class with fewer objects than it has folds
        return {}


def _key(row: dict[str, str]) -> tuple[str, str, str]:
    return row["set"], row["way"], row["share_of_labels"]


def _mean(values: list[float]) -> str:
    """With the scatter of draws, where there are several."""
    if not values:
        return ""
    spread = f" ± {np.std(values):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


if __name__ == "__main__":
    main()
