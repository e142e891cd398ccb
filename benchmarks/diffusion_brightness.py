"""Brightness and sizes: fluxes of synthetic galaxies band by band, and what measuring finds, beside those of real galaxies of the same conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.measurer import Measurer
from benchmarks.common import write_csv
from benchmarks.diffusion_study import as_table
from kernels.diffusion import Sampling

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from benchmarks.diffusion_study import Study

GUIDANCES = (1.0, 2.0)
QUARTILES = (0.25, 0.5, 0.75)
MEASURED = ("r50", "gini", "m20", "sersic_n")
DRAWS = 200


def run(study: Study) -> None:
    """Quartiles of synthetic galaxies over those of the real ones whose conditions they have."""
    rows: list[tuple[object, ...]] = []
    for name, galaxies in (
        ("learned from", np.flatnonzero(~study.held)),
        ("held out", np.flatnonzero(study.held)),
    ):
        real = measured(study, study.stamps[galaxies])
        drawn = {g: measured(study, study.draw_like(galaxies, Sampling(guidance=g))) for g in GUIDANCES}
        for quantity, values in real.items():
            quartiles = np.nanquantile(values, QUARTILES)
            rows.append(
                (
                    *(quantity, name, int(np.isfinite(values).sum())),
                    " / ".join(f"{value:.4g}" for value in quartiles),
                    " / ".join(f"± {error:.1f} %" for error in _errors(values)),
                    *(
                        " / ".join(
                            f"{off:+.1f} %"
                            for off in 100 * (np.nanquantile(of[quantity], QUARTILES) / quartiles - 1)
                        )
                        for of in drawn.values()
                    ),
                )
            )
    head = (
        "quantity",
        "conditions",
        "galaxies",
        "real: quartiles",
        "their errors",
        *(f"guidance {g:g}" for g in GUIDANCES),
    )
    write_csv("diffusion_brightness", head, rows)


def measured(study: Study, stamps: torch.Tensor) -> dict[str, NDArray[np.float64]]:
    """Sums of the bands, and what `Measurer` finds in the mean of all bands' (NaN where it finds nothing)."""

    def make() -> NDArray[np.float64]:
        grey = as_table(stamps.mean(dim=1, keepdim=True))
        found = Measurer(bands=1, size=stamps.shape[3], band=0, quantities=("gini", "sersic"))(grey)
        return np.stack([found[name].to_numpy().astype(np.float64) for name in MEASURED])

    fluxes = dict(
        zip(
            (f"flux {band}" for band in study.model.bands),
            stamps.sum(dim=(2, 3)).double().numpy().T,
            strict=True,
        )
    )
    return {**fluxes, **dict(zip(MEASURED, study.cached("measured", [stamps, MEASURED], make), strict=True))}


def _errors(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard errors of the quartiles, by bootstrap, in percent of them."""
    values, draw = values[np.isfinite(values)], np.random.default_rng(0)
    found = [np.quantile(draw.choice(values, len(values)), QUARTILES) for _ in range(DRAWS)]
    return np.abs(100 * np.std(found, axis=0) / np.quantile(values, QUARTILES))
