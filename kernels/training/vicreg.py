"""VICReg: two views of an object should have one embedding, and embeddings should use all their dimensions."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["Expander", "vicreg_loss"]


class Expander(nn.Sequential):
    """(n, features) -> (n, width): where the loss is taken; thrown away after training."""

    def __init__(self, features: int, width: int = 1024) -> None:
        super().__init__(
            nn.Linear(features, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, width, bias=False),
        )


def vicreg_loss(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Variance-invariance-covariance loss of two views' expanded embeddings, weights 25, 25, 1 (Bardes et al., arXiv:2105.04906).

    Parameters
    ----------
    first, second : (n, width) float tensors
        Row i of both belongs to object i; n of 2 or more.

    Returns
    -------
    Scalar tensor.
    """
    first, second = first.float(), second.float()
    invariance = functional.mse_loss(first, second)
    variance, covariance = torch.zeros((), device=first.device), torch.zeros((), device=first.device)
    for values in (first, second):
        centred = values - values.mean(dim=0)
        variance = variance + functional.relu(1 - (centred.var(dim=0) + 1e-4).sqrt()).mean() / 2
        square = (centred.T @ centred / (len(values) - 1)).square()
        covariance = covariance + (square.sum() - square.diagonal().sum()) / values.shape[1]
    return 25 * invariance + 25 * variance + covariance
