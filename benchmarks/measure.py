"""Our measured morphology beside statmorph's and the truth: benchmarks/results/measure*.csv, docs/measure*.png and tables in docs/measurement.md.

    python -m benchmarks.measure [--objects 400] [--keep FOLDER]

statmorph gets the same images, segmentation, mask, noise and PSF (`benchmarks.measure_peer`), on simulated single Sérsic profiles of known truth,
the simulated survey, COSMOS, CANDELS and KiDS (`benchmarks.measure_stamps`). With `--keep` what statmorph
measures is kept in that folder, one file for each set, and not measured again. Published images are looked for in ../shared/data.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from benchmarks import measure_figures, measure_speed, measure_tables
from benchmarks.common import write_csv
from benchmarks.measure_peer import peer
from benchmarks.measure_sersics import sersics
from benchmarks.measure_stamps import candels, cosmos, kids, survey
from benchmarks.science import write_tables
from kernels.measure.morphology import measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.measure_stamps import StampSet

SETS: dict[str, Callable[[int], StampSet | None]] = {
    "sersics": sersics,
    "large_sersics": lambda objects: sersics(objects // 8, seed=1, size=256, radii=(8.0, 32.0)),
    "survey": survey,
    "cosmos": lambda _: cosmos(),
    **{f"candels_{band}": (lambda _, band=band: candels(band)) for band in "hjvz"},
    "kids": lambda _: kids(),
}


def values_of(name: str, objects: int, folder: Path) -> pd.DataFrame | None:
    """What we, statmorph and the truth say of a set's objects, columns `ours.…`, `theirs.…`, `truth.…`; None without its data."""
    stamps = SETS[name](objects)
    if stamps is None:
        print(f"skipped {name}: its images are not in ../shared/data", flush=True)
        return None
    stamps = stamps.at(list(range(min(objects, len(stamps.images)))))
    ours = measure(stamps.images, stamps.bad, stamps.optics)
    file = folder / f"{name}.parquet"
    if not file.exists():
        pd.DataFrame(peer(stamps)).to_parquet(file)
    theirs = pd.read_parquet(file)
    assert len(theirs) == len(stamps.images), f"{file} is of other stamps: remove it"
    columns = {f"ours.{quantity}": values.numpy() for quantity, values in ours.items()}
    columns |= {f"theirs.{quantity}": theirs[quantity].to_numpy() for quantity in theirs}
    columns |= {f"truth.{quantity}": values for quantity, values in stamps.truth.items()}
    print(f"{name}: {len(theirs)} objects", flush=True)
    return pd.DataFrame(columns).assign(set=stamps.label)


def main() -> None:
    """Measure, compare, time, draw, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=400, help="of a set, at most")
    parser.add_argument("--keep", type=Path, help="folder for what statmorph says")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1), TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        sets = {name: values_of(name, options.objects, folder) for name in SETS}
        large = sets.pop("large_sersics")
        known = [values for values in sets.values() if values is not None]
        everything = pd.concat(known, ignore_index=True)
        write_csv("measure_statmorph", *measure_tables.differences(everything))
        write_csv("measure_truth", *measure_tables.errors(sets["sersics"], large))
        write_csv("measure_speed", *measure_speed.timings())
        measure_figures.draw(everything, sets["sersics"])
    write_tables()


if __name__ == "__main__":
    main()
