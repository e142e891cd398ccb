"""What stamps as large as their objects are worth: `python -m benchmarks.extents`. Writes extents_vote.csv and extents_values.csv.

The release of `make demo` (2,000 galaxies of `tuningfork simulate`, seed 0) is measured, encoded and voted on with a run's defaults, in this process: on stamps
of 64 pixels, and with several `[survey.images] extent`. Purity is that of kept objects, each group named by the true class of most of them. "Milliseconds" are processor time of
one core for measuring, filling and encoding an object. Magnitude errors are those of the aperture of 1.5 Petrosian radii and of the Sersic fit, medians ± half of the
middle 68 %, of the objects that are truncated on stamps of 64 pixels.

The values: objects that were not truncated before, but have a larger window now, and neither time a flag that says that something else was measured.
Median of now less before ± half of the middle 68 %, and how far the values themselves spread.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from actors.factory import EncodeAndMeasure
from benchmarks.common import write_csv
from benchmarks.science import write_tables
from benchmarks.votes import purity, vote_on
from kernels.measure.flags import MeasureFlag
from pipeline.plan.make_plan import plan_of
from pipeline.simulate.release import simulate

if TYPE_CHECKING:
    import pandas as pd

CHOSEN = ("5.5 * FLUX_RADIUS", 1.6)
TRIED = (None, ("5.5 * FLUX_RADIUS", 1.0), CHOSEN, ("9 * FLUX_RADIUS", 1.0))
"""Extents and windows; None: stamps of one size."""
TRUNCATED = int(MeasureFlag.TRUNCATED)
DOUBTFUL = TRUNCATED | int(
    MeasureFlag.NO_OBJECT | MeasureFlag.NO_RADIUS | MeasureFlag.OFF_CENTRE | MeasureFlag.NEIGHBOUR
)
PERCENT = ("flux", "r_petro", "r20", "r50", "r80", "sersic_flux", "sersic_r_e", "sersic_n", "sn_pixel")
PLAIN = ("gini", "m20", "concentration", "asymmetry", "smoothness", "ellipticity", "sersic_ellipticity")


def looked_at(folder: Path, extent: tuple[str, float] | None) -> tuple[pd.DataFrame, np.ndarray, float]:
    """Measured objects of a release by id, their embeddings, and seconds of one core."""
    config = (folder / "survey.toml").read_text(encoding="utf-8")
    if extent is not None:
        keys = f'size = 64\nextent = "{extent[0]}"\nextent_window = {extent[1]}\n'
        config = config.replace("size = 64\n", keys)
    (folder / "tried.toml").write_text(config, encoding="utf-8")
    plan = plan_of(folder / "tried.toml", "nowhere")
    work = EncodeAndMeasure(plan.encoder_options, plan.measurer_options, plan.segmenter_options)
    pieces = list(plan.slices())
    work(plan.release.read(pieces[0]).slice(0, 64))  # what is compiled is compiled now
    seconds, found = 0.0, []
    for piece in pieces:
        stamps = plan.release.read(piece)
        began = time.process_time()
        found.append(work(stamps))
        seconds += time.process_time() - began
    rows = pa.concat_tables(found).combine_chunks()
    rows = rows.filter(rows["embedding"].is_valid())
    codes = rows["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    frame = rows.drop_columns("embedding").to_pandas().set_index("object_id")
    return frame, codes.reshape(len(frame), -1).astype(np.float32), seconds


def scores(
    objects: pd.DataFrame, codes: np.ndarray, seconds: float, truth: pd.DataFrame, large: pd.Series
) -> list[str]:
    """Cells of the table of votes."""
    known = truth.loc[objects.index]
    _, classes = np.unique(known["class"].to_numpy(str), return_inverse=True)
    outcome = vote_on(codes, objects.index.to_numpy().astype(str))
    pure = purity(outcome.group, classes, outcome.kept, outcome.kept)
    truncated = (objects["measure_flags"] & TRUNCATED) != 0
    errors = (
        30.0 - 2.5 * np.log10(objects["flux"]) - known["magnitude"],
        objects["sersic_magnitude"] - known["magnitude"],
    )
    return [
        f"{int(truncated.sum())} of {len(objects):,}",
        f"{outcome.kept.mean():.3f}",
        f"{pure:.3f}",
        *(_spread(error[large], "+.2f") for error in errors),
        f"{1000 * seconds / len(objects):.1f}",
    ]


def _spread(values: pd.Series, form: str) -> str:
    low, middle, high = np.nanpercentile(values, [16, 50, 84])
    return f"{middle:{form}} ± {(high - low) / 2:{form[1:]}}"


def differences(before: pd.DataFrame, now: pd.DataFrame, where: pd.Series) -> list[tuple[object, ...]]:
    """Rows of the table of values."""
    rows: list[tuple[object, ...]] = []
    for name in (*PERCENT, *PLAIN):
        old, new = before.loc[where, name], now.loc[where, name]
        off = 100 * (new / old - 1) if name in PERCENT else new - old
        spread = 100 * old / old.median() if name in PERCENT else old
        form = "+.1f" if name in PERCENT else "+.3f"
        low, high = np.nanpercentile(spread, [16, 84])
        unit = "%" if name in PERCENT else ""
        rows.append(
            (name, unit, int(off.notna().sum()), _spread(off, form), f"{(high - low) / 2:{form[1:]}}")
        )
    return rows


def main() -> None:
    """Measure and write both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--galaxies", type=int, default=2000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "release"
        simulate(folder, options.galaxies, shards=4, seed=0)
        truth = pq.read_table(folder / "truth.parquet").to_pandas().set_index("object_id")
        found = {extent: looked_at(folder, extent) for extent in TRIED}
    plain, now = found[None][0], found[CHOSEN][0]
    flagged = {name: objects["measure_flags"] for name, objects in (("before", plain), ("now", now))}
    large = (flagged["before"] & TRUNCATED) != 0
    rows = [(*(extent or ("none", "")), *scores(*looked, truth, large)) for extent, looked in found.items()]
    head = (
        "extent",
        "window",
        "truncated",
        "kept",
        "purity",
        "flux_mag_error",
        "sersic_mag_error",
        "milliseconds",
    )
    write_csv("extents_vote", head, rows)
    doubtful = ((flagged["before"] | flagged["now"]) & DOUBTFUL) != 0
    where = ~large & ~doubtful & (now["stamp_side"] > 64)
    head = ("quantity", "unit", "objects", "now_less_before", "spread_of_values")
    write_csv("extents_values", head, differences(plain, now, where))
    write_tables()


if __name__ == "__main__":
    main()
