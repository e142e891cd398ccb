"""Teaching a predictor: an encoder and its heads learn together from what people saw in galaxies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from kernels import tree_votes
from kernels.training.fine_tuning import FineTuningOptimiser
from kernels.training.gentle_views import ViewSettings, gentle_view, plain_view
from kernels.training.labels import loss_sums, mean_loss
from kernels.training.objectives import Objective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernels.heads.head import Head
    from kernels.training.recipe import Recipe
    from kernels.trees import Tree

__all__ = ["PredictorNet", "PredictorObjective", "TeachingSettings", "with_drop_path"]

_BATCH = 128


@dataclass(frozen=True)
class TeachingSettings:
    """How a predictor is taught.

    Attributes
    ----------
    network_rate
        Rate of the network as a share of the heads'.
    layer_decay
        Factor of the rate from each block of the network to the one before it.
    smoothing
        Share of a class label that is spread over all classes.
    mixup
        Parameter of the Beta distribution that two stamps of a batch are mixed by (Zhang et al. 2018, arXiv:1710.09412); 0: they are not.
    dropout
        Share of the codes that heads don't see.
    views
        How far views are from stamps.
    """

    network_rate: float = 0.2
    layer_decay: float = 0.9
    smoothing: float = 0.0
    mixup: float = 0.0
    dropout: float = 0.0
    views: ViewSettings = field(default_factory=ViewSettings)


class PredictorNet(nn.Module):
    """An encoder and one linear layer for all heads: (n, b, side, side) -> (n, widths of all heads)."""

    def __init__(self, network: nn.Module, features: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.network, self.drop = network, nn.Dropout(dropout)
        self.heads = nn.Linear(features, outputs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        codes = self.network(images.contiguous(memory_format=torch.channels_last))
        answers: torch.Tensor = self.heads(self.drop(codes))
        return answers


class PredictorObjective(Objective):
    """A predictor's network with all that it is trained with.

    Parameters
    ----------
    net : PredictorNet
    side : int
        Of what the network sees, pixels.
    heads : sequence of Head
        In the order of the net's outputs.
    recipe : Recipe
    settings : TeachingSettings
    normalisation : ((1, b, 1, 1), (1, b, 1, 1)) float tensors, optional
        Mean and deviation that are taken out before the network.
    trees : sequence of (first head, Tree)
        Trees whose loss is the squared error of the products along it, not each question's likelihood.
    """

    net: PredictorNet
    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self,
        net: PredictorNet,
        side: int,
        heads: Sequence[Head],
        recipe: Recipe,
        settings: TeachingSettings,
        normalisation: tuple[torch.Tensor, torch.Tensor] | None = None,
        trees: Sequence[tuple[int, Tree]] = (),
    ) -> None:
        super().__init__()
        self.net, self.side, self.recipe, self.settings = net, side, recipe, settings
        self.heads, self.trees = tuple(heads), tuple(trees)
        mean, deviation = normalisation or (torch.zeros(()), torch.ones(()))
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("deviation", deviation, persistent=False)

    def optimiser(self) -> FineTuningOptimiser:
        """Slower for the network than for the heads, slowest where it sees pixels."""
        return FineTuningOptimiser(
            self.net.network,
            self.net.heads,
            self.recipe.weight_decay,
            self.settings.network_rate,
            self.settings.layer_decay,
        )

    def forward(
        self, stamps: torch.Tensor, targets: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Loss of prepared stamps (n, b, y, x) and targets (n, widths of all heads), and no parts of it."""
        images = gentle_view(stamps, self.side, self.settings.views, generator)
        share = self._share(generator)
        others = torch.randperm(len(images), generator=generator, device=images.device)
        if share < 1:
            images = share * images + (1 - share) * images[others]
        # dropout and stochastic depth draw from torch's own generator: a resumed training draws the same
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator, device=stamps.device)))
        outputs = self._outputs(self.net, images)
        loss = mean_loss(self.heads, self._sums(outputs, targets, self.settings.smoothing))
        if share < 1:
            mixed = mean_loss(self.heads, self._sums(outputs, targets[others], self.settings.smoothing))
            loss = share * loss + (1 - share) * mixed
        return loss, {}

    def _share(self, generator: torch.Generator) -> float:
        """Of a stamp in a mixture of two, from a Beta distribution, at least a half."""
        if not self.settings.mixup:
            return 1.0
        # Johnk's method: torch's own Beta takes no generator
        while True:
            u, v = (
                torch.rand(2, generator=generator, device=generator.device, dtype=torch.float64)
                .pow(1 / self.settings.mixup)
                .tolist()
            )
            if 0 < u + v <= 1:
                return float(max(u, v) / (u + v))

    @torch.no_grad()
    def codes(self, stamps: torch.Tensor) -> torch.Tensor:
        """Codes (n, features) float32 of prepared stamps as they are."""
        self.net.eval()
        found = [
            self._outputs(self.net.network, plain_view(part, self.side)) for part in stamps.split(_BATCH)
        ]
        self.net.train()
        return torch.cat(found)

    @torch.no_grad()
    def unseen_sums(self, net: nn.Module, stamps: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Sums of losses and weights (heads, 2) of objects as they are, by this net; for `mean_loss`."""
        total = torch.zeros(len(self.heads), 2, device=stamps.device)
        for part, wanted in zip(stamps.split(_BATCH), targets.split(_BATCH), strict=True):
            total += self._sums(self._outputs(net, plain_view(part, self.side)), wanted, 0.0)
        return total

    def _outputs(self, net: nn.Module, images: torch.Tensor) -> torch.Tensor:
        half = self.recipe.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            found: torch.Tensor = net((images - self.mean) / self.deviation)
        return found.float()

    def _sums(self, outputs: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
        sums = loss_sums(self.heads, outputs, targets, smoothing)
        for first, tree in self.trees:
            start = sum(head.width for head in self.heads[:first])
            of = slice(start, start + len(tree.columns))
            sums[first : first + len(tree.questions)] = _challenge(tree, outputs[:, of], targets[:, of])
        return sums


def _challenge(tree: Tree, scores: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Sum over objects of the squared errors of a tree's products, and number of objects, (2,)."""
    known = counts.isfinite().all(dim=1)
    wanted = tree_votes.products(tree, tree_votes.fractions_of(tree, counts))
    wanted = torch.where(known[:, None], wanted, torch.nan)
    missed = tree_votes.challenge_loss(tree, tree_votes.softmax(tree, scores), wanted)
    objects = known.sum()
    return torch.stack([missed * len(tree.columns) * objects, objects.to(missed.dtype)])


def with_drop_path(network: nn.Module, most: float) -> None:
    """Give a timm network stochastic depth (Huang et al. 2016, arXiv:1603.09382), from 0 at its first block to `most` at its last.

    Networks whose blocks have no place for it stay as they are.
    """
    from kernels.nets import _torchvision  # noqa: PLC0415

    _torchvision.install()
    from timm.layers import DropPath  # noqa: PLC0415

    places = [
        (block, name)
        for block in network.modules()
        for name in ("drop_path", "drop_path1", "drop_path2")
        if isinstance(getattr(block, name, None), nn.Identity | DropPath)
    ]
    for number, (block, name) in enumerate(places):
        setattr(block, name, DropPath(most * number / max(1, len(places) - 1)))
