"""Label heads: one linear layer on an encoder's embeddings, and the loss of each question."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernels.heads.head import Head

__all__ = ["LabelHeads", "loss_sums", "losses", "mean_loss", "soft_ordinal"]

_SPREADS = 6.0  # of a value's logarithmic spread: from 1/400 to 400 standard deviations of the labels


def soft_ordinal(values: torch.Tensor, spread: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Ordinal values with their uncertainty as probabilities of the levels, a normal distribution at each.

    Parameters
    ----------
    values : (n,) float tensor
        NaN where the value is not known.
    spread : (n,) float tensor
        Standard deviation, in the values' unit, positive.
    levels : (k,) float tensor
        The attribute's possible values.

    Returns
    -------
    (n, k) float tensor whose rows add up to 1, or are NaN.
    """
    distance = (values[:, None] - levels[None]) / spread[:, None]
    return torch.softmax(-0.5 * distance.square(), dim=1)


def losses(
    head: Head, outputs: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Negative log-likelihood of each object's label, and its weight.

    Parameters
    ----------
    head : Head
    outputs, targets : (n, head.width) float tensor
        Of classes and ordinals, logits and soft labels; of votes, logarithms of concentrations and counts; of a value, its mean and
        the logarithm of its spread, and the value and its error. Targets are NaN where an object has no label.
    smoothing : float
        Share of a class label that is spread over all classes.

    Returns
    -------
    (n,) float tensor
        0 where there is no label.
    (n,) float tensor
        0 where there is no label.
    """
    known = targets.isfinite().all(dim=1)
    wanted = torch.where(known[:, None], targets, 0.0)
    weight = known.to(outputs.dtype)
    if head.kind == "votes":
        each = dirichlet_multinomial(outputs.clamp(-12, 12).exp(), wanted)
    elif head.kind == "value":
        variance = (2 * outputs[:, 1].clamp(-_SPREADS, _SPREADS)).exp() + wanted[:, 1].square()
        each = 0.5 * ((wanted[:, 0] - outputs[:, 0]).square() / variance + variance.log())
    else:
        if head.kind == "classes":
            wanted = wanted * (1 - smoothing) + smoothing / head.width
        if head.balance:
            weight = weight * (wanted @ torch.tensor(head.balance, dtype=wanted.dtype, device=wanted.device))
        each = -(wanted * functional.log_softmax(outputs, dim=1)).sum(dim=1)
    return each * known, weight


def dirichlet_multinomial(concentration: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood (n,) of votes (n, k) under a Dirichlet-multinomial, up to what the votes alone decide; 0 where there are none."""
    total, votes = concentration.sum(dim=1), counts.sum(dim=1)
    answers = (torch.lgamma(counts + concentration) - torch.lgamma(concentration)).sum(dim=1)
    return torch.lgamma(votes + total) - torch.lgamma(total) - answers


def loss_sums(
    heads: Sequence[Head], outputs: torch.Tensor, targets: torch.Tensor, smoothing: float = 0.0
) -> torch.Tensor:
    """Sums over objects of the heads' weighted losses and of the weights, (heads, 2), of outputs and targets (n, widths of all heads)."""
    sizes = [head.width for head in heads]
    found = []
    for head, out, wanted in zip(
        heads, outputs.float().split(sizes, dim=1), targets.split(sizes, dim=1), strict=True
    ):
        each, weight = losses(head, out, wanted, smoothing)
        found.append(torch.stack([(each * weight).sum(), weight.sum()]))
    return torch.stack(found)


def mean_loss(heads: Sequence[Head], sums: torch.Tensor) -> torch.Tensor:
    """Weighted mean of the heads' mean losses, from `loss_sums`; a head without any label adds nothing."""
    shares = torch.tensor([head.weight for head in heads], dtype=sums.dtype, device=sums.device)
    return (shares * sums[:, 0] / sums[:, 1].clamp(min=1e-6)).sum() / shares.sum()


class LabelHeads(nn.Module):
    """One linear layer for all label targets; the loss is the weighted mean of the heads' own."""

    def __init__(self, features: int, heads: Sequence[Head], smoothing: float = 0.0) -> None:
        super().__init__()
        self.heads, self.smoothing = tuple(heads), smoothing
        self.answers = nn.Linear(features, sum(head.width for head in self.heads))

    def forward(self, embeddings: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of embeddings (n, features) and targets (n, widths of all heads); NaN where an object has no label.

        A head that no object of the batch has a label for adds nothing.
        """
        sums = loss_sums(self.heads, self.answers(embeddings), targets, self.smoothing)
        return mean_loss(self.heads, sums)
