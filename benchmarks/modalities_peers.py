"""What codes of simulated galaxies are compared with: trees on photometry, and a network that learns from labelled stamps alone; for `benchmarks.modalities`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.spatial.distance import cdist
from sklearn.ensemble import HistGradientBoostingRegressor
from torch.nn import functional

from benchmarks.modalities_task import BANDS, FEW, TARGETS
from kernels.nets import create

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.modalities_task import Floats, Survey

WIDTHS, NOISES = (0.3, 1.0, 3.0, 10.0, 30.0), np.logspace(-4, 0, 9)
"""Of a Gaussian process: squares of the kernel's width over the median of all squared distances, and variances of the noise."""


def trees(
    features: Floats, known: Floats, drawn: NDArray[np.bool_], test: NDArray[np.bool_], seed: int
) -> Floats:
    """Answers of gradient-boosted trees: scikit-learn's, stopped early where there are enough labels for that."""
    answers = [
        HistGradientBoostingRegressor(
            random_state=seed, early_stopping=bool(drawn.sum() >= FEW), max_iter=300
        )
        .fit(features[drawn], known[drawn, i])
        .predict(features[test])
        for i in range(known.shape[1])
    ]
    return np.stack(answers, axis=1).astype(np.float32)


def gaussian_process(
    features: Floats, known: Floats, drawn: NDArray[np.bool_], test: NDArray[np.bool_]
) -> Floats:
    """Answers of a Gaussian process with a squared-exponential kernel over standardised features; its width and its noise are those with the smallest leave-one-out error (Rasmussen & Williams 2006, eq. 5.12)."""
    mean, scale = features[drawn].mean(axis=0), features[drawn].std(axis=0).clip(1e-3)
    own, asked = ((features[which] - mean).astype(np.float64) / scale for which in (drawn, test))
    level, spread = known[drawn].mean(axis=0), known[drawn].std(axis=0)
    y = (known[drawn] - level) / spread
    among, to_asked = cdist(own, own, "sqeuclidean"), cdist(asked, own, "sqeuclidean")
    least, found = np.inf, np.empty(0)
    for width in np.median(among) * np.array(WIDTHS):
        size, axes = np.linalg.eigh(np.exp(-among / (2 * width)))
        for noise in NOISES:
            weighted = axes / (size + noise)
            weights = weighted @ (axes.T @ y)
            missed = np.abs(weights / (weighted * axes).sum(axis=1)[:, None]).mean()
            if missed < least:
                least, found = missed, np.exp(-to_asked / (2 * width)) @ weights
    return (found * spread + level).astype(np.float32)


def colours(photometry: Floats) -> Floats:
    """Magnitudes, their errors, and the colours of neighbouring bands: what trees on photometry are given."""
    magnitudes = photometry[:, : len(BANDS)]
    return np.concatenate([photometry, np.diff(magnitudes, axis=1)], axis=1)


def filled(photometry: Floats) -> Floats:
    """The same for a network that takes no NaN: what was not detected is as faint and as uncertain as the faintest of its band, and marked."""
    faintest = np.nanmax(photometry, axis=0)
    missing = np.isnan(photometry[:, : len(BANDS)])
    return np.concatenate([colours(np.where(np.isnan(photometry), faintest, photometry)), missing], axis=1)


def supervised(
    data: Survey, drawn: NDArray[np.bool_], seed: int, *, epochs: int, least_steps: int = 250
) -> Floats:
    """Answers of a ConvNeXt-atto that learned from nothing but these labelled stamps."""
    torch.manual_seed(seed)
    images = torch.from_numpy(data.stamps)
    noise = images[:, :, 0].std(dim=(0, 2)).view(1, -1, 1, 1)
    level, spread = data.labels[drawn].mean(axis=0), data.labels[drawn].std(axis=0)
    y = torch.tensor((data.labels - level) / spread)
    net = create(
        "timm:convnext_atto", bands=5, num_classes=len(TARGETS), ls_init_value=1.0, drop_path_rate=0.05
    ).train()
    rows, size = torch.from_numpy(np.flatnonzero(drawn)), 64
    steps = max(least_steps, epochs * len(rows) // size)
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)

    def seen(part: torch.Tensor) -> torch.Tensor:
        return (images[part] / (3 * noise)).asinh()

    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        part = rows[torch.randint(len(rows), (size,), generator=draw)]
        view = seen(part)
        turn, flip = torch.randint(4, (2,), generator=draw).tolist()
        view = view.rot90(turn, dims=(2, 3))
        view = view.flip(3) if flip % 2 else view
        with torch.autocast("cpu", torch.bfloat16):
            answers = net(view.contiguous(memory_format=torch.channels_last))
        loss = functional.huber_loss(answers.float(), y[part])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    net.eval()
    asked = torch.from_numpy(np.flatnonzero(data.test))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = torch.cat([net(seen(part)).float() for part in asked.split(256)])
    return found.numpy() * spread + level
