"""Fidelity: are synthetic galaxies, taken together, like real ones? And are they new?

Synthetic galaxies have the conditions of those that the model learned from, one each. They are compared with held-out galaxies, and the
real galaxies that the model learned from stand in the same table, as the best that it could do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.common import write_csv
from benchmarks.diffusion_judges import likeness, manifold, nearest, resampled
from benchmarks.diffusion_sheets import pairs, white_of
from benchmarks.diffusion_study import LABELLED, UNLABELLED
from kernels.diffusion import Sampling

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from benchmarks.diffusion_study import Study

GUIDANCES = (1.0, 2.0)
SHOWN = 12
"""Of the synthetic galaxies that are most like one that the model learned from."""
CLOSE = 0.01


def run(study: Study) -> None:
    """Distances, precision and recall, likeness to what was learned from."""
    learned, held = np.flatnonzero(~study.held), np.flatnonzero(study.held)
    drawn = {f"synthetic, guidance {g:g}": study.draw_like(learned, Sampling(guidance=g)) for g in GUIDANCES}
    rows: list[tuple[object, ...]] = []
    for encoder in (LABELLED, UNLABELLED):
        real, judged_by = (
            study.embed(encoder, study.stamps[learned]),
            study.embed(encoder, study.stamps[held]),
        )
        base = resampled(real, judged_by, len(held))[0]
        for name, codes in {"real": real, **{n: study.embed(encoder, x) for n, x in drawn.items()}}.items():
            middle, spread = resampled(codes, judged_by, len(held))
            few = codes[np.random.default_rng(1).choice(len(codes), len(held), replace=False)]
            precision, recall = manifold(few, judged_by)
            distance = f"{middle:.3g} ± {spread:.1g}"
            rows.append(
                (encoder, name, distance, f"{middle / base:.2f}", f"{precision:.2f}", f"{recall:.2f}")
            )
    head = (
        "encoder",
        "galaxies",
        "Fréchet distance to held-out ones",
        "over that of real ones",
        "precision",
        "recall",
    )
    write_csv("diffusion_fidelity", head, rows)
    _copies(study, drawn, learned, held)


def _copies(
    study: Study, drawn: dict[str, torch.Tensor], learned: NDArray[np.int64], held: NDArray[np.int64]
) -> None:
    """How near each galaxy is to the nearest that the model learned from, in an encoder's eyes and pixel by pixel."""
    source = study.embed(UNLABELLED, study.stamps[learned])
    sets = {"real, held out": study.stamps[held], **drawn}
    far = {name: nearest(study.embed(UNLABELLED, stamps), source) for name, stamps in sets.items()}
    alike = {name: likeness(stamps, study.stamps[learned]) for name, stamps in sets.items()}
    first = next(iter(sets))
    unit, least = np.median(far[first]), np.quantile(far[first], CLOSE)
    most = np.quantile(alike[first][0], 1 - CLOSE)
    rows = [
        (
            *(name, len(stamps)),
            *(f"{value / unit:.2f}" for value in np.quantile(far[name], (0, CLOSE, 0.5))),
            f"{100 * np.mean(far[name] < least):.1f}",
            *(f"{value:.3f}" for value in np.quantile(alike[name][0], (0.5, 1 - CLOSE, 1))),
            f"{100 * np.mean(alike[name][0] > most):.1f}",
        )
        for name, stamps in sets.items()
    ]
    head = (
        *(
            "galaxies",
            "number",
            "nearest: least distance",
            "1 %",
            "median",
            "% nearer than 1 % of held-out ones",
        ),
        *("correlation: median", "99 %", "greatest", "% above 99 % of held-out ones"),
    )
    write_csv("diffusion_copies", head, rows)
    name, stamps = list(drawn.items())[-1]
    found, which = alike[name]
    worst = np.argsort(-found)[:SHOWN]
    pairs(
        study.figures / "diffusion_nearest.jpg",
        {"synthetic": stamps[worst], "learned from": study.stamps[learned[which[worst]]]},
        [f"{value:.3f}" for value in found[worst]],
        white_of(study),
    )
