"""galaxy-dit: a diffusion transformer that draws stamps of a wanted morphology, small enough for a CPU.

A DiT (Peebles & Xie, arXiv:2212.09748) on few large patches, told what to draw by adaptive layer norms whose modulation all blocks
share (adaLN-single of PixArt-alpha, arXiv:2310.00426). Patches are wide for the few tokens that a CPU can afford, so what the tokens say
goes through a thin skin of convolutions at full resolution: it sees the noisy pixels themselves, and hides the patches' seams.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

__all__ = ["GalaxyDiT"]

_FREQUENCIES = 32


class GalaxyDiT(nn.Module):
    """Velocity (n, bands, size, size) of noisy stamps, of a time, a condition and its confidence.

    Parameters
    ----------
    bands, size : int
        Of the stamps, pixels.
    attributes : int
        Length of a condition.
    width, depth, heads : int
        Channels of a token, blocks, and heads of attention.
    patch : int
        Side of a token's patch, pixels; divides `size`.
    skin : int
        Channels of the convolutions at full resolution.
    """

    def __init__(
        self,
        bands: int,
        size: int,
        attributes: int,
        width: int = 192,
        depth: int = 6,
        heads: int = 6,
        patch: int = 8,
        skin: int = 16,
    ) -> None:
        super().__init__()
        if size % patch or width % heads:
            raise ValueError(
                f"size {size} is no multiple of patch {patch}, or width {width} none of heads {heads}"
            )
        self.patch, self.side = patch, size // patch
        self.time = nn.Sequential(nn.Linear(2 * _FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.wish = nn.Sequential(nn.Linear(3 * attributes, width), nn.SiLU(), nn.Linear(width, width))
        self.modulate = nn.Linear(width, 6 * width)
        self.read = nn.Conv2d(bands, width, patch, stride=patch)
        self.places = nn.Parameter(_waves(size // patch, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.write = nn.Linear(width, bands * patch * patch)
        self.skin = Skin(bands, skin, width)
        for weight in (*self.modulate.parameters(), *self.write.parameters()):
            nn.init.zeros_(weight)

    def forward(
        self, noisy: torch.Tensor, time: torch.Tensor, values: torch.Tensor, confidence: torch.Tensor
    ) -> torch.Tensor:
        """Noisy stamps (n, b, y, x), time (n,) from 0 (data) to 1 (noise), values (n, attributes) in [-1, 1], NaN where
        unknown, and confidence (n, attributes) in [0, 1].
        """
        n, _, y, x = noisy.shape
        told = functional.silu(self._told(time, values, confidence))  # (n, w)
        shared = self.modulate(told).view(n, 1, 6, -1)  # (n, 1, 6, w)
        tokens = self.read(noisy).flatten(2).mT + self.places  # (n, t, w)
        for block in self.blocks:
            tokens = block(tokens, shared, self.side)
        patches = self.write(functional.layer_norm(tokens, tokens.shape[-1:]))  # (n, t, b p p)
        rough = functional.fold(patches.mT, (y, x), self.patch, stride=self.patch)  # (n, b, y, x)
        return rough + self.skin(torch.cat([noisy, rough], dim=1), told)

    def _told(self, time: torch.Tensor, values: torch.Tensor, confidence: torch.Tensor) -> torch.Tensor:
        rates = torch.logspace(0, math.log10(1000), _FREQUENCIES, device=time.device)
        angles = time[:, None] * rates
        known = values.isfinite()
        wish = torch.cat([values.nan_to_num(0.0), confidence * known, known], dim=1)
        return self.time(torch.cat([angles.sin(), angles.cos()], dim=1)) + self.wish(wish)


class Block(nn.Module):
    """(n, tokens, width) -> (n, tokens, width): neighbours, attention, then a perceptron; the latter are scaled, shifted and gated.

    A depthwise convolution lets every token see its neighbours from the first step on, as hybrids of convolution and attention do
    (Astroformer, arXiv:2304.05350): attention alone has to find out first who they are.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.own = nn.Parameter(torch.zeros(6, width))  # what this block adds to the modulation of all
        self.mix, self.unmix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.near = nn.Conv2d(width, width, 3, padding=1, groups=width)
        for layer in (self.near, self.unmix, self.narrow):  # at first a block changes nothing
            nn.init.zeros_(layer.weight)

    def forward(self, tokens: torch.Tensor, shared: torch.Tensor, side: int) -> torch.Tensor:
        grid = tokens.mT.unflatten(2, (side, side))  # (n, w, side, side)
        tokens = tokens + self.near(grid).flatten(2).mT
        move, scale, gate, move2, scale2, gate2 = (shared + self.own).unbind(dim=2)  # (n, 1, w) each
        tokens = tokens + (1 + gate) * self._attend(_modulated(tokens, move, scale))
        hidden = functional.gelu(self.widen(_modulated(tokens, move2, scale2)), approximate="tanh")
        return tokens + (1 + gate2) * self.narrow(hidden)

    def _attend(self, tokens: torch.Tensor) -> torch.Tensor:
        n, t, w = tokens.shape
        q, k, v = (
            self.mix(tokens).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        )  # (n, heads, t, w / heads) each
        q, k = (functional.rms_norm(part, part.shape[-1:]) for part in (q, k))
        # written out: for this few tokens, torch's fused attention takes six times as long to learn on a CPU
        weights = (q @ k.mT * (w // self.heads) ** -0.5).softmax(dim=-1)  # (n, heads, t, t)
        return self.unmix((weights @ v).transpose(1, 2).reshape(n, t, w))


class Skin(nn.Module):
    """(n, 2 bands, y, x) -> (n, bands, y, x): what a patch's token is too coarse for."""

    def __init__(self, bands: int, channels: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(2 * bands, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, bands, 3, padding=1)
        self.modulate = nn.Linear(width, 2 * channels)
        for weight in self.last.parameters():
            nn.init.zeros_(weight)

    def forward(self, stamps: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        move, scale = self.modulate(told)[:, :, None, None].chunk(2, dim=1)
        hidden = functional.silu(self.first(stamps) * (1 + scale) + move)
        return self.last(functional.silu(self.second(hidden)))


def _modulated(tokens: torch.Tensor, move: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(tokens, tokens.shape[-1:]) * (1 + scale) + move


def _waves(side: int, width: int) -> torch.Tensor:
    """Sines and cosines of a token's place along both axes (1, side^2, width)."""
    rates = 10_000 ** -(torch.arange(width // 4) / (width // 4))
    angles = torch.arange(side)[:, None] * rates  # (side, w / 4)
    line = torch.cat([angles.sin(), angles.cos()], dim=1)  # (side, w / 2)
    both = [line[:, None].expand(-1, side, -1), line[None].expand(side, -1, -1)]
    return torch.cat(both, dim=2).reshape(1, side * side, width)
