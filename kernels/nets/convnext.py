"""ConvNeXt in the form that timm calls atto, the trunk of galaxy-atto: every process encodes with it, and importing timm takes two seconds.

Names of weights, their untrained values and what it computes are those of timm's `convnext_atto` with `ls_init_value = 1`, bit for bit.
Liu et al., arXiv:2201.03545; stochastic depth: Huang et al., arXiv:1603.09382.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import nn

__all__ = ["ConvNeXt"]

_DEPTHS = (2, 2, 6, 2)


class ConvNeXt(nn.Module):
    """(n, channels, side, side) -> (n, dims[-1]).

    Parameters
    ----------
    channels : int
        Of the input.
    dims : tuple of int
        Channels of the four stages.
    drop_path : float
        The share of samples, growing from 0 to this with the depth, that skip a block in training.
    """

    def __init__(self, channels: int, dims: tuple[int, ...], drop_path: float) -> None:
        super().__init__()
        self.num_features = dims[-1]
        self.stem = nn.Sequential(nn.Conv2d(channels, dims[0], 4, stride=4), _ChannelNorm(dims[0]))
        shares = torch.linspace(0, drop_path, sum(_DEPTHS), device="cpu").split(_DEPTHS)
        self.stages = nn.Sequential(
            *(
                _Stage(before, width, of_stage.tolist())
                for before, width, of_stage in zip((dims[0], *dims), dims, shares, strict=False)
            )
        )
        self.head = nn.Sequential(OrderedDict(norm=_ChannelNorm(dims[-1])))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                _draw(layer)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.stages(self.stem(images))
        pooled: torch.Tensor = self.head(maps.mean((2, 3), keepdim=True))
        return pooled.flatten(1)


def _draw(layer: nn.Conv2d) -> None:
    """Weights from a normal distribution of deviation 0.02, as timm draws them; no bias."""
    with torch.no_grad():
        layer.weight.uniform_(-1, 1).erfinv_().mul_(0.02 * math.sqrt(2)).clamp_(-2, 2)
        if layer.bias is not None:
            layer.bias.zero_()


class _Stage(nn.Module):
    """(n, before, side, side) -> (n, width, side / 2, side / 2); the first stage keeps the side."""

    def __init__(self, before: int, width: int, drop_path: list[float]) -> None:
        super().__init__()
        self.downsample: nn.Module = nn.Identity()
        if before != width:
            self.downsample = nn.Sequential(_ChannelNorm(before), nn.Conv2d(before, width, 2, stride=2))
        self.blocks = nn.Sequential(*(_Block(width, share) for share in drop_path))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        halved: torch.Tensor = self.blocks(self.downsample(maps))
        return halved


class _Block(nn.Module):
    """(n, width, side, side), shape kept: depthwise 7 x 7, norm, two pointwise layers, scaled and added."""

    def __init__(self, width: int, drop_path: float) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = _ChannelNorm(width)
        layers = OrderedDict[str, nn.Module]()
        layers["fc1"] = nn.Conv2d(width, 4 * width, 1)
        layers["act"] = nn.GELU()
        layers["fc2"] = nn.Conv2d(4 * width, width, 1)
        self.mlp = nn.Sequential(layers)
        self.gamma = nn.Parameter(torch.ones(width))
        self._drop_path = drop_path

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        change = self.mlp(self.norm(self.conv_dw(maps)))
        return self._dropped(change.mul(self.gamma.reshape(1, -1, 1, 1))) + maps

    def _dropped(self, change: torch.Tensor) -> torch.Tensor:
        if not self.training or self._drop_path == 0:
            return change
        kept = 1 - self._drop_path
        return change * change.new_empty((len(change), 1, 1, 1)).bernoulli_(kept).div_(kept)


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of (n, channels, y, x)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
