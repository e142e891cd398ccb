"""How long measuring takes, ours and statmorph's, on the same stamps, on one core: those of the simulated survey, and large ones of single Sérsic profiles.

    python -m benchmarks.measure_speed

writes benchmarks/results/measure_speed.csv and the table in docs/measurement.md; `python -m benchmarks.measure` does, too.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.common import write_csv
from benchmarks.measure_peer import WithFit, WithoutFit, prepared
from benchmarks.measure_sersics import sersics
from benchmarks.measure_stamps import survey
from benchmarks.science import write_tables
from kernels.measure.morphology import measure
from kernels.measure.quantities import USUAL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from benchmarks.measure_stamps import StampSet

COLUMNS = ("stamp_px", "Sérsic_fit", "stamps_a_call", "ms_a_stamp", "statmorph_ms_a_stamp", "ratio")
SIDES = {64: (16, (64, 512)), 128: (16, (64, 512)), 256: (6, (32, 64)), 424: (3, (32, 64))}
"""How many stamps, and how many of them (over and over) a call."""
LARGE = 256
"""Side of stamps that hold single large galaxies."""
REPEATS = 2
_NO_FIT = tuple(name for name in USUAL if name != "sersic")


def timings() -> tuple[tuple[str, ...], list[list[object]]]:
    """Best of several, CPU time of this process; contestants take turns.

    statmorph's constructor evaluates everything. Without the fit, and with it, only the quantities that we measure too are evaluated
    (`benchmarks.measure_peer.WithoutFit`; ours are a run's usual ones), on the cutout that it chooses by default, which is faster for it than whole stamps.
    """
    rows: list[list[object]] = []
    for side, (wanted, calls) in SIDES.items():
        every = survey(2 * wanted, side) if side < LARGE else _large(2 * wanted, side)
        stamps, arguments = _both_measure(every, wanted)
        for fitted, quantities, theirs in (
            ("without", _NO_FIT, WithoutFit),
            ("with", USUAL, WithFit),
        ):
            batches = {count: _repeated(stamps, count) for count in calls}
            measure(stamps.images, stamps.bad, stamps.optics, quantities)  # compiles
            times: dict[object, list[float]] = {}
            for _ in range(REPEATS):
                for count, (images, bad) in batches.items():
                    work = _ours(images, bad, stamps, quantities)
                    times.setdefault(count, []).append(_clock(work) / count)
                times.setdefault(theirs, []).append(_clock(_theirs(theirs, arguments)) / len(arguments))
            slow = 1e3 * min(times[theirs])
            for count in calls:
                quick = 1e3 * min(times[count])
                rows.append([side, fitted, count, f"{quick:.2f}", f"{slow:.0f}", f"{slow / quick:.0f}"])
    return COLUMNS, rows


def _large(count: int, side: int) -> StampSet:
    """Galaxies as large, beside their stamps, as Galaxy Zoo's."""
    return sersics(count, size=side, radii=(side / 20, side / 10))


def _both_measure(stamps: StampSet, wanted: int) -> tuple[StampSet, list[dict[str, object]]]:
    """The first stamps that neither refuses, and statmorph's arguments for them."""
    kept, arguments = [], []
    for place, argument in enumerate(prepared(stamps)):
        if argument and len(kept) < wanted:
            try:
                _theirs(WithFit, [argument])()
            except (AssertionError, ValueError, IndexError):
                continue
            kept.append(place)
            arguments.append(argument)
    return stamps.at(kept), arguments


def _repeated(stamps: StampSet, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """So many of the stamps, over and over."""
    places = torch.arange(count) % len(stamps.images)
    return stamps.images[places], stamps.bad[places]


def _ours(
    images: torch.Tensor, bad: torch.Tensor, stamps: StampSet, quantities: Collection[str]
) -> Callable[[], object]:
    return lambda: measure(images, bad, stamps.optics, quantities)


def _theirs(kind: type, arguments: list[dict[str, object]]) -> Callable[[], object]:
    def work() -> None:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for argument in arguments:
                kind(**argument)

    return work


def _clock(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Time and write."""
    torch.set_num_threads(1)
    with threadpool_limits(1):
        write_csv("measure_speed", *timings())
    write_tables()


if __name__ == "__main__":
    main()
