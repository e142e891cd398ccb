"""Ridge regression for several strengths of the penalty at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ridge"]


def ridge(x: torch.Tensor, y: torch.Tensor, strengths: Sequence[float]) -> tuple[torch.Tensor, torch.Tensor]:
    """Minimise mean squares plus the penalty on squared weights; the intercept is free.

    Parameters
    ----------
    x : (n, d) float64 tensor
    y : (n,) float64 tensor
    strengths : sequence of float

    Returns
    -------
    weights (strengths, d), intercepts (strengths,)
    """
    middle, level = x.mean(dim=0), y.mean()
    centred = x - middle
    if x.shape[1] > len(x):  # the same weights, from products of objects instead of features
        size, axes = torch.linalg.eigh(centred @ centred.T / len(x))
        slope, axes = axes.T @ (y - level) / len(x), centred.T @ axes
    else:
        size, axes = torch.linalg.eigh(centred.T @ centred / len(x))
        slope = axes.T @ (centred.T @ (y - level) / len(x))
    weights = torch.stack([axes @ (slope / (size.clamp(min=0) + strength)) for strength in strengths])
    return weights, level - weights @ middle
