"""What deblending and filling neighbours are worth: `python -m benchmarks.neighbours`. Writes neighbours_vote.csv and neighbours_pairs.csv.

The vote: releases of `tuningfork simulate`, at its usual density and crowded (30 galaxies an arcmin²: two in five have a brighter one in their stamp). The bundled encoder
embeds stamps as they are and with neighbours filled; both are voted on with a run's defaults, and each group is named by the true class of most of its kept
objects. Purity is that of kept objects; "at equal magnitudes" compares objects with and without a brighter catalogued galaxy in their stamp in bins of half a
magnitude, weighted by how many of the first there are. Means over releases with other seeds.

The pairs: single Sérsic profiles of known truth (`benchmarks.measure_sersics`), S/N per pixel above 5, beside another one; measured as a run measures them, and with all
light that touches taken for the object's, as before there was deblending. Medians of measured over true, less one (differences for n, Gini and asymmetry).
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import galsim
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from astropy.table import Table, vstack

from actors.encoder import Encoder
from actors.segmenter import Segmenter
from benchmarks.common import write_csv
from benchmarks.measure_sersics import BETA, FWHM, GAIN, profile, sersics
from benchmarks.science import write_tables
from benchmarks.votes import purity, vote_on
from kernels.measure.flood import flood
from kernels.measure.morphology import measure
from kernels.segmentation.segments import Segments, segment
from pipeline.plan.make_plan import plan_of
from pipeline.simulate.mosaics import DENSITY
from pipeline.simulate.release import simulate

if TYPE_CHECKING:
    from benchmarks.measure_stamps import StampSet

CROWDED = 30.0
MAGNITUDES = np.arange(16.0, 27.0, 0.5)
FEWEST = 5
"""Kept objects of either kind in a bin that counts."""
SEPARATIONS = (0.5, 1.0, 2.0, 3.0)
"""In half-light radii of the object."""
RATIOS = (0.1, 1.0, 10.0)
"""Neighbour's flux over the object's."""
RELATIVE = {"flux": "sersic_flux", "sersic_r_e": "sersic_r_e"}
ABSOLUTE = ("sersic_n", "gini", "asymmetry")


def votes(density: float, galaxies: int, seed: int) -> list[dict[str, float]]:
    """Scores of one release, of stamps as they are and of filled ones."""
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "release"
        simulate(folder, galaxies, shards=1, seed=seed, density=density)
        plan = plan_of(folder / "survey.toml", "nowhere")
        rows = pa.concat_tables([plan.release.read(piece) for piece in plan.slices()])
        rows = rows.filter(rows["usable"]).combine_chunks()
        truth = pq.read_table(folder / "truth.parquet").to_pandas().set_index("object_id")
        catalog = vstack([Table.read(path) for path in sorted(folder.glob("catalogs/*.fits"))])
        beside = _beside_a_brighter_one(catalog)
    ids = rows["object_id"].to_numpy()
    known = truth.loc[ids]
    _, classes = np.unique(known["class"].to_numpy(str), return_inverse=True)
    crowded = np.array([beside[number] for number in ids])
    segmenter, encoder = Segmenter(bands=1, size=64), Encoder(**plan.encoder_options)
    found = []
    for stamps in (rows, segmenter.filled(rows, segmenter(rows))):
        codes = encoder(stamps)["embedding"].combine_chunks()
        codes = codes.flatten().to_numpy(zero_copy_only=False).reshape(len(ids), -1).astype(np.float32)
        outcome = vote_on(codes, ids.astype(str))
        kept, group = outcome.kept, outcome.group
        alone = [purity(group, classes, kept & where, kept) for where in (kept, crowded, ~crowded)]
        equal = _at_equal_magnitudes(group, classes, kept, crowded, known["magnitude"].to_numpy())
        found.append(
            {
                "brighter_beside": float(crowded.mean()),
                "kept": float(kept.mean()),
                "kept_beside": float(kept[crowded].mean()),
                "purity": alone[0],
                "purity_beside": alone[1],
                "purity_others": alone[2],
                "ratio_at_equal_magnitudes": equal,
            }
        )
    return found


def _beside_a_brighter_one(catalog: Table, half: int = 32) -> dict[int, bool]:
    """Object: whether a brighter one lies in its stamp."""
    answer = {}
    for tile in catalog.group_by("TILE").groups:
        x, y, magnitude = (np.asarray(tile[name]) for name in ("X_IMAGE", "Y_IMAGE", "MAG_AUTO"))
        near = (np.abs(x[:, None] - x) < half) & (np.abs(y[:, None] - y) < half)
        brighter = (near & (magnitude < magnitude[:, None])).any(axis=1)
        answer |= dict(zip(tile["NUMBER"].tolist(), brighter.tolist(), strict=True))
    return answer


def _at_equal_magnitudes(
    group: np.ndarray, classes: np.ndarray, kept: np.ndarray, crowded: np.ndarray, magnitude: np.ndarray
) -> float:
    """Purity of kept objects beside a brighter one over that of the others, in bins of magnitude."""
    beside, others, weights = [], [], []
    for low, high in pairwise(MAGNITUDES):
        here = kept & (magnitude >= low) & (magnitude < high)
        both = here & crowded, here & ~crowded
        if min(where.sum() for where in both) >= FEWEST:
            beside.append(purity(group, classes, both[0], kept))
            others.append(purity(group, classes, both[1], kept))
            weights.append(both[0].sum())
    return float(np.average(beside, weights=weights) / np.average(others, weights=weights))


def pairs(count: int, seed: int) -> list[tuple[object, ...]]:
    """Rows of the table of pairs."""
    alone = sersics(count, seed)
    bright = np.flatnonzero(alone.truth["sn"] > 5)
    alone = alone.at(bright.tolist())
    draw = np.random.default_rng(seed + 1)
    separation = draw.uniform(SEPARATIONS[0], SEPARATIONS[-1], len(bright))
    ratio = np.exp(draw.uniform(np.log(RATIOS[0]), np.log(RATIOS[-1]), len(bright)))
    psf = galsim.Moffat(beta=BETA, fwhm=FWHM)
    light = np.stack([_neighbour(alone, i, separation[i], ratio[i], draw, psf) for i in range(len(bright))])
    noisy = torch.from_numpy((draw.poisson(light.clip(0) * GAIN) / GAIN).astype(np.float32))
    beside = _values(alone, alone.images + noisy, parted=True)
    whole = _values(alone, alone.images + noisy, parted=False)
    rows = [
        _row(
            "alone",
            "",
            alone,
            *([_values(alone, alone.images, parted=p) for p in (False, True)]),
            slice(None),
        )
    ]
    for low, high in pairwise(SEPARATIONS):
        for least, most in pairwise(RATIOS):
            where = (separation >= low) & (separation < high) & (ratio >= least) & (ratio < most)
            rows.append(_row(f"{low:g}-{high:g}", f"{least:g}-{most:g}", alone, whole, beside, where))
    return rows


def _neighbour(
    alone: StampSet, i: int, separation: float, ratio: float, draw: np.random.Generator, psf: galsim.Moffat
) -> np.ndarray:
    """Light (y, x) of another galaxy, so many half-light radii away."""
    turn, away = draw.uniform(0, 2 * np.pi), separation * alone.truth["sersic_r_e"][i]
    n, r_e = (np.exp(draw.uniform(np.log(low), np.log(high))) for low, high in ((0.5, 4), (2, 8)))
    place = np.array([np.cos(turn), np.sin(turn)]) * away
    shape = draw.uniform(0.3, 1), draw.uniform(-np.pi / 2, np.pi / 2)
    return profile(n, r_e, *shape, place, psf) * ratio * alone.truth["sersic_flux"][i]


def _values(stamps: StampSet, images: torch.Tensor, *, parted: bool) -> dict[str, np.ndarray]:
    """Measured values; unparted: of all light that is connected with the object's."""
    segments = segment(images[:, None], stamps.bad[:, None])
    if not parted:
        central, lit = segments.central.numpy().copy(), (segments.central | segments.others).numpy()
        flood(central, lit)
        whole = torch.from_numpy(central)
        segments = Segments(whole, segments.others & ~whole, segments.found, segments.peak)
    found = measure(images, stamps.bad, stamps.optics, segments=segments)
    return {name: values.numpy() for name, values in found.items()}


def _row(
    separation: str,
    ratio: str,
    stamps: StampSet,
    whole: dict[str, np.ndarray],
    parted: dict[str, np.ndarray],
    where: np.ndarray | slice,
) -> tuple[object, ...]:
    cells = []
    for name, true in RELATIVE.items():
        cells += [
            f"{np.nanmedian((found[name] / stamps.truth[true] - 1)[where]):+.2f}" for found in (whole, parted)
        ]
    for name in ABSOLUTE:
        cells += [
            f"{np.nanmedian((found[name] - stamps.truth[name])[where]):+.2f}" for found in (whole, parted)
        ]
    return separation, ratio, len(stamps.truth["sn"][where]), *cells


def main() -> None:
    """Measure and write both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--galaxies", type=int, default=4000)
    parser.add_argument("--releases", type=int, default=3)
    parser.add_argument("--pairs", type=int, default=600, help="galaxies that pairs are made of")
    options = parser.parse_args()
    rows = []
    for density in (DENSITY, CROWDED):
        found = [votes(density, options.galaxies, seed) for seed in range(10, 10 + options.releases)]
        for k, stamps in enumerate(("as they are", "neighbours filled")):
            cells = []
            for name in found[0][k]:
                values = [scores[k][name] for scores in found]
                cells.append(f"{np.mean(values):.3f} ± {np.std(values):.3f}")
            rows.append((f"{density:.1f}", stamps, *cells))
            print(*rows[-1], sep="  ", flush=True)
    write_csv("neighbours_vote", ("galaxies_an_arcmin2", "stamps", *found[0][0]), rows)
    columns = [f"{name}_{how}" for name in (*RELATIVE, *ABSOLUTE) for how in ("whole", "parted")]
    write_csv(
        "neighbours_pairs", ("separation_r_e", "flux_ratio", "pairs", *columns), pairs(options.pairs, seed=3)
    )
    write_tables()


if __name__ == "__main__":
    main()
