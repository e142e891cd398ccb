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

__all__ = ["FOLDS", "STRENGTHS", "LinearHeads", "fit_linear_heads", "starting_heads"]

STRENGTHS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""Of the regularisation, as the factor of half the squared weights beside the mean loss; strongest first."""
FOLDS = 5
_STEPS = 150
_START, _START_OBJECTS = (
    0.1,
    300,
)  # strength of the regularisation of heads that go on learning, from so many objects on
_PRIOR_VOTES = 10.0
_NOTHING = 1e-6
_CURVATURE = 0.25  # of a loss along an output: p (1 - p) at most


@dataclass(frozen=True, eq=False)
class LinearHeads:
    """A linear layer for all heads, and what it says of objects that it has not seen.

    Attributes
    ----------
    weight, bias
        (outputs, d) and (outputs,) float64, for codes as they come.
    held_out
        (m, outputs): outputs for the first m objects by layers that were fitted without them; NaN where an object has no label for a head.
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
    most_in_folds: int = 20_000,
    strengths: Sequence[float] = STRENGTHS,
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
        Objects, the first ones, that take part in the cross-validation.
    strengths : sequence of float
        Of the regularisation, strongest first, to choose from; of a single one there is nothing to choose, and `held_out` is all NaN but for values.
    """
    standardised = (np.asarray(codes, np.float64) - mean) / scale
    # along principal axes the squared weights are the same, and L-BFGS can be told how steep each direction is
    size, axes = np.linalg.eigh(standardised[:most_in_folds].T @ standardised[:most_in_folds])
    axes = axes[
        :, size > _NOTHING * size[-1]
    ]  # along the others codes do not differ: no weight would be there
    x, few = torch.tensor(standardised @ axes), slice(0, most_in_folds)
    weights, biases, held_out, chosen, start = [], [], [], [], 0
    for head in heads:
        y = torch.tensor(np.asarray(targets[:, start : start + head.width], np.float64))
        start += head.width
        fold = _dealt(head, y[few])
        if head.kind == "value":
            outputs, strength, (weight, bias) = _values(head, x, y, fold, strengths)
        else:
            outputs, strength = _chosen(head, x[few], y[few], fold, strengths)
            weight, bias = _fitted(head, x, y, strength, None)
        weights.append(weight.numpy())
        biases.append(bias.numpy())
        held_out.append(outputs.numpy())
        chosen.append(strength)
    weight = np.concatenate(weights) @ axes.T / scale
    bias = np.concatenate(biases) - weight @ mean
    return LinearHeads(weight, bias, np.concatenate(held_out, axis=1), tuple(chosen))


def starting_heads(
    codes: NDArray[np.floating], targets: NDArray[np.floating], heads: Sequence[Head]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (outputs, d) and intercepts (outputs,) from which heads and network go on learning together; quickly found.

    All values begin with the same spread, which views of an object don't change.
    """
    values = np.asarray(codes, np.float64)
    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    strength = _START * max(1.0, _START_OBJECTS / len(values))
    found = fit_linear_heads(values, targets, heads, mean, scale, strengths=(strength,))
    weight, bias, start = found.weight.copy(), found.bias.copy(), 0
    for head in heads:
        if head.kind == "value":
            bias[start + 1] += weight[start + 1] @ mean
            weight[start + 1] = 0
        start += head.width
    return weight, bias


def _chosen(
    head: Head, x: torch.Tensor, y: torch.Tensor, fold: torch.Tensor, strengths: Sequence[float]
) -> tuple[torch.Tensor, float]:
    """Held-out outputs (m, width) of the best strength, and that."""
    if len(strengths) == 1:
        return torch.full((len(x), head.width), torch.nan, dtype=x.dtype), strengths[0]
    tried = _held_out(head, x, y, fold, strengths)
    number = int(np.argmin([_score(head, each, y) for each in tried]))
    return tried[number], strengths[number]


def _dealt(head: Head, targets: torch.Tensor) -> torch.Tensor:
    """Fold of each object, -1 without a label: classes one by one, so that a rare one is in as many folds as it can."""
    known = targets.isfinite().all(dim=1)
    kind = targets.nan_to_num(0.0).argmax(dim=1) if head.kind in ("classes", "ordinal") else known.long()
    order = torch.argsort(torch.where(known, kind, -1), stable=True)[int((~known).sum()) :]
    fold = torch.full((len(targets),), -1)
    fold[order] = torch.arange(len(order)) % FOLDS
    return fold


def _held_out(
    head: Head, x: torch.Tensor, y: torch.Tensor, fold: torch.Tensor, strengths: Sequence[float]
) -> list[torch.Tensor]:
    """Outputs (m, width) of each strength for objects that were not learned from; NaN where there is no label."""
    found = [torch.full((len(x), head.width), torch.nan, dtype=torch.float64) for _ in strengths]
    for number in range(FOLDS):
        layer, inside, outside = None, (fold >= 0) & (fold != number), fold == number
        for outputs, strength in zip(found, strengths, strict=True):
            layer = _fitted(head, x[inside], y[inside], strength, layer)
            outputs[outside] = x[outside] @ layer[0].T + layer[1]
    return found


def _score(head: Head, outputs: torch.Tensor, targets: torch.Tensor) -> float:
    there = outputs.isfinite().all(dim=1)
    each, weight = losses(head, outputs[there], targets[there])
    return float((each * weight).sum() / weight.sum())


def _fitted(
    head: Head,
    x: torch.Tensor,
    y: torch.Tensor,
    strength: float,
    start: tuple[torch.Tensor, torch.Tensor] | None,
    mean: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights (width, d) and intercepts (width,), by L-BFGS; of a value whose `mean` (n,) is known, of its spread alone."""
    known = y.isfinite().all(dim=1)
    x, y = x[known], y[known]
    width = 1 if mean is not None else head.width
    steep = (_CURVATURE * x.square().mean(dim=0) + strength).sqrt()
    begin = (torch.zeros(width, x.shape[1], dtype=x.dtype), _usual(head, y)) if start is None else start
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
        outputs = x @ layer.T + bias
        if mean is not None:
            outputs = torch.cat([mean[known, None], outputs], dim=1)
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


def _values(
    head: Head, x: torch.Tensor, y: torch.Tensor, fold: torch.Tensor, strengths: Sequence[float]
) -> tuple[torch.Tensor, float, tuple[torch.Tensor, torch.Tensor]]:
    """Held-out outputs (m, 2), the strength of the mean's regularisation, and the layer."""
    few = slice(0, len(fold))
    mean = torch.full((len(strengths), len(fold)), torch.nan, dtype=torch.float64)
    for number in range(FOLDS):
        inside, outside = (fold >= 0) & (fold != number), fold == number
        layers, intercepts = ridge(x[few][inside], y[few][inside, 0], strengths)
        mean[:, outside] = (x[few][outside] @ layers.T + intercepts).T
    missed = (mean - y[few, 0]).square()[:, fold >= 0].mean(dim=1)
    best = int(missed.argmin())
    spreads = _held_out_spreads(head, x[few], y[few], fold, mean[best])
    outputs = torch.stack([mean[best], spreads], dim=1)
    known = y.isfinite().all(dim=1)
    layers, intercepts = ridge(x[known], y[known, 0], strengths)
    weight, bias = _fitted(head, x[few], y[few], _SPREAD_STRENGTH, None, mean[best])
    return (
        outputs,
        strengths[best],
        (torch.cat([layers[best, None], weight]), torch.cat([intercepts[best, None], bias])),
    )


_SPREAD_STRENGTH = 1.0


def _held_out_spreads(
    head: Head, x: torch.Tensor, y: torch.Tensor, fold: torch.Tensor, mean: torch.Tensor
) -> torch.Tensor:
    found = torch.full((len(x),), torch.nan, dtype=torch.float64)
    for number in range(FOLDS):
        inside, outside = (fold >= 0) & (fold != number), fold == number
        weight, bias = _fitted(head, x[inside], y[inside], _SPREAD_STRENGTH, None, mean[inside])
        found[outside] = (x[outside] @ weight.T + bias)[:, 0]
    return found
