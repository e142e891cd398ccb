"""Training objectives: an encoder from views of galaxies and their labels, a denoiser from clean stamps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from kernels.denoise import denoising_loss
from kernels.training.labels import LabelHeads
from kernels.training.optimiser import Optimiser
from kernels.training.vicreg import Expander, vicreg_loss
from kernels.training.views import view

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernels.heads.head import Head
    from kernels.training.recipe import Recipe

__all__ = ["DenoiserObjective", "EncoderObjective", "Objective", "Steps"]


class Steps(Protocol):
    """An optimiser whose rate is given with each step."""

    def step(self, rate: float) -> None:
        """Move all weights along their gradients."""

    def state_dict(self) -> list[dict[str, Any]]:
        """All that goes on changing."""

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Continue from a `state_dict`."""


class Objective(nn.Module):
    """A network with all that it is trained with; called with a batch it gives the loss and its parts."""

    net: nn.Module
    recipe: Recipe
    epoch: int = 0
    """How often the data have been gone through, for random numbers that are each object's own."""

    def optimiser(self) -> Steps:
        """What moves its weights."""
        within = set(map(id, self.net.parameters()))
        others = [p for p in self.parameters() if id(p) not in within]
        return Optimiser(self.net, others, self.recipe.weight_decay)


class EncoderObjective(Objective):
    """An encoder with all that it is trained with.

    Parameters
    ----------
    net : nn.Module
        (n, 3, side, side) -> (n, features).
    features, side : int
    heads : sequence of Head
        Label targets of the releases; none: self-supervised.
    recipe : Recipe
    teacher_features : int
        Number of a teacher's features, the last columns of the targets; 0: no teacher.
    """

    def __init__(
        self,
        net: nn.Module,
        features: int,
        side: int,
        heads: Sequence[Head],
        recipe: Recipe,
        teacher_features: int = 0,
    ) -> None:
        super().__init__()
        self.net, self.side, self.recipe = net, side, recipe
        self.expander = Expander(features)
        self.labels = LabelHeads(features, heads) if heads else None
        self.retold = nn.Linear(features, teacher_features) if teacher_features else None

    def forward(
        self, stamps: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of prepared stamps (n, 3, y, x) and targets (n, label targets and a teacher's features), and its parts."""
        teacher_features = 0 if self.retold is None else self.retold.out_features
        targets, shown = targets.split([targets.shape[1] - teacher_features, teacher_features], dim=1)
        first, second = (view(stamps, self.side, generator) for _ in range(2))
        kind = first.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            embeddings = self.net(torch.cat([first, second]).contiguous(memory_format=torch.channels_last))
            expanded = self.expander(embeddings)
        loss = vicreg_loss(*expanded.chunk(2)) / 25
        parts = {"self": loss.detach()}
        if self.labels is not None:
            label_loss = self.labels(embeddings.float(), torch.cat([targets, targets]))
            parts["labels"] = label_loss.detach()
            loss = loss + self.recipe.label_weight * label_loss
        if self.retold is not None:
            missed = functional.mse_loss(self.retold(embeddings.float()), torch.cat([shown, shown]))
            parts["teacher"] = missed.detach()
            loss = loss + self.recipe.teacher_weight * missed
        return loss, parts


class DenoiserObjective(Objective):
    """A denoiser; takes clean stamps (n, 1, y, x) of any unit.

    Each is turned by a multiple of 90 degrees and mirrored or not; one of `blank` becomes empty sky.
    """

    def __init__(self, net: nn.Module, recipe: Recipe, blank: float = 0.1) -> None:
        super().__init__()
        self.net, self.recipe, self.blank = net, recipe, blank

    def forward(
        self, stamps: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of clean stamps, and nothing else; there are no targets."""
        del targets
        clean = stamps.float()
        turns = torch.rand(3, generator=generator, device=stamps.device) < 0.5
        for turned, move in zip(
            turns, (lambda x: x.flip(2), lambda x: x.flip(3), lambda x: x.mT), strict=True
        ):
            clean = move(clean) if turned else clean
        sky = torch.rand(len(clean), 1, 1, 1, generator=generator, device=stamps.device) < self.blank
        clean = torch.where(sky, 0.0, clean)
        return denoising_loss(self._answer, clean, generator), {}

    def _answer(self, stamps: torch.Tensor) -> torch.Tensor:
        half = self.recipe.precision == "bfloat16"
        with torch.autocast(stamps.device.type, torch.bfloat16, enabled=half):
            return self.net(stamps)
