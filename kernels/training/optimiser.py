"""How weights move: Muon for the matrices of the network, AdamW for everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from kernels.training.muon import Muon

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Optimiser"]

_FASTER = 10.0  # Muon's rate over AdamW's: an orthogonal step is small in every single weight


class Optimiser:
    """Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) and AdamW under one rate.

    Muon turns the momentum of a weight matrix into the nearest orthogonal one before it is applied, so that all directions are
    learned at one speed.

    Parameters
    ----------
    net : nn.Module
        Its matrices and convolutions (but for depthwise ones) go to Muon, the rest to AdamW.
    others : iterable of nn.Parameter
        Whatever else learns, by AdamW.
    weight_decay : float
        Of matrices; biases, norms and scales do not shrink.
    """

    def __init__(self, net: nn.Module, others: Iterable[nn.Parameter], weight_decay: float) -> None:
        self._matrices = [p for p in net.parameters() if _is_matrix(p)]
        # torch's Muon takes matrices only: flat views on the same memory
        self._flat = [nn.Parameter(p.detach().view(len(p), -1)) for p in self._matrices]
        taken = set(map(id, self._matrices))
        rest = [p for p in (*net.parameters(), *others) if id(p) not in taken]
        self._each: tuple[torch.optim.Optimizer, ...] = (
            Muon(self._flat, weight_decay=weight_decay / _FASTER),
            torch.optim.AdamW(
                [
                    {"params": [p for p in rest if p.ndim > 1], "weight_decay": weight_decay},
                    {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
                ]
            ),
        )

    def step(self, rate: float) -> None:
        """Move all weights along their gradients."""
        for weight, flat in zip(self._matrices, self._flat, strict=True):
            flat.grad = None if weight.grad is None else weight.grad.view_as(flat)
        for optimiser, faster in zip(self._each, (_FASTER, 1.0), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * faster
            optimiser.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """Momenta and steps, of Muon and of AdamW."""
        return [optimiser.state_dict() for optimiser in self._each]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Continue from a `state_dict`."""
        for optimiser, own in zip(self._each, state, strict=True):
            optimiser.load_state_dict(own)


def _is_matrix(weight: torch.Tensor) -> bool:
    """Whether inputs are mixed: a depthwise convolution has one each."""
    return weight.ndim == 2 or (weight.ndim == 4 and weight.shape[1] > 1)
