"""What the bundled diffusion model is worth: `make bench-diffusion`. Writes benchmarks/results/diffusion_*.csv and docs/diffusion_*.jpg.

    python -m benchmarks.diffusion [--only adherence fidelity use balance speed sheets] [--model FILE] [--device cuda] [--quick]

EFIGI's galaxies, packed as the model saw them; fold 0 is held out. What is drawn, embedded or trained is kept in benchmarks/diffusion/, and made again only
for another model. `--quick` tries every section on a few galaxies and writes elsewhere: its numbers say nothing.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks import (
    common,
    diffusion_adherence,
    diffusion_balance,
    diffusion_brightness,
    diffusion_fidelity,
    diffusion_sheets,
    diffusion_speed,
    diffusion_use,
)
from benchmarks.diffusion_study import study
from benchmarks.science import write_tables
from kernels.nets.weights import bundled

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.diffusion_study import Study

CACHE = Path(__file__).parent / "diffusion"
FIGURES = Path(__file__).parents[1] / "docs"
SECTIONS: dict[str, tuple[Callable[[Study], None], ...]] = {
    "adherence": (diffusion_adherence.run,),
    "fidelity": (diffusion_fidelity.run, diffusion_brightness.run),
    "use": (diffusion_use.run,),
    "balance": (diffusion_balance.run,),
    "speed": (diffusion_speed.run,),
    "sheets": (diffusion_sheets.run,),
}
FEW = 24
"""Held-out galaxies of a quick look."""


def main() -> None:
    """Judge, write, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, default=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS)
    )
    parser.add_argument("--model", type=Path, help="a .safetensors file; default: the bundled one")
    parser.add_argument("--device", default="cpu", help="of the section speed")
    parser.add_argument(
        "--quick", action="store_true", help="few galaxies, results in a folder that is thrown away"
    )
    options = parser.parse_args()
    with TemporaryDirectory() as scratch:
        if options.quick:
            common.RESULTS = Path(scratch)
        CACHE.mkdir(exist_ok=True)
        figures, few = (Path(scratch), FEW) if options.quick else (FIGURES, None)
        judged = study(options.model or bundled("diffusion-efigi"), CACHE, figures, few, options.device)
        for name in options.only:
            start = time.perf_counter()
            for section in SECTIONS[name]:
                section(judged)
            print(f"== {name}: {time.perf_counter() - start:.0f} s", flush=True)
    if not options.quick:
        write_tables()


if __name__ == "__main__":
    main()
