"""Rules by which a vote keeps objects, on galaxies that the encoder has never seen.

    python -m benchmarks.vote_rules [--seeds 8] [--codes FOLDER]

EFIGI (five bins of visual type) and Galaxy Zoo 1 (classes), in colour and in one grey band, with the bundled encoder and neighbours
filled. All galaxies vote; those of the fold that the encoder was trained without are scored. Each rule ranks them; of the share that
ranks highest, the purity is that of groups named by their own majority. Means over seeds of the bags, the reference and the members. What was
chosen (the weights of votes and distances, six branches) was chosen on the other four folds.

"Named" rules know what the groups are called, by the majority of the galaxies of the other folds, and count votes for groups of one name
together. Embeddings are kept in FOLDER. Writes benchmarks/results/vote_rules.csv and vote_calibration.csv, and docs/vote_rules.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from actors.segmenter import Segmenter
from benchmarks import contestants
from benchmarks.common import read_csv, write_csv
from benchmarks.galaxies import SIZE, as_grey, galaxies, type_bins
from benchmarks.science import DOCS, write_tables
from benchmarks.votes import BAGS, COMPONENTS, GROUPS
from kernels.bags import bag_masks, canonical_order, inclusion, stratify
from kernels.confidence import branches, calibrate, share_of
from kernels.families import FAMILIES
from kernels.members import fit_member
from kernels.moments import fixed_point_exponent, moments, principal_components, project
from kernels.nets.weights import bundled
from kernels.vote import align, ensemble, vote

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from numpy.typing import NDArray

    from benchmarks.galaxies import Galaxies
    from kernels.vote import Ensemble

SHARES = (1.0, 0.8, 0.66, 0.5, 0.33, 0.2)
BRANCHES, HELD_OUT = 6, 0
OTHERS, CALIBRATED = 3, 6  # draws of bags that a confidence is compared with, for each of the first seeds
SETS = {
    ("efigi", 3): "EFIGI",
    ("efigi", 1): "EFIGI, one grey band",
    ("gz1", 3): "GZ1",
    ("gz1", 1): "GZ1, one grey band",
}


def filled(name: str, bands: int) -> tuple[Galaxies, pa.Table]:
    """A set, and its stamps with neighbours filled."""
    scratch = contestants.FOLDER / "releases"
    scratch.mkdir(parents=True, exist_ok=True)
    data = galaxies(name, scratch)
    stamps = data.stamps if bands == 3 else as_grey(data.stamps)
    segmenter = Segmenter(bands=bands, size=SIZE)
    return data, segmenter.filled(stamps, segmenter(stamps))


def embeddings(name: str, bands: int, codes: Path) -> dict[str, NDArray]:
    """Embeddings, ids, truth and fold of a set; made once."""
    file = codes / f"{name}-{bands}.npz"
    if not file.exists():
        data, stamps = filled(name, bands)
        if name == "efigi":
            truth = type_bins(data.labels)
        else:
            names = data.labels["truth"].str.replace("_anticlockwise", "").str.replace("_clockwise", "")
            truth = np.unique(names.to_numpy(str), return_inverse=True)[1]
        found = contestants.ours(stamps, bands, checkpoint=bundled("galaxy-atto"))
        codes.mkdir(parents=True, exist_ok=True)
        ids = np.asarray(stamps["object_id"].to_pylist())
        np.savez(file, embeddings=found.astype(np.float16), ids=ids, truth=truth, fold=data.fold)
    return dict(np.load(file))


def drawer(codes: NDArray, ids: NDArray, seed: int, groups: int = GROUPS) -> Callable[[int], Ensemble]:
    """What fits the members of one draw of bags, and aligns them to one reference."""
    order = canonical_order(ids, seed)
    strata = stratify(codes[order], seed=seed)
    rates = inclusion(strata.shares, len(ids), 100_000)
    reference = fit_member("kmeans", codes[order], groups, seed)

    def draw(of_bags: int) -> Ensemble:
        masks = bag_masks(ids, codes, strata, rates, BAGS, of_bags)
        members = [
            fit_member(family, codes[order[mask[order]]], groups, of_bags + 1 + bag, bag)
            for bag, mask in enumerate(masks)
            for family in FAMILIES
        ]
        return ensemble(align(members, reference, codes[order]), reference)

    return draw


def margin(squared: NDArray) -> NDArray:
    """(d2 - d1) / (d2 + d1) of the two nearest."""
    nearest = np.sqrt(np.sort(squared, axis=1)[:, :2])
    return (nearest[:, 1] - nearest[:, 0]) / (nearest[:, 1] + nearest[:, 0])


def apart(squared: NDArray, level: NDArray) -> NDArray:
    """Squared distance to the nearest centre of each place of a level."""
    return np.stack([squared[:, level == place].min(axis=1) for place in range(level.max() + 1)], axis=1)


def curve(groups: NDArray, score: NDArray, truth: NDArray, seed: int) -> list[float]:
    """Purity of each of SHARES, ties in random order."""
    order = np.lexsort((np.random.default_rng(seed).random(len(score)), -score))
    found = []
    for share in SHARES:
        kept = order[: round(share * len(order))]
        table = np.zeros((groups.max() + 1, truth.max() + 1), np.int64)
        np.add.at(table, (groups[kept], truth[kept]), 1)
        found.append(table.max(axis=1).sum() / len(kept))
    return found


def rules(data: dict[str, NDArray], seed: int) -> tuple[dict[str, list[float]], list[tuple]]:
    """Purities of every rule on the held-out galaxies, and their confidences beside what other draws of bags did."""
    values, ids, truth, scored = data["embeddings"], data["ids"], data["truth"], data["fold"] == HELD_OUT
    wide = values.astype(np.float32)
    exponent = fixed_point_exponent(float(np.abs(wide).max()))
    codes = project(wide, principal_components(moments(wide, exponent), COMPONENTS))
    draw = drawer(codes, ids, seed)
    members = draw(seed)
    ballot = vote(codes, members)
    pilot = codes[canonical_order(ids, seed)]
    squared = cdist(codes.astype(float), members.centres.astype(float), "sqeuclidean")
    single = ballot.reference_group
    levels = {"groups": np.arange(GROUPS), "branches": branches(members, pilot, BRANCHES)}
    table = np.zeros((GROUPS, truth.max() + 1), np.int64)
    np.add.at(table, (ballot.group[~scored], truth[~scored]), 1)
    names = np.unique(table.argmax(axis=1), return_inverse=True)[1]
    ranked = {
        "vote, by agreement (before)": (ballot.group, ballot.agreement),
        "one k-means, by margin": (single, margin(squared)),
        "one k-means, by margin between branches": (single, margin(apart(squared, levels["branches"]))),
        "vote, by confidence": (ballot.group, share_of(ballot, levels["groups"])),
        "vote, by branch_confidence": (ballot.group, share_of(ballot, levels["branches"])),
        "named: one k-means, by margin between names": (single, margin(apart(squared, names))),
        "named: vote, by share of the name (default)": (ballot.group, share_of(ballot, names)),
    }
    found = {
        rule: curve(group[scored], score[scored], truth[scored], seed)
        for rule, (group, score) in ranked.items()
    }
    if seed >= CALIBRATED:
        return found, []
    others = [vote(codes, draw(seed + 1000 * number)).group for number in range(1, OTHERS + 1)]
    stable = []
    for (what, level), calibration in zip(
        levels.items(), calibrate(pilot, members, list(levels.values())), strict=True
    ):
        same = np.mean([level[other] == level[ballot.group] for other in others], axis=0)
        stable.append((what, calibration(ballot), same))
    return found, stable


def draw_figure() -> None:
    """docs/vote_rules.png: purity against the share that is kept, a panel for each set."""
    import matplotlib as mpl  # a figure is all that needs it

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows = read_csv("vote_rules")
    figure, panels = plt.subplots(1, len(SETS), figsize=(13, 3.6), layout="constrained")
    for panel, title in zip(panels, SETS.values(), strict=True):
        for row in rows:
            if row["set"] == title:
                purities = [float(row[f"{100 * share:.0f}_%"].split()[0]) for share in SHARES]
                style = "--" if "one k-means" in row["rule"] else "-"
                panel.plot([100 * share for share in SHARES], purities, style, marker=".", label=row["rule"])
        panel.set(title=title, xlabel="kept (%)")
        panel.invert_xaxis()
    panels[0].set_ylabel("purity")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    figure.savefig(DOCS / "vote_rules.png", dpi=90)


def main() -> None:
    """Embed, vote, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--calibration", action="store_true", help="the table of the confidence alone")
    parser.add_argument("--codes", type=Path, default=contestants.FOLDER / "codes")
    options = parser.parse_args()
    rows, bins = [], []
    for (name, bands), title in SETS.items():
        data = embeddings(name, bands, options.codes)
        found: dict[str, list[list[float]]] = {}
        stable: dict[str, list[tuple]] = {}
        for seed in range(CALIBRATED if options.calibration else options.seeds):
            curves, pairs = rules(data, seed)
            for rule, purities in curves.items():
                found.setdefault(rule, []).append(purities)
            for what, confidence, same in pairs:
                stable.setdefault(what, []).append((confidence, same))
            print(title, seed, flush=True)
        for rule, curves in found.items():
            mean, spread = np.mean(curves, axis=0), np.std(curves, axis=0)
            rows.append((title, rule, *(f"{m:.3f} ± {s:.3f}" for m, s in zip(mean, spread, strict=True))))
            print(*rows[-1], sep="  ", flush=True)
        for what, pairs in stable.items():
            confidence, same = (np.concatenate(column) for column in zip(*pairs, strict=True))
            place = np.minimum((confidence * 10).astype(int), 9)
            for number in range(10):
                own = place == number
                if own.sum() >= 50:
                    tenth = f"{number / 10:.1f} to {(number + 1) / 10:.1f}"
                    told = f"{confidence[own].mean():.3f}", f"{same[own].mean():.3f}"
                    bins.append((title, what, tenth, int(own.sum()), *told))
        if not options.calibration:
            write_csv("vote_rules", ("set", "rule", *(f"{100 * share:.0f}_%" for share in SHARES)), rows)
        write_csv(
            "vote_calibration",
            ("set", "of", "confidence", "objects", "mean_confidence", "measured_share"),
            bins,
        )
    write_tables()
    draw_figure()


if __name__ == "__main__":
    main()
