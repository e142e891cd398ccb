"""What can be trained: one object for each kind of network, with everything that differs between them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from rich.markup import escape

from catalogs import storage
from kernels.nets.weights import half_precision
from pipeline.console import console

if TYPE_CHECKING:
    import torch
    from torch import nn

    from catalogs.errors import Fault
    from kernels.training.objectives import Objective
    from kernels.training.recipe import Recipe
    from kernels.training.teacher import Teacher
    from pipeline.config.file import Config
    from pipeline.training.dataset import Dataset
    from pipeline.training.job import TrainingJob
    from pipeline.training.sampler import Datasets


class Trainable(ABC):
    """One thing that `tuningfork train` can train. It has no state."""

    name: str
    """In the command, and of the file of weights."""
    unused_keys: frozenset[str]
    """Keys of `[train]` that mean nothing to it."""
    one_release = False
    """Whether it learns from one release only."""
    least_steps = 0
    """Of an epoch: where there are fewer objects, they are learned from more than once."""

    finishes = False
    """Whether there is something to do after the last step."""

    @property
    def weights_file(self) -> str:
        """Name of the file that a training writes as it goes."""
        return f"{self.name}.safetensors"

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

    def faults(self, datasets: Datasets, source: str) -> list[Fault]:
        """What is wrong with these releases together."""
        del datasets, source
        return []

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

    def begin(self, objective: Objective, stamps: torch.Tensor, targets: torch.Tensor) -> None:
        """Give an untrained objective a good start by the first window of a process; with `least_steps` only."""
        del objective, stamps, targets

    def unseen(self, job: TrainingJob) -> Datasets | None:
        """Objects that are not learned from, by whose loss a training stops; None: it goes on to its end."""
        del job
        return None

    def finish(self, job: TrainingJob) -> None:
        """What is done when a training has ended; runs with the resources of a training process."""
        del job

    def weights(self, job: TrainingJob, net: nn.Module) -> bytes:
        """The file that the training is for."""
        del job
        return half_precision(net)

    @abstractmethod
    def usage(self, weights: str) -> list[str]:
        """Lines that say how the weights at this path are used."""

    def show(self, out: str, rows: list[dict[str, float]]) -> None:
        """Say what came out in a folder, given the training's history."""
        weights = escape(storage.join(out, self.weights_file))
        console.print(f"weights: {weights}, loss {rows[-1]['loss']:.4f}; use them by", soft_wrap=True)
        for line in self.usage(weights):
            console.print(f"  {escape(line)}", soft_wrap=True)
