"""Errors of measured values against what they are errors of, and what they cost: tables in docs/measurement.md.

    python -m benchmarks.measure_errors [--objects 400]

Pulls, (measured - true) / error, of simulated single Sérsic profiles (`benchmarks.measure_sersics`) by true S/N per pixel, of a seed that nothing was tuned on. The truth of the profiles is what
was drawn, that of other quantities what the stamp without noise shows with its segment at the same level. As values have biases of their own, two draws of the noise are compared, too: the
difference of both over the error of that. Further asymmetries are set beside statmorph's.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
import statmorph
import torch
from threadpoolctl import threadpool_limits

from benchmarks.common import write_csv
from benchmarks.measure_peer import prepared
from benchmarks.measure_sersics import GAIN, SKY_NOISE, sersics
from benchmarks.measure_stamps import StampSet, survey
from benchmarks.science import write_tables
from kernels.measure.morphology import measure
from kernels.measure.quantities import columns_of, error_of
from kernels.segmentation.segments import segment

BINS = ((3, 5), (5, 10), (10, 30), (30, 100))
QUANTITIES = {
    "fast": ("gini", "cas", "sersic"),
    "full": ("gini", "cas", "mid", "multiplicity", "g2", "asymmetries"),
}
KEPT = {"x_centre", "y_centre", "r_petro", "ellipticity", "position_angle"}
"""Whose errors are the same with "full"."""
SEED, OF_AXES = 7, 180.0
ASYMMETRIES = ("shape_asymmetry", "outer_asymmetry", "rms_asymmetry2")


def pulls(effort: str, sets: dict[str, StampSet]) -> list[list[object]]:
    """Rows of quantity, S/N, objects, width and centre of the pulls, and width of the differences of two draws."""
    names = [column.name for column in columns_of(QUANTITIES[effort], effort)]
    valued = [name for name in names if error_of(name) in names and not (effort == "full" and name in KEPT)]
    rows = []
    for label, stamps in sets.items():
        first, second = (_measured(images, stamps, effort) for images in (stamps.images, _again(stamps)))
        level = torch.full_like(stamps.light, SKY_NOISE)[:, None]
        own = segment(stamps.light[:, None], stamps.bad[:, None], level)
        true = measure(stamps.light, stamps.bad, stamps.optics, _without_fit(effort), own)
        for name in valued:
            drawn = name.startswith("sersic") or name in ("x_centre", "y_centre")
            truth = torch.from_numpy(np.asarray(stamps.truth[name])) if drawn else true[name]
            error, other = first[error_of(name)], second[error_of(name)]
            pull = _difference(name, first[name], truth) / error
            both = _difference(name, first[name], second[name]) / (error.square() + other.square()).sqrt()
            rows.append([name, label, *_shown(pull, both)])
    return sorted(rows, key=lambda row: valued.index(row[0]))


def _without_fit(effort: str) -> list[str]:
    return [quantity for quantity in QUANTITIES[effort] if quantity != "sersic"]


def _again(stamps: StampSet) -> torch.Tensor:
    """The same galaxies with other noise."""
    draw, light = np.random.default_rng(SEED + 1), stamps.light.double().numpy()
    noisy = draw.poisson(light.clip(0) * GAIN) / GAIN + draw.normal(0, SKY_NOISE, light.shape)
    return torch.from_numpy(noisy.astype(np.float32))


def _measured(images: torch.Tensor, stamps: StampSet, effort: str) -> dict[str, torch.Tensor]:
    seeds = np.arange(len(images), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return measure(images, stamps.bad, stamps.optics, QUANTITIES[effort], errors=effort, seeds=seeds)


def _difference(name: str, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    off = one - other
    return off - OF_AXES * (off / OF_AXES).round() if name.endswith("angle") else off


def _shown(pull: torch.Tensor, both: torch.Tensor) -> list[str]:
    """Objects, half of the middle 68 % and the median of pulls, and what 68 % of the differences are within."""
    known, twice = (values.numpy()[values.isfinite().numpy()] for values in (pull, both))
    if len(known) < len(pull) / 4 or len(twice) < len(pull) / 4:
        return [str(len(known)), "", "", ""]
    low, middle, high = np.percentile(known, (15.87, 50, 84.13))
    within = np.percentile(np.abs(twice), 68.27)
    return [str(len(known)), f"{(high - low) / 2:.2f}", f"{middle:+.2f}", f"{within:.2f}"]


def costs(repeats: int = 5) -> tuple[tuple[str, ...], list[list[object]]]:
    """Processor time a stamp of the simulated survey, contestants in turn, the best of several."""
    rows = []
    for side in (64, 128):
        stamps = survey(128, side)
        seeds = np.arange(len(stamps.images), dtype=np.uint64)
        for label, quantities in (
            ("without", ("gini", "cas", "mid")),
            ("with", ("gini", "cas", "mid", "sersic")),
        ):
            times: dict[str, list[float]] = {}
            for _ in range(repeats + 1):  # the first one compiles
                for effort in ("none", "fast", "full"):
                    start = time.process_time()
                    measure(stamps.images, stamps.bad, stamps.optics, quantities, errors=effort, seeds=seeds)
                    times.setdefault(effort, []).append(time.process_time() - start)
            best = {effort: 1e3 * min(each) / len(stamps.images) for effort, each in times.items()}
            shares = [f"{best[effort] / best['none']:.2f}" for effort in ("fast", "full")]
            rows.append([side, label, *(f"{best[effort]:.2f}" for effort in best), *shares])
    head = (
        "stamp_px",
        "Sérsic_fit",
        "ms_without_errors",
        "ms_fast",
        "ms_full",
        "fast_over_none",
        "full_over_none",
    )
    return head, rows


class _Theirs(statmorph.SourceMorphology):
    """Only what is asked for."""

    def _calculate_morphology(self) -> None:
        pass


def asymmetries(stamps: StampSet) -> tuple[tuple[str, ...], list[list[object]]]:
    """Ours and statmorph's further asymmetries of the same stamps, of objects that it does not flag."""
    ours = measure(stamps.images, stamps.bad, stamps.optics, ("asymmetries",))
    places, theirs = [], []
    for place, arguments in enumerate(prepared(stamps)):
        if not arguments:
            continue
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = _Theirs(**arguments)
            values = [float(getattr(found, name)) for name in ASYMMETRIES]
        if found.flag == 0:
            places.append(place)
            theirs.append(values)
    rows = []
    for name, other in zip(ASYMMETRIES, np.array(theirs).T, strict=True):
        own, sn = ours[name].numpy()[places], stamps.truth["sn"][places]
        for low, high in ((3, 10), (10, 100)):
            chosen = (sn >= low) & (sn < high) & np.isfinite(own) & (other > -90)
            off = (own - other)[chosen]
            below, middle, above = np.percentile(off, (16, 50, 84))
            numbers = [np.median(own[chosen]), np.median(other[chosen]), middle, (above - below) / 2]
            rows.append([name, f"{low}-{high}", int(chosen.sum()), *(f"{number:.4f}" for number in numbers)])
    return ("quantity", "S/N", "objects", "ours", "statmorph", "difference", "scatter"), rows


def main() -> None:
    """Simulate, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=400, help="for each range of S/N")
    objects = parser.parse_args().objects
    torch.set_num_threads(1)
    with threadpool_limits(1):
        write_csv("measure_errors_cost", *costs())
        sets = {
            f"{low}-{high}": sersics(objects, seed=SEED + place, brightness=(low, high))
            for place, (low, high) in enumerate(BINS)
        }
        head = ("quantity", "S/N", "objects", "width", "centre", "width_of_two_draws")
        for effort in QUANTITIES:
            write_csv(f"measure_errors_{effort}", head, pulls(effort, sets))
        some = sersics(min(objects, 80), seed=SEED, brightness=(3.0, 100.0))
        write_csv("measure_asymmetries", *asymmetries(some))
    write_tables()


if __name__ == "__main__":
    main()
