"""galaxy-atto: a small ConvNeXt behind a round window, for stamps of any number of bands.

The window fades the corners out, so that a turned galaxy shows the same pixels; bands, in the order of their wavelengths,
bluest first, are brought to the network's three channels, so that one set of weights serves every survey. ConvNeXt: Liu et al.,
arXiv:2201.03545, in the size that timm calls atto.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CHANNELS", "GalaxyAtto", "band_mixture", "band_order", "round_window"]

CHANNELS = 3
# Central wavelengths in nm, of filters by their usual names; F606W and its like carry theirs.
_FILTERS = {
    "u": 360,
    "b": 440,
    "g": 480,
    "v": 550,
    "r": 625,
    "i": 770,
    "z": 900,
    "y": 1000,
    "j": 1250,
    "h": 1650,
    "k": 2200,
    "ks": 2200,
    "nuv": 230,
    "fuv": 150,
    "vis": 720,
}
_HST = re.compile(r"f(\d{3})[wmlxn]p?2?")
_INFRARED = 200  # F160W is 1,600 nm, F225W 225 nm
_JWST = {
    "f200w",
    "f210m",
    "f250m",
    "f277w",
    "f300m",
    "f335m",
    "f356w",
    "f360m",
    "f410m",
    "f430m",
    "f444w",
    "f460m",
}


def band_order(names: Sequence[str]) -> list[int] | None:
    """Where to find the bands in the order of their wavelengths, bluest first; None if a name is unknown.

    Names are those of filters (u, g, r, Ks, F606W, r_sdss, sdss-r, …), in capitals or not.
    """
    lengths = [_wavelength(name) for name in names]
    if None in lengths:
        return None
    return sorted(range(len(names)), key=lambda band: lengths[band] or 0)


def _wavelength(name: str) -> float | None:
    for word in re.split(r"[^a-z0-9]+", name.lower()):
        if word in _FILTERS:
            return _FILTERS[word]
        if found := _HST.fullmatch(word):
            number = int(found[1])
            return 10 * number if number < _INFRARED or word in _JWST else number
    return None


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

        self.backbone = create("timm:convnext_atto", bands=CHANNELS)
        self.features = int(self.backbone.num_features)  # type: ignore[arg-type]
        self.register_buffer("mixture", band_mixture(bands), persistent=False)

    def forward(self, stamps: torch.Tensor) -> torch.Tensor:
        channels = torch.einsum("cb,nbyx->ncyx", self.mixture.to(stamps.dtype), stamps)
        window = round_window(stamps.shape[-1]).to(stamps)
        features: torch.Tensor = self.backbone(
            (channels * window).contiguous(memory_format=torch.channels_last)
        )
        return features
