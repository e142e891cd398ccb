"""Heads on frozen codes: one linear layer, its regularisation chosen by cross-validation for each question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from kernels.training.labels import losses
from kernels.training.ridge import ridge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.heads.head import Head

__all__ = ["FOLDS", "STRENGTHS", "LinearHeads", "fit_linear_heads", "fitted"]

STRENGTHS = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""Of the regularisation, as the factor of half the squared weights beside the mean loss; strongest first."""
FOLDS = 5
_OF_SPREAD = 1.0  # strength of the regularisation of a value's spread
_STEPS = 150
_PRIOR_VOTES = 10.0
_NOTHING = 1e-6
_CURVATURE = 0.25  # of a loss along an output: p (1 - p) at most

_Layer = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, eq=False)
class LinearHeads:
    """A linear layer for all heads, and what it says of objects that it has not seen.

    Attributes
    ----------
    weight, bias
        (outputs, d) and (outputs,) float64, for codes as they come.
    held_out
        (n, outputs): outputs by layers that were fitted without the object; NaN where it has no label for a head, or took no part in the cross-validation.
    strength
        Of the regularisation of each head.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    held_out: NDArray[np.float64]
    strength: tuple[float, ...]


def fit_linear_heads(
    codes: NDArray[np.floating],
    targets: NDArray[np.floating],
    heads: Sequence[Head],
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    most_in_folds: int = 5_000,
) -> LinearHeads:
    """Fit each head by maximum likelihood with an L2 penalty on standardised codes; intercepts are free.

    Values have a closed solution for their mean (ridge), and their spread is then learned from what it misses on objects that it has not seen:
    both at once would take what it can learn by heart for certain.

    Parameters
    ----------
    codes : (n, d)
        In an order that does not depend on the labels: folds are dealt out along it.
    targets : (n, sum of widths)
        See `kernels.training.labels.losses`.
    heads : sequence of Head
    mean, scale : (d,)
        That codes are standardised with.
    most_in_folds : int
        Labelled objects, the first ones, that take part in a head's cross-validation. What it chose is divided by how many more there are: a penalty is
        worth a number of objects.
    """
    standardised = (np.asarray(codes, np.float64) - mean) / scale
    # along principal axes the squared weights are the same, and L-BFGS can be told how steep each direction is
    size, axes = np.linalg.eigh(standardised[: 4 * most_in_folds].T @ standardised[: 4 * most_in_folds])
    axes = axes[
        :, size > _NOTHING * size[-1]
    ]  # along the others codes do not differ: no weight would be there
    x = torch.tensor(
        standardised @ axes
    ).float()  # what is read again and again; sums over objects are of float64
    weights, biases, strengths, start = [], [], [], 0
    held_out = np.full((len(x), sum(head.width for head in heads)), np.nan)
    for head in heads:
        of = slice(start, start + head.width)
        start += head.width
        y = torch.tensor(np.asarray(targets[:, of], np.float64))
        known = y.isfinite().all(dim=1).nonzero()[:, 0]
        few = known[:most_in_folds]
        layer, strength, outputs = (_values if head.kind == "value" else _answers)(
            head, x[known], y[known], _dealt(head, y[few])
        )
        weights.append(layer[0].numpy())
        biases.append(layer[1].numpy())
        held_out[few.numpy(), of] = outputs.numpy()
        strengths.append(strength)
    weight = np.concatenate(weights) @ axes.T / scale
    bias = np.concatenate(biases) - weight @ mean
    return LinearHeads(weight, bias, held_out, tuple(strengths))


def _dealt(head: Head, targets: torch.Tensor) -> torch.Tensor:
    """Fold of each object: classes are dealt out one by one, so that a rare one is in as many folds as it can."""
    kind = targets.argmax(dim=1) if head.kind in ("classes", "ordinal") else torch.zeros(len(targets))
    fold = torch.empty(len(targets), dtype=torch.long)
    fold[torch.argsort(kind, stable=True)] = torch.arange(len(targets)) % FOLDS
    return fold


def _answers(
    head: Head, x: torch.Tensor, y: torch.Tensor, fold: torch.Tensor
) -> tuple[_Layer, float, torch.Tensor]:
    """The layer, the strength of its regularisation, and held-out outputs (m, width) of the first objects, which have a fold (m,)."""
    few = slice(0, len(fold))
    tried = [torch.empty((len(fold), head.width), dtype=torch.float64) for _ in STRENGTHS]
    for number in range(FOLDS):
        layer, outside = None, fold == number
        for outputs, strength in zip(tried, STRENGTHS, strict=True):
            layer = fitted(head, x[few][~outside], y[few][~outside], strength, layer)
            outputs[outside] = x[few][outside].double() @ layer[0].T + layer[1]
    best = int(np.argmin([_score(head, outputs, y[few]) for outputs in tried]))
    strength = STRENGTHS[best] * len(fold) / len(x)
    layer = fitted(head, x[few], y[few], STRENGTHS[best], None)
    if len(x) > len(fold):  # most of the way is gone with few objects
        layer = fitted(head, x, y, strength, layer)
    return layer, strength, tried[best]


def _values(
    head: Head, x: torch.Tensor, y: torch.Tensor, fold: torch.Tensor
) -> tuple[_Layer, float, torch.Tensor]:
    """The same for a value; the strength is that of its mean."""
    few, missed = slice(0, len(fold)), torch.empty((len(fold), len(STRENGTHS)), dtype=torch.float64)
    for number in range(FOLDS):
        outside = fold == number
        layers, intercepts = ridge(x[few][~outside].double(), y[few][~outside, 0], STRENGTHS)
        missed[outside] = x[few][outside].double() @ layers.T + intercepts
    best = int((missed - y[few, :1]).square().mean(dim=0).argmin())
    mean, spread = missed[:, best], torch.empty(len(fold), dtype=torch.float64)
    for number in range(FOLDS):
        outside = fold == number
        weight, bias = fitted(head, x[few][~outside], y[few][~outside], _OF_SPREAD, None, mean[~outside])
        spread[outside] = (x[few][outside].double() @ weight.T + bias)[:, 0]
    strength = STRENGTHS[best] * len(fold) / len(x)
    (of_mean,), (intercept,) = ridge(x.double(), y[:, 0], [strength])
    weight, bias = fitted(head, x[few], y[few], _OF_SPREAD, None, mean)
    layer = torch.cat([of_mean[None], weight]), torch.cat([intercept[None], bias])
    return layer, strength, torch.stack([mean, spread], dim=1)


def _score(head: Head, outputs: torch.Tensor, targets: torch.Tensor) -> float:
    each, weight = losses(head, outputs, targets)
    return float((each * weight).sum() / weight.sum())


def fitted(
    head: Head,
    x: torch.Tensor,
    y: torch.Tensor,
    strength: float,
    start: _Layer | None,
    mean: torch.Tensor | None = None,
) -> _Layer:
    """Weights (width, d) and intercepts (width,), by L-BFGS; of a value whose `mean` (n,) is known, of its spread alone."""
    x, width = x.float(), 1 if mean is not None else head.width
    steep = (_CURVATURE * x.square().mean(dim=0).double() + strength).sqrt()
    begin = (torch.zeros(width, x.shape[1], dtype=y.dtype), _usual(head, y)) if start is None else start
    weight, bias = (begin[0] * steep).requires_grad_(), begin[1].clone().requires_grad_()
    optimiser = torch.optim.LBFGS(
        [weight, bias],
        max_iter=_STEPS,
        tolerance_grad=1e-5,
        tolerance_change=1e-6,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        layer = weight / steep
        outputs = (x @ layer.T.float()).double() + bias
        if mean is not None:
            outputs = torch.cat([mean[:, None], outputs], dim=1)
        each, counted = losses(head, outputs, y)
        loss = (each * counted).sum() / counted.sum() + 0.5 * strength * layer.square().sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return (weight / steep).detach(), bias.detach()


def _usual(head: Head, y: torch.Tensor) -> torch.Tensor:
    """Intercepts that say what is common."""
    if head.kind == "value":
        return torch.zeros(1, dtype=y.dtype)
    total = y.sum(dim=0) + 0.5
    usual = (total / total.sum()).log()
    return usual + np.log(_PRIOR_VOTES) if head.kind == "votes" else usual
