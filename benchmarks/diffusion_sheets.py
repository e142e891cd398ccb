"""Contact sheets: synthetic galaxies beside real ones of the same condition, and sweeps of one attribute at a time with the same seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from kernels.diffusion import Sampling

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from benchmarks.diffusion_study import Study

COLUMNS, ROWS = 16, 4
SWEPT = (
    *("t_type", "inclination_elongation", "bulge_to_total", "arm_strength", "bar_length", "visible_dust"),
    *("noise_r", "psf"),
)
STEPS = 9
SEED = 1
"""Of all stamps of a sweep."""
GUIDANCE = 2.0
_WHITE = 0.9  # quantile of a release's brightest pixels that is shown white
_QUALITY = {"quality": 85}


def run(study: Study) -> None:
    """Both sheets."""
    held, white = np.flatnonzero(study.held), white_of(study)
    # over the whole sequence of types, those of one type by chance
    by_chance = np.random.default_rng(2).uniform(0, 0.5, len(held))
    order = held[np.argsort(study.labels["t_type"].to_numpy()[held] + by_chance)]
    chosen = order[np.linspace(0, len(order) - 1, COLUMNS * ROWS).astype(int)]
    sets = {
        "real, held out": study.stamps[chosen],
        "synthetic": study.draw_like(chosen, Sampling()),
        "another seed": study.draw_like(chosen, Sampling(), copy=1),
    }
    page, axes = _page(len(sets) * ROWS, COLUMNS)
    types = [f"T = {kind:g}" for kind in study.labels["t_type"].to_numpy()[chosen]]
    for row in range(ROWS):
        part = slice(row * COLUMNS, (row + 1) * COLUMNS)
        beside = {name: stamps[part] for name, stamps in sets.items()}
        _rows(axes[len(sets) * row : len(sets) * (row + 1)], beside, types[part], white)
    page.savefig(study.figures / "diffusion_sheet.jpg", dpi=85, pil_kwargs=_QUALITY)
    _sweeps(study, white)


def _sweeps(study: Study, white: torch.Tensor) -> None:
    """One attribute from its lowest to its highest value in the usual noise, all others left to the model."""
    attributes = study.model.attributes
    names = [attribute.name for attribute in attributes]
    swept = [name for name in SWEPT if name in names]
    observed = np.array([attribute.kind in ("noise", "psf") for attribute in attributes])
    usual = np.where(observed, np.nanmedian(study.values[study.held], axis=0), np.nan)
    values = np.tile(usual.astype(np.float32), (len(swept) * STEPS, 1))
    for row, name in enumerate(swept):
        part, kind = slice(row * STEPS, (row + 1) * STEPS), attributes[names.index(name)].kind
        for column, attribute in enumerate(attributes):
            if attribute.name == name or attribute.kind == kind == "noise":  # of all bands together
                space = np.geomspace if kind == "noise" else np.linspace
                values[part, column] = space(attribute.low, attribute.high, STEPS)
    sure, seeds = np.isfinite(values).astype(np.float32), np.full(len(values), SEED)
    drawn = study.draw(values, sure, seeds, Sampling(guidance=GUIDANCE))
    page, axes = _page(len(swept), STEPS)
    for row, name in enumerate(swept):
        part, column = slice(row * STEPS, (row + 1) * STEPS), names.index(name)
        shown = "noise" if attributes[column].kind == "noise" else name
        titles = [f"{value:.3g}" for value in values[part, column]]
        _rows(axes[row : row + 1], {shown: drawn[part]}, titles, white)
    page.savefig(study.figures / "diffusion_sweeps.jpg", dpi=85, pil_kwargs=_QUALITY)


def pairs(path: Path, sets: dict[str, torch.Tensor], titles: Sequence[str], white: torch.Tensor) -> None:
    """Stamps beneath each other that are to be compared."""
    page, axes = _page(len(sets), len(titles))
    _rows(axes, sets, titles, white)
    page.savefig(path, dpi=85, pil_kwargs=_QUALITY)


def white_of(study: Study) -> torch.Tensor:
    """Brightness (b, 1, 1) that is shown white, the same for all stamps: brightness is to be compared too."""
    return study.stamps.amax(dim=(2, 3)).quantile(_WHITE, dim=0)[:, None, None]


def _page(rows: int, columns: int) -> tuple[Figure, np.ndarray]:
    page = Figure(figsize=(columns * 0.95, rows * 1.05), layout="constrained")
    page.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0, hspace=0)
    axes = page.subplots(rows, columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        for spine in axis.spines.values():
            spine.set_visible(False)
    return page, axes


def _rows(
    axes: np.ndarray, sets: dict[str, torch.Tensor], titles: Sequence[str], white: torch.Tensor
) -> None:
    """A row of stamps for each set, its name before it, titles above the first."""
    for row, (name, stamps) in zip(axes, sets.items(), strict=True):
        for axis, image in zip(row, (stamps / white).clamp(0, 1), strict=True):
            picture = image.permute(1, 2, 0) if len(image) == 3 else image[0]
            axis.imshow(picture.numpy(), cmap="gray", vmin=0, vmax=1)
        row[0].set_ylabel(name, fontsize=7)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=7)
