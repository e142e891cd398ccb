"""Steps of a training, of whatever is learned: optimiser, schedule, running average, and a state to resume from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from kernels.training.optimiser import Optimiser

if TYPE_CHECKING:
    from kernels.training.objectives import Learner

__all__ = ["Recipe", "Training", "learning_rate"]


@dataclass(frozen=True)
class Recipe:
    """How an encoder is trained."""

    rate: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 0.05
    clip: float = 5.0
    ema: float = 0.995
    label_weight: float = 6.0
    teacher_weight: float = 3.0
    precision: str = "bfloat16"


def learning_rate(progress: float, recipe: Recipe) -> float:
    """Linear warm-up, then a half cosine to zero; `progress` runs from 0 to 1."""
    if progress < recipe.warmup:
        return recipe.rate * progress / recipe.warmup
    return recipe.rate * 0.5 * (1 + math.cos(math.pi * (progress - recipe.warmup) / (1 - recipe.warmup)))


class Training:
    """A learner's optimiser, average and steps; `state` and `restore` make it resumable to the bit.

    Parameters
    ----------
    learner : Learner
        Of `kernels.training.objectives`, or one wrapped for several processes (DistributedDataParallel).
    averaged : nn.Module
        Net whose weights follow those of the learner's as an exponential moving average.
    """

    def __init__(self, learner: nn.Module, averaged: nn.Module, seed: int) -> None:
        self.learner, self.averaged, self.seed, self.step_number = learner, averaged, seed, 0
        wrapped = learner.module if isinstance(learner, nn.parallel.DistributedDataParallel) else learner
        self.core = cast("Learner", wrapped)
        within = set(map(id, self.core.net.parameters()))
        others = [p for p in learner.parameters() if id(p) not in within]
        self.optimiser = Optimiser(self.core.net, others, self.core.recipe.weight_decay)

    def step(
        self, stamps: torch.Tensor, targets: torch.Tensor, progress: float, rank: int = 0
    ) -> dict[str, torch.Tensor]:
        """Learn from one batch: stamps (n, b, y, x), targets (n, answers); `progress` from 0 to 1 sets the rate."""
        recipe = self.core.recipe
        # Views depend on the step alone, so that a resumed training draws the same ones.
        generator = torch.Generator(stamps.device).manual_seed(
            hash((self.seed, self.step_number, rank)) & (2**62 - 1)
        )
        loss, parts = self.learner(stamps, targets, generator)
        self.learner.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.learner.parameters(), recipe.clip)
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

    def state(self) -> dict[str, Any]:
        """All that goes on changing."""
        return {
            "learner": self.core.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step_number,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        self.core.load_state_dict(state["learner"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step_number = state["step"]
