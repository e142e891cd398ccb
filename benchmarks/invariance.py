"""What turns, mirrors and noise do to galaxy-atto's embeddings: benchmarks/results/invariance.csv and docs/invariance.png.

EFIGI's held-out stamps, bundled weights (or --checkpoint): each galaxy turned by a random angle (re-cut by bicubic interpolation),
mirrored, and with noise added; beside pairs of different galaxies. Cosine similarities are given as the embeddings are, and
after the mean embedding is taken off, as PCA does, which is what the vote sees. Noise: the share of a galaxy's ten nearest
neighbours that are still among the ten nearest when every galaxy gets noise of a given peak S/N.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch.nn import functional

from benchmarks import contestants
from benchmarks.common import write_csv
from benchmarks.encoder import HELD_OUT
from benchmarks.galaxies import SIZE, galaxies
from benchmarks.science import write_tables

NEIGHBOURS = 10
PEAK_SN = (100, 50, 30, 20, 10, 5, 3)
FIGURE = Path(__file__).parents[1] / "docs" / "invariance.png"


def pixels(stamps: pa.Table) -> torch.Tensor:
    """Stamps as (n, 3, y, x)."""
    column = stamps["stamp"].combine_chunks()
    return torch.tensor(column.flatten().to_numpy(zero_copy_only=False)).reshape(len(column), 3, SIZE, SIZE)


def with_pixels(stamps: pa.Table, images: torch.Tensor) -> pa.Table:
    """The same objects with other pixels."""
    flat = pa.array(images.float().contiguous().numpy().reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, 3 * SIZE * SIZE)
    return stamps.set_column(stamps.column_names.index("stamp"), "stamp", lists)


def turned(images: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Each image turned about its centre; what was outside the frame is empty sky."""
    zero = torch.zeros_like(angles)
    rows = (
        torch.stack([angles.cos(), -angles.sin(), zero], 1),
        torch.stack([angles.sin(), angles.cos(), zero], 1),
    )
    grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bicubic", padding_mode="zeros", align_corners=False)


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine similarity row by row."""
    length = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(axis=1) / length


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Mean share of the nearest neighbours by cosine that two sets of embeddings have in common."""
    nearest = []
    for codes in (first, second):
        unit = codes / np.linalg.norm(codes, axis=1, keepdims=True)
        similarity = unit @ unit.T
        np.fill_diagonal(similarity, -2)
        nearest.append(np.argpartition(-similarity, NEIGHBOURS, axis=1)[:, :NEIGHBOURS])
    return float(np.mean([len(set(a) & set(b)) / NEIGHBOURS for a, b in zip(*nearest, strict=True)]))


def main() -> None:
    """Measure, write, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", default="bundled")
    options = parser.parse_args()
    scratch = contestants.FOLDER / "releases"
    scratch.mkdir(parents=True, exist_ok=True)
    efigi = galaxies("efigi", scratch)
    stamps = efigi.stamps.filter(pa.array(efigi.fold == HELD_OUT))  # never seen in training
    images = pixels(stamps)
    draw = torch.Generator().manual_seed(0)

    def embed(changed: torch.Tensor) -> np.ndarray:
        return contestants.ours(with_pixels(stamps, changed), 3, options.checkpoint)

    plain = embed(images)
    pairs = {
        "turned by any angle": embed(turned(images, 2 * math.pi * torch.rand(len(images), generator=draw))),
        "mirrored": embed(images.flip(3)),
        "another galaxy": plain[np.random.default_rng(0).permutation(len(plain))],
    }
    rows, drawn = [], {}
    for name, other in pairs.items():
        for centre, how in ((0.0, "as they are"), (plain.mean(axis=0), "mean taken off")):
            found = cosines(plain - centre, other - centre)
            drawn[name, how] = found
            quantiles = np.quantile(found, (0.05, 0.5, 0.95))
            rows.append((name, how, *(f"{value:.4f}" for value in quantiles)))
    peak = images.amax(dim=(1, 2, 3), keepdim=True)
    kept = []
    for sn in PEAK_SN:
        noise = torch.randn(images.shape, generator=draw) * peak / sn
        noisy = embed(images + noise)
        centre = plain.mean(axis=0)
        kept.append(overlap(plain - centre, noisy - noisy.mean(axis=0)))
        found = cosines(plain - centre, noisy - centre)
        quantiles = np.quantile(found, (0.05, 0.5, 0.95))
        rows.append(
            (f"noise, peak S/N {sn}", f"neighbours kept {kept[-1]:.3f}", *(f"{v:.4f}" for v in quantiles))
        )
    write_csv(
        "invariance", ("pair", "embeddings", "cosine_5_percent", "cosine_median", "cosine_95_percent"), rows
    )
    figure(drawn, kept)
    write_tables()


def figure(drawn: dict[tuple[str, str], np.ndarray], kept: list[float]) -> None:
    """Both distributions, and the curve."""
    from matplotlib.figure import Figure

    page = Figure(figsize=(12, 3.6), layout="constrained")
    left, middle, right = page.subplots(1, 3)
    for axes, how in ((left, "as they are"), (middle, "mean taken off")):
        for (name, which), values in drawn.items():
            if which == how:
                bins = np.linspace(min(-0.2 if how != "as they are" else 0.5, values.min()), 1, 80)
                axes.hist(values, bins=bins, density=True, histtype="step", label=name, linewidth=1.5)
        axes.set(xlabel=f"cosine similarity, embeddings {how}", ylabel="density", yscale="log")
        axes.legend(fontsize=8)
    right.plot(PEAK_SN, kept, "o-")
    right.set(
        xscale="log",
        xlabel="peak S/N of a pixel",
        ylabel=f"share of {NEIGHBOURS} neighbours kept",
        ylim=(0, 1),
    )
    right.grid(alpha=0.3)
    page.savefig(FIGURE, dpi=110)


if __name__ == "__main__":
    main()
