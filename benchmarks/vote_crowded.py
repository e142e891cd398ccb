"""What rules keep of simulated releases, whose truth is known: `python -m benchmarks.vote_crowded`. Writes vote_crowded.csv.

Releases of `tuningfork simulate`, at the density of `make demo` and crowded, three of each, neighbours filled, with the bundled encoder. The objects are
parted into two halves by a hash of their ids. Groups are named by the true class of most of the other half's objects, for every rule; of the share of a half
that ranks highest, purity is how many are of their group's name. Means over both halves, eight seeds of the vote and three releases.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from scipy.spatial.distance import cdist

from actors.encoder import Encoder
from actors.segmenter import Segmenter
from benchmarks import contestants
from benchmarks.common import write_csv
from benchmarks.neighbours import CROWDED
from benchmarks.science import write_tables
from benchmarks.vote_candidates import Sample, bagged_probabilities
from benchmarks.vote_rules import BRANCHES, apart, drawer, margin
from benchmarks.votes import GROUPS
from kernels.bags import canonical_order, in_pilot
from kernels.confidence import branches, share_of
from kernels.vote import vote
from pipeline.plan.make_plan import plan_of
from pipeline.simulate.mosaics import DENSITY
from pipeline.simulate.release import simulate

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARES = (1.0, 0.66, 0.5)
FIRST_SEED = 10
NEIGHBOURS, CORE = 2, 20
"""Of HDBSCAN: what `benchmarks.vote_search` chose."""
HALVES = 0x68616C66  # "half" in ASCII: a hash of its own


def simulated(density: float, galaxies: int, seed: int, codes: Path) -> dict[str, NDArray]:
    """Embeddings, ids and true classes of a simulated release; made once."""
    file = codes / f"simulated-{density:.0f}-{galaxies}-{seed}.npz"
    if not file.exists():
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / "release"
            simulate(folder, galaxies, shards=1, seed=seed, density=density)
            plan = plan_of(folder / "survey.toml", "nowhere")
            rows = pa.concat_tables([plan.release.read(piece) for piece in plan.slices()])
            truth = pq.read_table(folder / "truth.parquet").to_pandas().set_index("object_id")
        rows = rows.filter(rows["usable"]).combine_chunks()
        ids = rows["object_id"].to_numpy()
        segmenter = Segmenter(bands=1, size=64)
        found = Encoder(**plan.encoder_options)(segmenter.filled(rows, segmenter(rows)))["embedding"]
        values = found.combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(ids), -1)
        classes = np.unique(truth.loc[ids, "class"].to_numpy(str), return_inverse=True)[1]
        codes.mkdir(parents=True, exist_ok=True)
        np.savez(file, embeddings=values, ids=ids, truth=classes)
    return dict(np.load(file))


def halves(ids: NDArray, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Two disjoint halves of the objects, by their ids."""
    first = in_pilot(ids, 2, 1, HALVES + seed)
    return first, ~first


def purities(data: dict[str, NDArray], seed: int) -> dict[str, NDArray]:
    """Rule: purity of each of SHARES, mean of both halves."""
    ids, truth = data["ids"], data["truth"]
    sample = Sample(data["embeddings"].astype(np.float32), None, ids, seed, Path())
    codes = sample.codes
    members = drawer(codes, ids, seed)(seed)
    ballot = vote(codes, members)
    level = branches(members, codes[canonical_order(ids, seed)], BRANCHES)
    squared = cdist(codes.astype(float), members.centres.astype(float), "sqeuclidean")
    dense = bagged_probabilities(sample, NEIGHBOURS, CORE)
    found: dict[str, list[list[float]]] = {}
    for half in halves(ids, seed):
        voted, alone = (
            names_of(group[~half], truth[~half]) for group in (ballot.group, ballot.reference_group)
        )
        rules = {
            "vote, by agreement (before)": (voted[ballot.group], ballot.agreement),
            "one k-means, by margin": (alone[ballot.reference_group], margin(squared)),
            "one k-means, by margin between branches": (
                alone[ballot.reference_group],
                margin(apart(squared, level)),
            ),
            "vote, by branch_confidence": (voted[ballot.group], share_of(ballot, level)),
            "vote, by HDBSCAN of every bag": (voted[ballot.group], dense),
            "named: one k-means, by margin between names": (
                alone[ballot.reference_group],
                margin(apart(squared, np.unique(alone, return_inverse=True)[1])),
            ),
            "named: vote, by share of the name (default)": (
                voted[ballot.group],
                share_of(ballot, np.unique(voted, return_inverse=True)[1]),
            ),
        }
        ties = np.random.default_rng(seed).random(len(ids))
        for rule, (named, score) in rules.items():
            best = np.lexsort((ties, -score))
            best = best[half[best]]
            right = (named == truth)[best]
            found.setdefault(rule, []).append([right[: round(s * len(right))].mean() for s in SHARES])
    return {rule: np.mean(curves, axis=0) for rule, curves in found.items()}


def names_of(groups: NDArray, truth: NDArray) -> NDArray[np.intp]:
    """The commonest class of every group."""
    table = np.zeros((GROUPS, truth.max() + 1), np.int64)
    np.add.at(table, (groups, truth), 1)
    return table.argmax(axis=1)


def main() -> None:
    """Simulate, vote, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--galaxies", type=int, default=3000)
    parser.add_argument("--releases", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--codes", type=Path, default=contestants.FOLDER / "codes")
    options = parser.parse_args()
    rows = []
    for density in (DENSITY, CROWDED):
        found: dict[str, list[NDArray]] = {}
        for release in range(FIRST_SEED, FIRST_SEED + options.releases):
            data = simulated(density, options.galaxies, release, options.codes)
            for seed in range(options.seeds):
                for rule, values in purities(data, seed).items():
                    found.setdefault(rule, []).append(values)
            print(f"{density:.1f}", release, flush=True)
        for rule, curves in found.items():
            pairs = zip(np.mean(curves, axis=0), np.std(curves, axis=0), strict=True)
            rows.append((f"{density:.1f}", rule, *(f"{mean:.3f} ± {spread:.3f}" for mean, spread in pairs)))
    shares = (f"{100 * share:.0f}_%" for share in SHARES)
    write_csv("vote_crowded", ("galaxies_an_arcmin2", "rule", *shares), rows)
    write_tables()


if __name__ == "__main__":
    main()
