"""Networks from scratch, at equal work and with few labels: networks.csv, networks_rates.csv, networks_costs.csv and networks_vote.csv.

Five small networks of 14 million multiply-adds for a galaxy of 64 pixels: galaxy-atto's ConvNeXt, the sixteen viewpoints, D4, and
Astroformer with attention in one stage and in two. Each learns the classes of EFIGI (five bins of visual type) and of Galaxy Zoo 1
(arms' direction left out) from scratch, from all galaxies outside fold 0 or from a tenth of them, and is scored on fold 0. All
take 300 steps of 32 galaxies, by AdamW, at the rate of two that was better for the network on EFIGI's fold 1, after half the steps on the other three. Galaxies are
turned by any angle, mirrored, zoomed and shifted; colours are kept. Three seeds draw weights, the tenth, batches and views.
EFIGI's galaxies then vote with the codes, as in `benchmarks.encoder`.

Rows are written as they come, and rows that are there are not made again. One thread, about an hour of an idle core; `--sets` and `--seeds` share the work out.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import time
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import contestants
from benchmarks.common import RESULTS, best, read_csv
from benchmarks.encoder import HELD_OUT, JUDGED, judge
from benchmarks.galaxies import Galaxies, galaxies, type_bins
from benchmarks.invariance import pixels
from benchmarks.science import write_tables
from benchmarks.votes import vote_on
from kernels.nets import create
from kernels.nets.equivariant import ORDER, act
from kernels.nets.weights import bundled
from kernels.stretch import stretch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

SIDE, BATCH, STEPS, SEEDS, ROUNDS = 64, 32, 300, 3, 5
WARM_UP, DECAY, RATES = 0.05, 0.05, (1e-3, 4e-3)
ZOOM, SHIFT = math.log(1.15), 0.05
_ASTROFORMER = {"dims": (32, 48, 96, 192), "depths": (1, 1, 2, 1), "stem": 16}
NETWORKS = {
    "ConvNeXt (galaxy-atto)": ("galaxy-atto", {"dims": (22, 44, 88, 176)}),
    "viewpoints": ("viewpoints", {"width": 4, "dense": 256}),
    "D4": ("galaxy-d4", {"fields": (3, 5, 10, 20)}),
    "Astroformer C-C-C-T": ("astroformer-atto", _ASTROFORMER),
    "Astroformer C-C-T-T": ("astroformer-atto", {**_ASTROFORMER, "stack": "C-C-T-T"}),
}
FRACTIONS = (1.0, 0.1)
BUNDLED = "galaxy-atto, bundled"
SCORES = ("set", "labels", "network", "seed", "galaxies", "rate", "accuracy", "training_s")
TRIED = ("network", "rate", "accuracy")
VOTES = ("network", "seed", *JUDGED, "largest_difference")
VALIDATED = 1
"""Fold that rates are chosen on."""
COSTS = ("network", "parameters", "multiply_adds_million", "encoding_img_s", "training_img_s")


class Data:
    """Images (n, 3, SIDE * 11 / 8, ...), bluest band first, with classes and folds."""

    def __init__(self, release: Galaxies) -> None:
        self.images = stretch(pixels(release.stamps)[:, [2, 1, 0]], "linear")
        self.fold, self.ids = release.fold, np.asarray(release.stamps["object_id"].to_pylist())
        if "truth" in release.labels:
            names = release.labels["truth"].str.replace("_anticlockwise", "").str.replace("_clockwise", "")
            self.truth = np.unique(names.to_numpy(str), return_inverse=True)[1]
        else:
            self.truth = type_bins(release.labels)
        side = (SIDE, SIDE)
        self.small = functional.interpolate(
            self.images, side, mode="bilinear", align_corners=False, antialias=True
        )


def views(images: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Images turned by any angle, mirrored or not, zoomed by up to 15 % and shifted by up to 2.5 %."""

    def between(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(len(images), generator=draw)

    angle, zoom = between(0, 2 * math.pi), between(-ZOOM, ZOOM).exp()
    flip = between(-1, 1).sign()
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    first = torch.stack([cos * flip, -sin, between(-SHIFT, SHIFT)], 1)
    second = torch.stack([sin * flip, cos, between(-SHIFT, SHIFT)], 1)
    shape = [len(images), 3, SIDE, SIDE]
    grid = functional.affine_grid(torch.stack([first, second], 1), shape, align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", align_corners=False)


def made(name: str, seed: int) -> nn.Module:
    """The network with weights of this seed."""
    known, options = NETWORKS[name]
    net = create(known, bands=3, size=SIDE, **options)
    torch.manual_seed(seed)
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            with torch.no_grad():  # `create` has one seed: shuffled weights are another draw
                weights = layer.weight.flatten()
                weights.copy_(weights[torch.randperm(len(weights))])
    return net.to(memory_format=torch.channels_last)


def trained(
    name: str, data: Data, rows: NDArray[np.int64], seed: int, rate: float, steps: int = STEPS
) -> tuple[nn.Module, nn.Linear]:
    """The network and its classifier after so many steps on these rows."""
    net, images = made(name, seed), data.images
    truth = torch.from_numpy(data.truth)
    head = nn.Linear(len(codes(net, data.small[:2])[0]), int(truth.max()) + 1)
    weights = [*net.parameters(), *head.parameters()]
    matrices, others = ([w for w in weights if (w.ndim > 1) is many] for many in (True, False))
    optimiser = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    )
    draw = torch.Generator().manual_seed(seed)
    order = torch.cat(
        [
            torch.from_numpy(rows)[torch.randperm(len(rows), generator=draw)]
            for _ in range(-(-steps * BATCH // len(rows)))
        ]
    )
    net.train()
    for step in range(steps):
        done = step / steps
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, done / WARM_UP + 1 / steps) * 0.5 * (1 + math.cos(math.pi * done))
        batch = order[step * BATCH : (step + 1) * BATCH]
        answers = head(net(views(images[batch], draw).contiguous(memory_format=torch.channels_last)))
        optimiser.zero_grad()
        functional.cross_entropy(answers, truth[batch]).backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
    return net.eval(), head


@torch.inference_mode()
def codes(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Pooled features (n, features)."""
    parts = images.contiguous(memory_format=torch.channels_last).split(128)
    return torch.cat([net.eval()(part) for part in parts])


@torch.inference_mode()
def accuracy(net: nn.Module, head: nn.Linear, data: Data, test: NDArray[np.bool_]) -> float:
    """Share of the test galaxies whose class is found, from one look each."""
    found = head(codes(net, data.small[test])).argmax(dim=1).numpy()
    return float((found == data.truth[test]).mean())


def chosen(train: NDArray[np.bool_], fraction: float, seed: int) -> NDArray[np.int64]:
    """Rows of a share of the training galaxies, the same for all networks."""
    rows = np.flatnonzero(train)
    return np.random.default_rng(seed).permutation(rows)[: round(fraction * len(rows))]


def difference(net: nn.Module, images: torch.Tensor) -> float:
    """Largest change of a code under the eight symmetries, over the largest code."""
    plain = codes(net, images)
    apart = [(codes(net, act(g, images)) - plain).abs().max() for g in range(ORDER)]
    return float(torch.stack(apart).max() / plain.abs().max())


def costs() -> Iterator[tuple[object, ...]]:
    """Rows of the table of costs, measured in turns, so that what else the machine does slows all alike."""
    images = torch.rand(BATCH, 3, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    nets = {name: made(name, 0) for name in NETWORKS}
    least = {name: [math.inf, math.inf] for name in NETWORKS}
    for _ in range(ROUNDS):
        for name, net in nets.items():
            encoding = best(lambda net=net: codes(net, images), 2)
            learning = best(lambda net=net: net.train()(images).square().sum().backward(), 2)
            least[name] = [min(pair) for pair in zip(least[name], (encoding, learning), strict=True)]
    for name, net in nets.items():
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            known, options = NETWORKS[name]
            create(known, bands=3, size=SIDE, **options)(torch.zeros(1, 3, SIDE, SIDE))
        weights = sum(weight.numel() for weight in net.parameters())
        speeds = (round(BATCH / seconds) for seconds in least[name])
        yield name, weights, f"{counter.get_total_flops() / 2e6:.1f}", *speeds


def ballots(codes_: NDArray[np.float32], data: Data) -> list[str]:
    """The columns of the table of votes."""
    found = judge(vote_on(codes_, data.ids), data.truth, data.fold == HELD_OUT)
    return [f"{value:.3f}" for value in found]


class Table:
    """A CSV that grows row by row; rows whose first columns, the key, are there already need not be made again."""

    def __init__(self, name: str, columns: Sequence[str], keys: int) -> None:
        self._path, self._keys = RESULTS / f"{name}.csv", keys
        self.rows = [tuple(row.values()) for row in read_csv(name)]
        if not self._path.exists():
            self._path.write_text(",".join(columns) + "\n", encoding="utf-8")

    def has(self, *key: object) -> bool:
        return any(row[: self._keys] == tuple(map(str, key)) for row in self.rows)

    def add(self, *row: object) -> None:
        self.rows.append(tuple(map(str, row)))
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow(row)
        print(*row, sep="  ", flush=True)


def better_rates(efigi: Data) -> dict[str, float]:
    """The better rate by network."""
    table = Table("networks_rates", TRIED, 2)
    rest = (efigi.fold != HELD_OUT) & (efigi.fold != VALIDATED)
    for name in NETWORKS:
        for rate in RATES:
            if not table.has(name, rate):
                net, head = trained(name, efigi, np.flatnonzero(rest), SEEDS, rate, STEPS // 2)
                score = accuracy(net, head, efigi, efigi.fold == VALIDATED)
                table.add(name, rate, f"{score:.3f}")
    ordered = sorted(table.rows, key=lambda row: float(row[2]))
    return {name: float(rate) for name, rate, _ in ordered}


def main() -> None:
    """Train, score, vote, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", nargs="*", default=["EFIGI", "GZ1"], help="of EFIGI and GZ1")
    parser.add_argument("--seeds", nargs="*", type=int, default=list(range(SEEDS)))
    options = parser.parse_args()
    sets = options.sets
    torch.set_num_threads(1)
    scratch = contestants.FOLDER / "releases"
    scratch.mkdir(parents=True, exist_ok=True)
    efigi = galaxies("efigi", scratch)
    data = {"EFIGI": Data(efigi)} | ({"GZ1": Data(galaxies("gz1", scratch))} if "GZ1" in sets else {})
    rates, votes = better_rates(data["EFIGI"]), Table("networks_vote", VOTES, 2)
    if "EFIGI" in sets and not votes.has(BUNDLED, ""):
        known = contestants.ours(efigi.stamps, 3, checkpoint=str(bundled("galaxy-atto")))
        votes.add(BUNDLED, "", *ballots(known, data["EFIGI"]), "")
    compare({name: data[name] for name in sets}, options.seeds, rates, votes)
    spent = Table("networks_costs", COSTS, 1)
    if not spent.rows:
        for row in costs():
            spent.add(*row)
    write_tables()


def compare(sets: dict[str, Data], seeds: list[int], rates: dict[str, float], votes: Table) -> None:
    """Train every network on every share of every set, with every seed."""
    scores = Table("networks", SCORES, 4)
    for seed, fraction, (set_, data), name in itertools.product(seeds, FRACTIONS, sets.items(), NETWORKS):
        if scores.has(set_, fraction, name, seed):
            continue
        test = data.fold == HELD_OUT
        rows = chosen(~test, fraction, seed)
        began = time.perf_counter()
        net, head = trained(name, data, rows, seed, rates[name])
        seconds, score = time.perf_counter() - began, accuracy(net, head, data, test)
        if set_ == "EFIGI" and fraction == 1:
            apart = difference(net, data.small[test][:128])
            votes.add(name, seed, *ballots(codes(net, data.small).numpy(), data), f"{apart:.1e}")
        scores.add(set_, fraction, name, seed, len(rows), rates[name], f"{score:.3f}", round(seconds))


if __name__ == "__main__":
    main()
