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
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from actors.encoder import Encoder
from actors.stamps import stamps_of
from benchmarks import probes
from benchmarks.common import read_csv, write_csv
from benchmarks.contestants import FOLDER
from benchmarks.galaxies import SIZE
from benchmarks.predictor_task import ORDER, Task, encoded, scores, some_heads, task
from kernels.bags import hash_ids
from kernels.nets.weights import bundled, half_precision
from kernels.stretch import stretch
from kernels.training.labels import mean_loss
from kernels.training.linear_heads import fit_linear_heads
from kernels.training.predictor_objective import (
    PredictorNet,
    PredictorObjective,
    TeachingSettings,
    with_drop_path,
)
from kernels.training.recipe import Recipe
from kernels.training.starting_heads import starting_heads
from kernels.training.trainer import Training
from pipeline.config.training import PredictorTraining
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
WAYS = ("fine-tuned", "frozen", "probe")
SHARES = (0.01, 0.05, 0.2, 1.0)


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


def main() -> None:
    """Measure what was asked for, row by row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="*", default=("efigi", "gz1"))
    parser.add_argument("--ways", nargs="*", default=WAYS)
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
                shape = (options.input, options.epochs, options.turns) if fine else (64, "", 1)
                key = (name, way, f"{share:g}", *map(str, shape))
                if not options.anew and any(_key(row) == key for row in read_csv("predictors")):
                    continue
                before, found = time.process_time(), list[dict[str, float]]()
                labels = 0
                for draw in range(draws):
                    drawn = measured.drawn(share, draw)
                    labels += int(drawn.sum())
                    found.append(_one(measured, way, drawn, draw, codes, options))
                cost = (time.process_time() - before) / draws
                mean = [_mean([each[column] for each in found if column in each]) for column in COLUMNS[8:-1]]
                row = (*key[:3], round(labels / draws), draws, *shape, *mean, f"{cost:.0f}")
                rest = [tuple(r.values()) for r in read_csv("predictors") if _key(r) != key]
                write_csv("predictors", COLUMNS, sorted([*rest, row], key=_place))


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


def _key(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in ("set", "way", "share_of_labels", "input", "epochs", "turns"))


def _place(row: Sequence[object]) -> tuple[str, int, float]:
    return str(row[0]), WAYS.index(str(row[1])), float(str(row[2]))


def _mean(values: list[float]) -> str:
    """With the scatter of draws, where there are several."""
    if not values:
        return ""
    spread = f" ± {np.std(values):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{spread}"


if __name__ == "__main__":
    main()
