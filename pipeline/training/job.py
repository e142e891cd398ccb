"""Everything that a training process needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kernels.training.recipe import Recipe
    from pipeline.config.training import Train
    from pipeline.training.sampler import Datasets


@dataclass(frozen=True)
class TrainingJob:
    """One training, resolved: it travels to its processes."""

    network: str
    """Name of a `pipeline.training.trainables.TRAINABLES`."""
    datasets: Datasets
    settings: Train
    recipe: Recipe
    out: str
    device: str
