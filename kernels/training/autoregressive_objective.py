"""Objective of an autoregressive network: every token of every modality is predicted from those before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kernels.training.draws import draws
from kernels.training.objectives import Objective
from kernels.training.token_loss import token_loss
from kernels.training.turns import CHANCES, turned

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
    seed : int
        Of what an object's id and the epoch decide.
    """

    def __init__(self, net: Autoregressive, recipe: Recipe, components: int, seed: int = 0) -> None:
        super().__init__()
        self.net: Autoregressive = net
        self.recipe, self.components, self.seed = recipe, components, seed

    def forward(
        self, stamps: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of images (n, b, y, x), as `Autoregressive.images` gives them, and that of each modality.

        The other modalities (n, width), and behind them the objects' `kernels.training.draws.keys`, are the targets. How a stamp is turned and mirrored, and in which
        order an object's modalities come, follows from its id and the epoch.
        """
        del generator
        rows, objects = targets[:, :-1], targets[:, -1]
        modalities = len(self.net.modalities.names)
        drawn = draws(objects, self.epoch, self.seed, CHANCES + modalities)
        order = drawn[:, CHANCES:].argsort(dim=1)
        images, _ = turned(stamps.float(), drawn[:, :CHANCES].T)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            predicted = self.net.predicted(images, rows if rows.shape[1] else None, order)
        losses = {
            each.name: token_loss(each.outputs, each.tokens.values, each.tokens.weights, self.components)
            for each in predicted
        }
        parts = {name: loss.detach() for name, loss in losses.items()}
        return torch.stack(list(losses.values())).mean(), parts
