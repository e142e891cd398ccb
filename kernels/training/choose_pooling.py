"""Which mean of which layer's tokens makes the embedding: the one that labels of held-out objects follow from best, by ridge regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kernels.nets.autoregressive import TOKENS, Autoregressive, Over, Pooling
from kernels.training.ridge import ridge

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["candidates", "embeddings", "given", "scores"]

_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)


def candidates(net: Autoregressive) -> list[Pooling]:
    """Each layer from the middle on; all patches, or the central quarter; tokens or modalities counted the same, each modality by itself, or each scalar too."""
    layers, patches = len(net.blocks), net.modalities.stamps.tokens
    over: tuple[Over, ...] = ("tokens",)
    if net.modalities.others:
        over = ("tokens", "modalities", "each")
    if any(each.tokens > 1 for each in net.modalities.scalars):
        over = (*over, "scalars")
    return [
        Pooling(layer, count, each)
        for layer in range(max(1, layers // 2), layers + 1)
        for count in dict.fromkeys((patches, max(1, patches // 4)))
        for each in over
    ]


def given(net: Autoregressive) -> list[tuple[str, ...]]:
    """What an embedding is chosen for, as any part of the modalities may be there: stamps alone, with each other modality, and with all."""
    stamps, *others = net.modalities.names
    return list(dict.fromkeys([(stamps,), *((stamps, each) for each in others), (stamps, *others)]))


@torch.inference_mode()
def embeddings(
    net: Autoregressive,
    images: torch.Tensor,
    rows: torch.Tensor,
    poolings: list[Pooling],
    names: Sequence[str],
) -> list[torch.Tensor]:
    """Embeddings (n, features), one for each pooling, of images (n, b, y, x) and rows of other modalities (n, width), of these modalities alone."""
    every = net.tokens(images.float(), rows if rows.shape[1] else None)
    tokens = {name: every[name] for name in names}
    layers = sorted({each.layer for each in poolings})
    found = net.states(tokens, None, layers, dict.fromkeys(tokens, TOKENS))
    states = dict(zip(layers, found, strict=True))
    return [net.pooled(states[each.layer], tokens, each) for each in poolings]


def scores(codes: Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """How well labels follow from each of several embeddings, float64.

    Parameters
    ----------
    codes : sequence of (n, features) tensors
    labels : (n, labels) tensor
        NaN where unknown.

    Returns
    -------
    For each embedding the mean over the labels of R², the share of the variance explained, of each half of the objects by what was fitted on the other, for the best strength of the penalty.
    """
    return torch.stack([torch.stack([_score(each, label) for label in labels.T]).mean() for each in codes])


def _score(codes: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    known = label.isfinite()
    x, y = codes[known].double(), label[known].double()
    x = (x - x.mean(dim=0)) / x.std(dim=0).clamp(min=1e-12)
    half = torch.arange(len(y)) % 2 == 0
    missed = torch.zeros(len(_STRENGTHS), dtype=torch.float64)
    for learned in (half, ~half):
        weights, intercepts = ridge(x[learned], y[learned], _STRENGTHS)
        answers = x[~learned] @ weights.T + intercepts
        missed += (answers - y[~learned, None]).square().sum(dim=0)
    return 1 - missed.min() / (y - y.mean()).square().sum()
