"""Recipes: learning rate and its schedule, weight decay, averaging, and the weights of losses."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Recipe", "learning_rate"]


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
