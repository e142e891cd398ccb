"""viewpoints: the network that won the Galaxy Challenge, which looks at sixteen parts of a galaxy at once.

Dieleman, Willett & Dambre 2015 (arXiv:1503.07077): a stamp, the same turned by 45 degrees, and the mirror images of both are cut
into four corner parts, each turned so that the galaxy's centre lies at its lower right. One convolutional stack sees all
sixteen; dense maxout layers see what it found in all of them, side by side. A turn by 90 degrees or a mirror image only
changes which part comes first. Two things differ: the round window makes the turn by 45 degrees need nothing from outside
the stamp, and weights start by He's rule, which suits any width.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from kernels.nets.galaxy import CHANNELS, RoundView

__all__ = ["VIEWS", "Viewpoints", "corner_side", "diagonal_grid", "viewpoints"]

VIEWS = 16
_CORNER = 45 / 69  # side of a part over that of the stamp, as published
# kernel, channels in units of `width`, whether pooled: 45 pixels become 40, 20, 16, 8, 6, 4, 2
_LAYERS = ((6, 1, True), (5, 2, True), (3, 4, False), (3, 4, True))
_SMALLEST = 46


def corner_side(side: int) -> int:
    """Side of the corner parts of a stamp, pixels; they overlap around the centre."""
    return round(side * _CORNER)


def diagonal_grid(side: int) -> torch.Tensor:
    """Where to sample a stamp to turn it by 45 degrees, (1, side, side, 2) for `grid_sample`."""
    half = math.sqrt(0.5)
    turn = torch.tensor([[[half, -half, 0.0], [half, half, 0.0]]])
    return functional.affine_grid(turn, [1, 1, side, side], align_corners=False)


def viewpoints(stamps: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """(n, c, side, side) -> (n, VIEWS, c, corner, corner), by angle, mirror image and corner; `grid` is `diagonal_grid`."""
    diagonal = functional.grid_sample(stamps, grid.expand(len(stamps), -1, -1, -1), align_corners=False)
    corner = corner_side(stamps.shape[-1])
    return torch.stack(
        [
            whole.rot90(turns, dims=(2, 3))[..., :corner, :corner]
            for turned in (stamps, diagonal)
            for whole in (turned, turned.flip(3))
            for turns in range(4)
        ],
        dim=1,
    )


class Viewpoints(nn.Module):
    """(n, bands, size, size) -> (n, dense), the last maxout layer; the weights depend on `size`.

    Parameters
    ----------
    bands : int
        In the order of their wavelengths, bluest first.
    size : int
        Side of the input, pixels; 69 as published.
    width : int
        Channels of the first convolution.
    dense : int
        Features of each maxout layer, each the larger of two.
    dropout : float
        Share of the inputs of a dense layer that are left out in training.
    """

    grid: torch.Tensor

    def __init__(
        self,
        bands: int = CHANNELS,
        size: int = 69,
        *,
        width: int = 32,
        dense: int = 2048,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if size < _SMALLEST:
            raise ValueError(
                f"viewpoints needs an input of at least {_SMALLEST} pixels, not {size}: its layers leave nothing of smaller parts"
            )
        self.view = RoundView(bands)
        self.register_buffer("grid", diagonal_grid(size), persistent=False)
        channels, side, layers = CHANNELS, corner_side(size), list[nn.Module]()
        for kernel, widths, pools in _LAYERS:
            side -= kernel - 1
            layers += [_Convolution(channels, width * widths, kernel, side), nn.ReLU()]
            channels = width * widths
            if pools:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
                side = math.ceil(side / 2)
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            _Maxout(VIEWS * channels * side**2, dense, dropout), _Maxout(dense, dense, dropout)
        )

    def forward(self, stamps: torch.Tensor) -> torch.Tensor:
        parts = viewpoints(self.view(stamps), self.grid)
        found = self.convolutions(parts.flatten(0, 1).contiguous(memory_format=torch.channels_last))
        features: torch.Tensor = self.dense(found.reshape(len(stamps), -1))
        return features


class _Convolution(nn.Module):
    """A convolution whose bias differs from pixel to pixel."""

    def __init__(self, channels: int, wider: int, kernel: int, side: int) -> None:
        super().__init__()
        self.weights = nn.Conv2d(channels, wider, kernel, bias=False)
        self.bias = nn.Parameter(torch.zeros(wider, side, side))
        nn.init.kaiming_normal_(self.weights.weight, nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        convolved: torch.Tensor = self.weights(images)
        return convolved + self.bias


class _Maxout(nn.Module):
    """The larger of two linear functions, for each feature."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(inputs, 2 * outputs)
        nn.init.kaiming_normal_(self.linear.weight, nonlinearity="relu")
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.linear(self.dropout(features)).unflatten(1, (-1, 2)).amax(dim=2)
