"""What can be trained: one object for each kind of network, with everything that differs between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from kernels.nets.weights import half_precision

if TYPE_CHECKING:
    import torch
    from torch import nn

    from kernels.training.objectives import Objective
    from kernels.training.recipe import Recipe
    from kernels.training.teacher import Teacher
    from pipeline.config.file import Config
    from pipeline.training.dataset import Dataset
    from pipeline.training.job import TrainingJob


class Trainable(ABC):
    """One thing that `tuningfork train` can train. It has no state."""

    name: str
    """In the command, and of the file of weights."""
    unused_keys: frozenset[str]
    """Keys of `[train]` that mean nothing to it."""
    one_release = False
    """Whether it learns from one release only."""

    def settled(self, config: Config, folder: str, source: str) -> Config:
        """The first config with what it names resolved.

        Raises
        ------
        Refused
        """
        del folder, source
        return config

    @abstractmethod
    def dataset(self, config: Config, folder: str, source: str, side: int) -> Dataset:
        """What is learned of a release, by stamps of this side where the network sees them resized.

        Raises
        ------
        Refused
            With everything that is wrong.
        """

    @abstractmethod
    def recipe(self, config: Config, precision: str) -> Recipe:
        """How it is trained."""

    def teacher(self, job: TrainingJob, device: torch.device) -> Teacher | None:
        """A network that it learns from, beside labels."""
        del job, device
        return None

    @abstractmethod
    def objective(self, job: TrainingJob, teacher_features: int) -> Objective:
        """The untrained network with its loss; `teacher_features` is the length of a teacher's features, 0 without a teacher."""

    def weights(self, job: TrainingJob, net: nn.Module) -> bytes:
        """The file that the training is for."""
        del job
        return half_precision(net)

    @abstractmethod
    def usage(self, weights: str) -> list[str]:
        """Lines that say how the weights at this path are used."""
