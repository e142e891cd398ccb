"""Objective of an autoregressive network: every token of every modality is predicted from those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kernels.training.objectives import Objective
from kernels.training.token_loss import token_loss
from kernels.training.turns import turned

if TYPE_CHECKING:
    from kernels.nets.autoregressive import Autoregressive
    from kernels.training.recipe import Recipe

__all__ = ["AutoregressiveObjective"]


class AutoregressiveObjective(Objective):
    """The mean of the modalities' losses, each the mean over its values.

    Parameters
    ----------
    net : Autoregressive
    recipe : Recipe
    components : int
        See `kernels.training.token_loss.token_loss`.
    """

    def __init__(self, net: Autoregressive, recipe: Recipe, components: int) -> None:
        super().__init__()
        self.net: Autoregressive = net
        self.recipe, self.components = recipe, components

    def forward(
        self, stamps: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of images (n, b, y, x), as `Autoregressive.images` gives them, and rows of other modalities (n, width); and that of each modality.

        Stamps are turned and mirrored, and each object's modalities come in an order of their own.
        """
        names = self.net.modalities.names
        order = torch.rand(len(stamps), len(names), generator=generator, device=stamps.device).argsort(dim=1)
        images, _ = turned(stamps.float(), generator)
        rows = targets if targets.shape[1] else None
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            predicted = self.net.predicted(images, rows, order)
        losses = {
            each.name: token_loss(each.outputs, each.tokens.values, each.tokens.weights, self.components)
            for each in predicted
        }
        parts = {name: loss.detach() for name, loss in losses.items()}
        return torch.stack(list(losses.values())).mean(), parts
