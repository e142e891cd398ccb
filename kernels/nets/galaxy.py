"""galaxy-atto: a small ConvNeXt behind a round window, for stamps of any number of bands.

The window fades the corners out, so that a turned galaxy shows the same pixels; bands, in the order of their wavelengths,
bluest first, are brought to the network's three channels, so that one set of weights serves every survey. ConvNeXt: Liu et al.,
arXiv:2201.03545, in the size that timm calls atto.
"""

from __future__ import annotations

import torch
from torch import nn

from kernels.nets.convnext import ConvNeXt

__all__ = ["CHANNELS", "GalaxyAtto", "RoundView", "band_mixture", "round_window"]

CHANNELS = 3


def band_mixture(bands: int) -> torch.Tensor:
    """Matrix (CHANNELS, bands) of triangular filters; rows add up to 1.

    One band goes to every channel, two are interpolated, three are the channels, more are averaged.
    """
    at = torch.linspace(0, bands - 1, CHANNELS)[:, None]
    weights = (1 - (at - torch.arange(bands)[None]).abs() / max(1.0, (bands - 1) / 2)).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)


def round_window(side: int) -> torch.Tensor:
    """Window (side, side): 1 within 7/8 of the inscribed circle's radius, a half cosine to 0 at the circle."""
    line = (torch.arange(side) - (side - 1) / 2) / (side / 2)
    radius = (line[:, None] ** 2 + line[None] ** 2).sqrt()
    return 0.5 * (1 + (torch.pi * ((radius - 0.875) / 0.125).clamp(0, 1)).cos())


class RoundView(nn.Module):
    """(n, bands, side, side) -> (n, CHANNELS, side, side): bands mixed to channels behind the round window.

    Parameters
    ----------
    bands : int
        In the order of their wavelengths, bluest first.
    """

    mixture: torch.Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.register_buffer("mixture", band_mixture(bands), persistent=False)

    def forward(self, stamps: torch.Tensor) -> torch.Tensor:
        channels = stamps
        if stamps.shape[1] != CHANNELS:
            channels = torch.einsum("cb,nbyx->ncyx", self.mixture.to(stamps.dtype), stamps)
        window = round_window(stamps.shape[-1]).to(stamps)
        return (channels * window).contiguous(memory_format=torch.channels_last)


class GalaxyAtto(nn.Module):
    """(n, bands, side, side) -> (n, dims[-1]).

    Parameters
    ----------
    bands : int
        In the order of their wavelengths, bluest first.
    dims
        Channels of the four stages; the bundled weights are of the default.
    drop_path : float
        Stochastic depth: the share of samples, growing from 0 to this with the depth, that skip a block in training.
    """

    def __init__(
        self,
        bands: int = CHANNELS,
        *,
        dims: tuple[int, ...] = (40, 80, 160, 320),
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.view = RoundView(bands)
        self.backbone = ConvNeXt(CHANNELS, dims, drop_path)
        self.features = self.backbone.num_features

    def forward(self, stamps: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.backbone(self.view(stamps))
        return features
