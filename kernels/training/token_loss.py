"""Losses of predicted tokens: Huber's of their values, or the likelihood of a mixture of normal distributions."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

__all__ = ["token_loss"]

_NARROWEST = -7.0  # logarithm of a component's deviation


def token_loss(
    outputs: torch.Tensor, values: torch.Tensor, weights: torch.Tensor, components: int
) -> torch.Tensor:
    """Mean loss of a modality's tokens, per value.

    Parameters
    ----------
    outputs : (n, tokens, outputs) tensor
        Without components one number a value; else for each component the values' means, the logarithm of their one deviation, and the logarithm of its share.
    values, weights : (n, tokens, values) tensors
        Those of weight 0 do not count.
    components : int
        0: Huber's loss with delta 1, as AstroPT has it (arXiv:2405.14930).

    Returns
    -------
    Scalar tensor; 0 where nothing counts.
    """
    outputs, total = outputs.float(), weights.sum().clamp(min=1.0)
    if not components:
        return (weights * functional.huber_loss(outputs, values, reduction="none")).sum() / total
    each = outputs.unflatten(2, (components, -1))  # (n, tokens, components, values + 2)
    mean, deviation, share = each.split([values.shape[2], 1, 1], dim=3)
    deviation = deviation.clamp(min=_NARROWEST)
    missed = (
        ((values[:, :, None] - mean) / deviation.exp()).square() / 2 + deviation + math.log(2 * math.pi) / 2
    )
    log_likelihood = share[..., 0].log_softmax(dim=2) - (weights[:, :, None] * missed).sum(dim=3)
    return -torch.where(weights.sum(dim=2) > 0, log_likelihood.logsumexp(dim=2), 0.0).sum() / total
