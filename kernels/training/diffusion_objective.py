"""Objective of a conditional diffusion model of a release's stamps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from kernels.attributes import mirror_image, scaled
from kernels.diffusion import diffusion_loss
from kernels.stretch import noise_level
from kernels.training.degrade import degraded
from kernels.training.objectives import Objective
from kernels.training.turns import CHANCES, turned

if TYPE_CHECKING:
    from kernels.diffusion_model import Description
    from kernels.training.recipe import Recipe

__all__ = ["DiffusionObjective"]

_UNCONDITIONAL, _ALL_GIVEN = 0.1, 0.5
"""Shares of stamps that are trained unconditionally, and with all known attributes; the others get a random part of them."""


class DiffusionObjective(Objective):
    """A conditional denoiser for all noise levels.

    Parameters
    ----------
    description : Description
        Attributes in the order: those of the release, `noise` of each band, `psf`.
    recipe : Recipe
    degrade : float
        Share of the stamps that are blurred and made noisier.
    """

    def __init__(self, description: Description, recipe: Recipe, degrade: float) -> None:
        super().__init__()
        self.net, self.description, self.recipe, self.degrade = (
            description.build(),
            description,
            recipe,
            degrade,
        )

    def forward(
        self, stamps: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of stamps (n, b, y, x), as `Brightness.forward` gives them, and nothing else.

        Targets (n, 2 labels) are the release's attributes, in their own units, and their confidence; NaN where unknown.
        """
        brightness, attributes = self.description.brightness, self.description.attributes
        labels, sure = targets.float().chunk(2, dim=1)
        fluxes, blur = degraded(brightness.inverse(stamps), self.degrade, generator)
        # blurs add in squares to the release's own PSF, the least that `psf` can be
        psf = (attributes[-1].low ** 2 + blur[:, None].square()).sqrt()
        values = scaled(torch.cat([labels, noise_level(fluxes), psf], dim=1), attributes)
        confidence = torch.cat([sure, torch.ones_like(values[:, sure.shape[1] :])], dim=1)
        drawn = torch.rand(CHANCES, len(fluxes), generator=generator, device=fluxes.device)
        stamps, mirrored = turned(brightness.forward(fluxes), drawn)
        values = torch.where(mirrored[:, None], mirror_image(values, attributes), values)
        values, confidence = _withheld(values, confidence, generator)
        half = self.recipe.precision == "bfloat16"
        with torch.autocast(stamps.device.type, torch.bfloat16, enabled=half):
            return diffusion_loss(self.net, stamps, values, confidence, generator), {}


def _withheld(
    values: torch.Tensor, confidence: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attributes made unknown at random: so the model can be used with any subset of them."""
    rate = torch.rand(len(values), 1, generator=generator, device=values.device)
    rate = torch.where(
        rate < _ALL_GIVEN, 0.0, ((rate - _ALL_GIVEN) / (1 - _ALL_GIVEN - _UNCONDITIONAL)).clamp(max=1.0)
    )
    withheld = torch.rand(values.shape, generator=generator, device=values.device) < rate
    return values.masked_fill(withheld, torch.nan), confidence.masked_fill(withheld, 0.0)
