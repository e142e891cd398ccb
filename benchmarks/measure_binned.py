"""Sérsic fits of large galaxies on binned pixels beside those on the pixels themselves, and the truth.

    python -m benchmarks.measure_binned [--objects 64]

writes benchmarks/results/measure_binned.csv and the table in docs/measurement.md: errors of single Sérsic profiles of known truth (`benchmarks.measure_sersics`),
of objects that are binned and that neither fit flags, and the processor time of a fit.
"""

from __future__ import annotations

import argparse
import time
from unittest import mock

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.common import write_csv
from benchmarks.measure_sersics import sersics
from benchmarks.science import write_tables
from kernels.measure import fit_windows
from kernels.measure.binning import bin_factor
from kernels.measure.flags import MeasureFlag
from kernels.measure.morphology import measure

SIDES = (128, 256, 424)
COLUMNS = (
    "stamp_px",
    "objects",
    "fitted_on",
    "ln_n",
    "ln_r_e",
    "ln_flux",
    "ellipticity",
    "chi2",
    "ms_a_stamp",
)
_DOUBTFUL = MeasureFlag.FIT_FAILED | MeasureFlag.FIT_UNCONVERGED | MeasureFlag.FIT_LIMIT | MeasureFlag.LOW_SN


def compared(objects: int) -> list[list[object]]:
    """Rows of the table: median error and scatter (1.4826 MAD) of both fits."""
    rows: list[list[object]] = []
    for side in SIDES:
        stamps = sersics(objects, side, side, (side / 16, side / 8))
        found, seconds = {}, {}
        for what in ("binned pixels", "pixels"):
            everything = bin_factor if what == "binned pixels" else _one
            with mock.patch.object(fit_windows, "bin_factor", everything):
                times = []
                for quantities in (("sersic",), (), ("sersic",), ()):
                    start = time.process_time()
                    values = measure(stamps.images, stamps.bad, stamps.optics, quantities)
                    times.append(time.process_time() - start)
                    found[what] = values if quantities else found[what]
                seconds[what] = times[2] - times[3]
        chosen = bin_factor(found["pixels"]["r50"], side) > 1
        for values in found.values():
            chosen &= (values["measure_flags"] & int(_DOUBTFUL)) == 0
        for what, values in found.items():
            errors = [
                (values[f"sersic_{name}"].numpy() / stamps.truth[f"sersic_{name}"])[chosen.numpy()]
                for name in ("n", "r_e", "flux")
            ]
            off = values["sersic_ellipticity"].numpy() - stamps.truth["sersic_ellipticity"]
            numbers = [_shown(values) for values in (*map(np.log, errors), off[chosen.numpy()])]
            chi2 = f"{float(values['sersic_chi2'][chosen].mean()):.3f}"
            rows.append(
                [side, int(chosen.sum()), what, *numbers, chi2, f"{1e3 * seconds[what] / objects:.1f}"]
            )
    return rows


def _one(size: torch.Tensor, _side: int) -> torch.Tensor:
    """No pixels are binned."""
    return torch.ones(size.shape, dtype=torch.int64)


def _shown(errors: np.ndarray) -> str:
    middle = np.median(errors)
    return f"{middle:+.4f} ± {1.4826 * np.median(np.abs(errors - middle)):.4f}"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=64, help="of a size")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        write_csv("measure_binned", COLUMNS, compared(options.objects))
    write_tables()


if __name__ == "__main__":
    main()
