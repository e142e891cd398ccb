"""Label heads: the labels of a release as soft labels, with one loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Head", "LabelHeads", "soft_ordinal"]


@dataclass(frozen=True)
class Head:
    """One question about a galaxy and its possible answers.

    Classes have one answer a class, votes one an option, ordinal attributes one a level.
    """

    name: str
    answers: int
    weight: float = 1.0


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


class LabelHeads(nn.Module):
    """One linear layer for all label targets; the loss is the weighted mean cross-entropy of soft labels."""

    def __init__(self, features: int, heads: Sequence[Head]) -> None:
        super().__init__()
        self.heads = tuple(heads)
        self.answers = nn.Linear(features, sum(head.answers for head in self.heads))

    def forward(self, embeddings: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Loss of embeddings (n, features) and targets (n, answers of all heads); NaN where an object has no label.

        A head that no object of the batch has a label for adds nothing.
        """
        total = embeddings.new_zeros((), dtype=torch.float32)
        sizes = [head.answers for head in self.heads]
        for head, logits, wanted in zip(
            self.heads,
            self.answers(embeddings).float().split(sizes, dim=1),
            targets.split(sizes, dim=1),
            strict=True,
        ):
            known = wanted.isfinite().all(dim=1)
            each = -(wanted.nan_to_num(0.0) * functional.log_softmax(logits, dim=1)).sum(dim=1)
            total = total + head.weight * (each * known).sum() / known.sum().clamp(min=1)
        return total / sum(head.weight for head in self.heads)
