"""Tests of encoders on real galaxies: `make bench-encoder`. Writes benchmarks/results/encoder.csv and vote_encoders.csv.

EFIGI (2,677 galaxies with visual types and attributes) and Galaxy Zoo 1 (3,186 with classes), 88-pixel colour stamps and
the same as one grey band. Objects are dealt out to five folds by a hash of their ids. Linear probes and nearest neighbours
learn from four folds and are scored on the fifth; galaxy-atto itself was trained without the fold that it is scored on
(`make encoders`; the bundled weights never saw fold 0). Folds without an encoder are left out, and `folds` says how many
there are.
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import contestants, probes
from benchmarks.common import read_csv, write_csv
from benchmarks.galaxies import FOLDS, Galaxies, as_grey, galaxies, type_bins
from benchmarks.science import write_tables
from benchmarks.votes import purity, vote_on
from kernels.nets.weights import bundled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from benchmarks.votes import Outcome

    Embed = Callable[[pa.Table, int], NDArray[np.float32]]

YES_OR_NO = {
    "bar_length": ("bar", 0.25),
    "inclination_elongation": ("edge-on", 1.0),
    "visible_dust": ("dust", 0.5),
}
"""Attribute -> what it is called, and the least value that counts as yes."""

OURS = (
    ("labels", 1, "galaxy-atto, with labels"),
    ("labels", 4, "galaxy-atto, with labels, turns = 4"),
    ("taught", 1, "galaxy-atto, without labels"),
    ("self", 1, "galaxy-atto, without labels or teacher"),
)
"""Kind of training, turns that an embedding is the mean of, name."""
HELD_OUT = 0
"""Fold that the bundled weights were trained without."""
JUDGED = ("kept", "purity_kept", "purity_all", "unanimous", "purity_unanimous", "purity_single")


def contests() -> Iterator[tuple[str, int, list[tuple[Embed, Sequence[int]]]]]:
    """Name, number of bands, and what embeds for which folds."""
    for bands, suffix in ((3, ""), (1, ", one grey band")):
        for kind, turns, name in OURS:
            paths = [(contestants.FOLDER / f"{kind}-{fold}.safetensors", [fold]) for fold in range(FOLDS)]
            if kind == "labels":  # the bundled weights have not seen this fold either
                paths[HELD_OUT] = (bundled("galaxy-atto"), [HELD_OUT])
            folds = [
                (partial(contestants.ours, checkpoint=str(p), turns=turns), f) for p, f in paths if p.exists()
            ]
            if folds:
                yield name + suffix, bands, folds
        for name, embed in (
            ("ImageNet EfficientNet-lite0", contestants.efficientnet),
            ("raw pixels, 16 x 16", contestants.raw_pixels),
            ("ConvNeXt-atto, untrained", partial(contestants.ours, checkpoint=None)),
        ):
            yield name + suffix, bands, [(embed, range(FOLDS))]


def scores(codes: NDArray[np.float32], data: Galaxies, fold: int) -> dict[str, float]:
    """Every column of the table for one fold."""
    test = data.fold == fold
    if "truth" in data.labels:
        # The direction of the arms is left out: embeddings are the same for a galaxy and its mirror image.
        names = data.labels["truth"].str.replace("_anticlockwise", "").str.replace("_clockwise", "")
        _, truth = np.unique(names.to_numpy(str), return_inverse=True)
        return {"GZ1 classes, linear": probes.linear_accuracy(codes, truth, test)}
    truth = type_bins(data.labels)
    found = {
        "EFIGI types, linear": probes.linear_accuracy(codes, truth, test),
        "EFIGI types, k-NN": probes.neighbour_accuracy(codes, truth, test),
    }
    for column, (name, least) in YES_OR_NO.items():
        values = data.labels[column].to_numpy(float)
        yes = np.where(values >= 0, values >= least, np.nan)
        found[f"EFIGI {name}, AP"] = probes.precision(codes, yes, test)
    return found


def judge(outcome: Outcome, truth: NDArray[np.int64], test: NDArray[np.bool_]) -> list[float]:
    """Kept fractions and purities of held-out objects, by the types of the others in their groups."""
    return [
        float(outcome.kept[test].mean()),
        purity(outcome.group, truth, test & outcome.kept, ~test & outcome.kept),
        purity(outcome.group, truth, test, ~test),
        float(outcome.unanimous[test].mean()),
        purity(outcome.group, truth, test & outcome.unanimous, ~test & outcome.unanimous),
        purity(outcome.single, truth, test, ~test),
    ]


def main() -> None:
    """Embed, probe, vote, write; encoders that were not selected keep their rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="encoders whose names hold this")
    parser.add_argument("--votes", action="store_true", help="the vote alone")
    options = parser.parse_args()
    scratch = contestants.FOLDER / "releases"
    scratch.mkdir(parents=True, exist_ok=True)
    efigi, gz1 = galaxies("efigi", scratch), galaxies("gz1", scratch)
    ids, truth = np.asarray(efigi.stamps["object_id"].to_pylist()), type_bins(efigi.labels)
    rows: list[Sequence[object]] = []
    votes: list[Sequence[object]] = []
    for name, bands, folds in contests():
        wanted = options.only in name
        if options.votes or not wanted:
            rows += [tuple(row.values()) for row in read_csv("encoder") if row["encoder"] == name]
        if not wanted:
            votes += [tuple(row.values()) for row in read_csv("vote_encoders") if row["encoder"] == name]
            continue
        found: dict[str, list[float]] = {}
        judged = []
        for embed, scored in folds:
            for data in (efigi,) if options.votes else (efigi, gz1):
                codes = embed(data.stamps if bands == 3 else as_grey(data.stamps), bands)
                for fold in () if options.votes else scored:
                    for column, value in scores(codes, data, fold).items():
                        found.setdefault(column, []).append(value)
                if data is efigi:
                    outcome = vote_on(codes, ids)
                    judged += [judge(outcome, truth, efigi.fold == fold) for fold in scored]
        for column, values in found.items():
            rows.append((name, column, len(values), f"{np.mean(values):.3f}", f"{np.std(values):.3f}"))
            print(*rows[-1], sep="  ", flush=True)
        votes.append((name, len(judged), *(f"{value:.3f}" for value in np.nanmean(judged, axis=0))))
        print(*votes[-1], sep="  ", flush=True)
    write_csv("encoder", ("encoder", "score", "folds", "mean", "spread"), rows)
    write_csv("vote_encoders", ("encoder", "folds", *JUDGED), votes)
    write_tables()


if __name__ == "__main__":
    main()
