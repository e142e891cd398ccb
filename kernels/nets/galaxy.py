"""galaxy-atto: a small ConvNeXt behind a round window, for stamps of any number of bands.

The window fades the corners out, so that a turned galaxy shows the same pixels; bands, in the order of their wavelengths,
bluest first, are brought to the network's three channels, so that one set of weights serves every survey. ConvNeXt: Liu et al.,
arXiv:2201.03545, in the size that timm calls atto.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["CHANNELS", "GalaxyAtto", "band_mixture", "round_window"]

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


class GalaxyAtto(nn.Module):
    """(n, bands, side, side) -> (n, 320).

    Parameters
    ----------
    bands : int
        In the order of their wavelengths, bluest first.
    """

    def __init__(self, bands: int = CHANNELS) -> None:
        super().__init__()
        from kernels.nets import create  # noqa: PLC0415

        # layers take part from the first step on: timm's scale of 1e-6 is meant for long trainings
        self.backbone = create("timm:convnext_atto", bands=CHANNELS, ls_init_value=1.0)
        self.features = int(self.backbone.num_features)  # type: ignore[arg-type]
        self.register_buffer("mixture", band_mixture(bands), persistent=False)

    def forward(self, stamps: torch.Tensor) -> torch.Tensor:
        channels = stamps
        if stamps.shape[1] != CHANNELS:
            channels = torch.einsum("cb,nbyx->ncyx", self.mixture.to(stamps.dtype), stamps)
        window = round_window(stamps.shape[-1]).to(stamps)
        features: torch.Tensor = self.backbone(
            (channels * window).contiguous(memory_format=torch.channels_last)
        )
        return features
