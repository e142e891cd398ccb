"""torch's Muon, with its state; but matrices of one shape are made orthogonal together, which takes less time."""

from __future__ import annotations

from typing import cast

import torch

__all__ = ["Muon"]


class Muon(torch.optim.Muon):
    """See torch's."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move all matrices along their gradients."""
        del closure
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[torch.Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    alike.setdefault(tuple(sorted(weight.shape)), []).append(weight)
            for weights in alike.values():
                momenta = torch.stack([self._momentum(each, group["momentum"]) for each in weights])
                moves = _orthogonal(momenta, group["ns_coefficients"], group["ns_steps"], group["eps"])
                for weight, move in zip(weights, moves, strict=True):
                    rate = group["lr"] * max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(move if move.shape == weight.shape else move.T, alpha=-rate)

    def _momentum(self, weight: torch.Tensor, kept: float) -> torch.Tensor:
        """Nesterov's, in half precision, and so turned that it is no taller than wide."""
        state, gradient = self.state[weight], cast("torch.Tensor", weight.grad)
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum = state["momentum_buffer"].lerp_(gradient, 1 - kept)
        ahead = gradient.lerp(momentum, kept).bfloat16()
        return ahead.T if ahead.shape[0] > ahead.shape[1] else ahead


def _orthogonal(
    matrices: torch.Tensor, coefficients: tuple[float, float, float], steps: int, least: float
) -> torch.Tensor:
    """Roughly the orthogonal matrices that are nearest to some (n, rows, columns), no taller than wide, by Newton-Schulz's iteration."""
    a, b, c = coefficients
    found = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=least)
    for _ in range(steps):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found
