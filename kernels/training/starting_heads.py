"""Where heads begin that go on learning with their network: a quick fit on the codes that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from kernels.training.linear_heads import fitted
from kernels.training.ridge import ridge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.heads.head import Head

__all__ = ["starting_heads"]

_STRENGTH, _OBJECTS = 0.1, 300
"""Strength of the regularisation, from so many objects on; with fewer it is as much larger."""
_LEAST_SPREAD = 0.3
"""Of a value that views of an object change, in standard deviations of the labels."""


def starting_heads(
    codes: NDArray[np.floating], targets: NDArray[np.floating], heads: Sequence[Head]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (outputs, d) and intercepts (outputs,) by maximum likelihood with an L2 penalty; all objects begin with one spread of a value.

    Parameters
    ----------
    codes : (n, d)
    targets : (n, sum of widths)
        See `kernels.training.labels.losses`; each head needs a label.
    heads : sequence of Head
    """
    values = np.asarray(codes, np.float64)
    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    x, weights, biases, start = torch.tensor((values - mean) / scale), [], [], 0
    for head in heads:
        y = torch.tensor(np.asarray(targets[:, start : start + head.width], np.float64))
        start += head.width
        known = y.isfinite().all(dim=1)
        strength = _STRENGTH * max(1.0, _OBJECTS / max(1, int(known.sum())))
        if not known.any():
            weight, bias = torch.zeros(head.width, x.shape[1], dtype=x.dtype), torch.zeros(head.width)
        elif head.kind == "value":
            weight, bias = _value(x[known], y[known, 0], strength)
        else:
            weight, bias = fitted(head, x[known], y[known], strength, None)
        weights.append(weight.numpy())
        biases.append(bias.numpy())
    weight_of_codes = np.concatenate(weights) / scale
    return weight_of_codes, np.concatenate(biases) - weight_of_codes @ mean


def _value(x: torch.Tensor, y: torch.Tensor, strength: float) -> tuple[torch.Tensor, torch.Tensor]:
    layers, intercepts = ridge(x, y, (strength,))
    missed = (y - x @ layers[0] - intercepts[0]).square().mean().sqrt()
    spread = missed.clamp(min=_LEAST_SPREAD).log()
    return torch.stack([layers[0], torch.zeros_like(layers[0])]), torch.stack([intercepts[0], spread])
