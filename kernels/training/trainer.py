"""Steps of a training, of whatever is learned: optimiser, schedule, running average, and a state to resume from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from kernels.training.recipe import learning_rate

if TYPE_CHECKING:
    from kernels.training.objectives import Objective

__all__ = ["Training"]


class Training:
    """An objective's optimiser, average and steps; `state` and `restore` make it resumable to the bit.

    Parameters
    ----------
    objective : Objective
        Of `kernels.training.objectives`, or one wrapped for several processes (DistributedDataParallel).
    averaged : nn.Module
        Net whose weights follow those of the objective's as an exponential moving average.
    """

    def __init__(self, objective: nn.Module, averaged: nn.Module, seed: int) -> None:
        self.objective, self.averaged, self.seed, self.step_number = objective, averaged, seed, 0
        wrapped = (
            objective.module if isinstance(objective, nn.parallel.DistributedDataParallel) else objective
        )
        self.core = cast("Objective", wrapped)
        self.optimiser = self.core.optimiser()

    def step(
        self, stamps: torch.Tensor, targets: torch.Tensor, progress: float, rank: int = 0, epoch: int = 0
    ) -> dict[str, torch.Tensor]:
        """Learn from one batch: stamps (n, b, y, x), targets (n, answers); `progress` from 0 to 1 sets the rate."""
        recipe, self.core.epoch = self.core.recipe, epoch
        # Views depend on the step alone, so that a resumed training draws the same ones.
        generator = torch.Generator(stamps.device).manual_seed(
            hash((self.seed, self.step_number, rank)) & (2**62 - 1)
        )
        loss, parts = self.objective(stamps, targets, generator)
        self.objective.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.objective.parameters(), recipe.clip)
        self.optimiser.step(learning_rate(progress, recipe))
        self.step_number += 1
        self._average()
        return {"loss": loss.detach(), **parts, "gradient": norm}

    def _average(self) -> None:
        # a young average would remember the untrained weights
        keep = min(self.core.recipe.ema, self.step_number / (self.step_number + 10))
        with torch.no_grad():
            for mean, now in zip(self.averaged.parameters(), self.core.net.parameters(), strict=True):
                mean.lerp_(now, 1 - keep)
            # running means of norms are averages already
            for kept, running in zip(self.averaged.buffers(), self.core.net.buffers(), strict=True):
                kept.copy_(running)

    def state(self) -> dict[str, Any]:
        """All that goes on changing."""
        return {
            "objective": self.core.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step_number,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        self.core.load_state_dict(state["objective"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step_number = state["step"]
