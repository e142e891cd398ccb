"""Balance: are more objects of a rare class found again in groups of their own, if synthetic neighbours of rare groups join the bags?

`tuningfork run` with `[augment] balance = true` votes twice, first with bags of real objects alone: both votes are judged. The rare class is one of EFIGI's
types, thinned out, and the irregulars of a simulated release, thinned out to 0.5 %, whose model `tuningfork train diffusion` trains on that release
as it is. A group's class is the commonest one among its kept objects, the judged one left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.common import write_csv
from benchmarks.diffusion_judges import spread
from benchmarks.galaxies import type_bins
from catalogs import parts
from kernels.bags import canonical_order
from pipeline.simulate.release import simulate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.diffusion_study import Study

THINNED = {"ellipticals": 0, "irregulars": 4}
"""Of EFIGI's five bins of type, one at a time."""
SHARE = {"EFIGI": 0.01, "simulated": 0.005}
SEEDS = (0, 1, 2)
SIMULATED = 4000
TRAINING = """
[train]
epochs = 24
workers = 2
threads = 1
batch_size = 32

[train.diffusion]
width = 64
measured = ["r50", "ellipticity", "gini", "m20", "concentration", "asymmetry", "sersic_n", "sersic_r_e"]
"""


@dataclass(frozen=True)
class Rare:
    """A release in which one class was thinned out."""

    name: str
    config: str
    """TOML of its run, without the balancing."""
    folder: Path
    model: Path
    truth: pd.Series
    """Class by object id, of all objects before any was taken out."""
    kind: object


def run(study: Study) -> None:
    """Run, judge, write."""
    seeds, rows = SEEDS[:1] if study.small else SEEDS, []
    for rare in ([] if study.small else _efigi(study)) + [_simulated(study)]:
        found = [_outcome(study, rare, seed) for seed in seeds]
        for bags in ("real", "balanced"):
            scores = [outcome[bags] for outcome in found]
            rows.append(
                (rare.name, bags, *(spread([score[name] for score in scores], ".3g") for name in scores[0]))
            )
    head = ("release and rare class", "bags", *scores[0])
    write_csv("diffusion_balance", head, rows)


def _efigi(study: Study) -> list[Rare]:
    """One of the types in its turn has become rare."""
    folder = study.cache / f"efigi-{study.model.size}"
    truth = pd.Series(type_bins(study.labels), index=study.ids)
    config = (folder / "survey.toml").read_text() + "\n[measure]\nquantities = []\n"
    return [Rare(f"EFIGI, {name}", config, folder, study.path, truth, kind) for name, kind in THINNED.items()]


def _simulated(study: Study) -> Rare:
    """Irregulars have become rare, and a model was trained on what is left."""
    count = 400 if study.small else SIMULATED
    folder = study.cache / f"simulated-{count}"
    if not folder.exists():
        simulate(folder, count, shards=4, seed=3)
    truth = pd.read_parquet(folder / "truth.parquet").set_index("object_id")["class"]
    config = (folder / "survey.toml").read_text().partition("# Medians of a group")[0]
    rare = Rare(
        "simulated, irregulars", config, folder, folder / "trained" / "diffusion.safetensors", truth, "IRR"
    )
    if not rare.model.exists():
        path = folder / "train.toml"
        training = TRAINING.replace("epochs = 24", "epochs = 1") if study.small else TRAINING
        path.write_text(_thinned(rare, SHARE["simulated"], 0) + training)
        _tuningfork("train", "diffusion", str(path), "--out", str(rare.model.parent))
    return rare


def _thinned(rare: Rare, share: float, seed: int) -> str:
    """The config without most of the objects of the rare class."""
    others = int((rare.truth != rare.kind).sum())
    ids = rare.truth.index[rare.truth == rare.kind].to_numpy()
    gone = np.sort(ids[canonical_order(ids, seed)][max(2, round(share / (1 - share) * others)) :])
    listed = ", ".join(f"'{i}'" if isinstance(i, str) else str(i) for i in gone.tolist())
    column = rare.config.partition('\nid = "')[2].partition('"')[0]
    return rare.config.replace("[survey]\n", f'[survey]\nwhere = """{column} NOT IN ({listed})"""\n', 1)


def _outcome(study: Study, rare: Rare, seed: int) -> dict[str, dict[str, float]]:
    """Scores of the vote by real bags and of that by balanced ones, in one run."""
    share = SHARE[rare.name.partition(",")[0]]
    path, out = rare.folder / "rare.toml", study.cache / "run"
    balance = f'\n[augment]\nbalance = true\nmodel = "{rare.model}"\nseed = {seed}\n\n[fit]\nseed = {seed}\n'
    path.write_text(_thinned(rare, share, seed) + balance)
    shutil.rmtree(out, ignore_errors=True)
    _tuningfork("run", str(path), "--out", str(out))
    decided = json.loads((out / "models" / "balance.json").read_text())
    scores = {
        bags: _scores(
            pa.concat_tables(
                parts.read(str(out / place), name) for name in sorted(parts.done(str(out / place)))
            ),
            rare,
        )
        for bags, place in (("real", "first_votes"), ("balanced", "votes"))
    }
    for bags, drawn in (("real", 0), ("balanced", decided["synthetic"])):
        scores[bags]["synthetic objects"] = drawn
    return scores


def _scores(votes: pa.Table, rare: Rare) -> dict[str, float]:
    table = votes.select(["object_id", "group", "kept"]).to_pandas().dropna()
    kept = table["kept"].to_numpy(bool)
    classes, truth = np.unique(rare.truth.loc[table["object_id"]].to_numpy(), return_inverse=True)
    is_rare = classes[truth] == rare.kind
    called = kept & (classes[_named(table["group"].to_numpy(int), truth, kept)] == rare.kind)
    group = table["group"].to_numpy(int)
    inside = np.bincount(group[is_rare & kept], minlength=group.max() + 1)
    full = np.bincount(group[kept], minlength=group.max() + 1).clip(min=1)
    found = max(1, inside.sum())
    best = np.argmax(2 * inside / (found + full))  # F1
    return {
        "objects of it": is_rare.sum(),
        "kept of it": (is_rare & kept).sum() / is_rare.sum(),
        "recall among kept ones": (is_rare & called).sum() / found,
        "of them in its best group": inside[best] / found,
        "purity of that group": inside[best] / full[best],
        "kept of all": kept.mean(),
    }


def _named(group: NDArray[np.int64], truth: NDArray[np.int64], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The class of each object's group, by the other objects that are kept in it."""
    counts = np.zeros((group.max() + 1, truth.max() + 1), np.int64)
    np.add.at(counts, (group[kept], truth[kept]), 1)
    others = counts[group]
    others[np.arange(len(group)), truth] -= kept
    return others.argmax(axis=1)


def _tuningfork(*arguments: str) -> None:
    environment = {**os.environ, "TERM": "dumb", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        sys.exit(f"tuningfork {arguments[0]} failed:\n{done.stdout}\n{done.stderr}")
