"""galaxy-unet: a small conditional U-Net that draws stamps of a requested morphology, small enough to train on a CPU.

A U-Net as diffusion models have it (Ho et al., arXiv:2006.11239; Dhariwal & Nichol, arXiv:2105.05233: residual blocks that are scaled and
shifted by the conditioning, attention where the image is small), on patches of 4 pixels as its first resolution (Hoogeboom et al.,
arXiv:2301.11093): at full resolution there is only a thin skin of convolutions, which sees the noisy pixels and hides the patches' seams.
A transformer of the same cost needs more stamps before its galaxies have a shape.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

__all__ = ["GalaxyUNet"]

_FREQUENCIES = 32
_GROUP = 16  # channels that are normalised together


class GalaxyUNet(nn.Module):
    """Velocity (n, bands, size, size), from noisy stamps, time, condition and its confidence.

    Parameters
    ----------
    bands, size : int
        Of the stamps, pixels; a multiple of twice the patch.
    attributes : int
        Length of a condition.
    width : int
        Channels of a patch; twice as many at half that resolution. A multiple of 16.
    depth : int
        Blocks at either resolution, on the way down as on the way up.
    patch : int
        Side of a patch, pixels.
    skin : int
        Channels of the convolutions at full resolution.
    """

    def __init__(
        self,
        bands: int,
        size: int,
        attributes: int,
        width: int = 96,
        depth: int = 1,
        patch: int = 4,
        skin: int = 12,
    ) -> None:
        super().__init__()
        if size % (2 * patch) or width % _GROUP:
            raise ValueError(f"size {size} must be a multiple of {2 * patch}, width {width} one of {_GROUP}")
        conditioning, wide = 2 * width, 2 * width
        self.time = nn.Sequential(
            nn.Linear(2 * _FREQUENCIES, conditioning), nn.SiLU(), nn.Linear(conditioning, conditioning)
        )
        self.wish = nn.Sequential(
            nn.Linear(3 * attributes, conditioning), nn.SiLU(), nn.Linear(conditioning, conditioning)
        )
        self.read = nn.Conv2d(bands, width, patch, stride=patch)
        self.fine = nn.ModuleList(Block(width, width, conditioning) for _ in range(depth))
        self.down = nn.Conv2d(width, wide, 2, stride=2)
        self.coarse = nn.ModuleList(Block(wide, wide, conditioning) for _ in range(depth))
        self.places = nn.Parameter(_waves(size // (2 * patch), wide))
        self.middle = nn.ModuleList([Attention(wide), Block(wide, wide, conditioning), Attention(wide)])
        self.coarse_up = nn.ModuleList(Block(2 * wide, wide, conditioning) for _ in range(depth))
        self.up = nn.ConvTranspose2d(wide, width, 2, stride=2)
        self.fine_up = nn.ModuleList(Block(2 * width, width, conditioning) for _ in range(depth))
        self.write = nn.ConvTranspose2d(width, bands, patch, stride=patch)
        self.skin = Skin(bands, skin, conditioning)
        for weight in self.write.parameters():
            nn.init.zeros_(weight)

    def forward(
        self, noisy: torch.Tensor, time: torch.Tensor, values: torch.Tensor, confidence: torch.Tensor
    ) -> torch.Tensor:
        """Noisy stamps (n, b, y, x), time (n,) from 0 (data) to 1 (noise), values (n, attributes) in [-1, 1], NaN where
        unknown, and confidence (n, attributes) in [0, 1].
        """
        conditioning = functional.silu(self._conditioning(time, values, confidence))  # (n, 2w)
        x = self.read(noisy.contiguous(memory_format=torch.channels_last))  # (n, w, y/4, x/4)
        left = []
        for block in self.fine:
            x = block(x, conditioning)
            left.append(x)
        x = self.down(x)  # (n, 2w, y/8, x/8)
        for block in self.coarse:
            x = block(x, conditioning)
            left.append(x)
        attend, mix, attend_again = self.middle
        x = attend_again(mix(attend(x + self.places), conditioning))
        for block in self.coarse_up:
            x = block(torch.cat([x, left.pop()], dim=1), conditioning)
        x = self.up(x)  # (n, w, y/4, x/4)
        for block in self.fine_up:
            x = block(torch.cat([x, left.pop()], dim=1), conditioning)
        rough = self.write(functional.silu(x))  # (n, b, y, x)
        return rough + self.skin(torch.cat([noisy, rough], dim=1), conditioning)

    def _conditioning(
        self, time: torch.Tensor, values: torch.Tensor, confidence: torch.Tensor
    ) -> torch.Tensor:
        rates = torch.logspace(0, math.log10(1000), _FREQUENCIES, device=time.device)
        angles = time[:, None] * rates
        known = values.isfinite()
        conditions = torch.cat([values.nan_to_num(0.0), confidence * known, known], dim=1)
        return self.time(torch.cat([angles.sin(), angles.cos()], dim=1)) + self.wish(conditions)


class Block(nn.Module):
    """(n, c, y, x) -> (n, d, y, x): two convolutions, the second scaled and shifted by the conditioning, and a shortcut."""

    def __init__(self, channels: int, out: int, conditioning: int) -> None:
        super().__init__()
        self.before, self.after = nn.GroupNorm(channels // _GROUP, channels), nn.GroupNorm(out // _GROUP, out)
        self.first = nn.Conv2d(channels, out, 3, padding=1)
        self.second = nn.Conv2d(out, out, 3, padding=1)
        self.modulate = nn.Linear(conditioning, 2 * out)
        self.short = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()
        nn.init.zeros_(self.second.weight)

    def forward(self, x: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        scale, move = self.modulate(conditioning)[:, :, None, None].chunk(2, dim=1)
        hidden = self.after(self.first(functional.silu(self.before(x))))
        return self.short(x) + self.second(functional.silu(hidden * (1 + scale) + move))


class Attention(nn.Module):
    """(n, c, y, x) -> (n, c, y, x): self-attention between all positions, in heads of 32 channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(channels // _GROUP, channels)
        self.mix, self.unmix = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        nn.init.zeros_(self.unmix.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, height, width = x.shape
        tokens = self.norm(x).flatten(2).mT  # (n, t, c)
        q, k, v = self.mix(tokens).view(n, height * width, 3, -1, 32).permute(2, 0, 3, 1, 4)
        q, k = (functional.rms_norm(part, part.shape[-1:]) for part in (q, k))
        # written out: for this few places, the gradient of torch's fused attention is slow on a CPU
        weights = (q @ k.mT * 32**-0.5).softmax(dim=-1)  # (n, heads, t, t)
        found = self.unmix((weights @ v).transpose(1, 2).flatten(2))  # (n, t, c)
        return x + found.mT.reshape(n, c, height, width)


class Skin(nn.Module):
    """(n, 2 bands, y, x) -> (n, bands, y, x): what a patch is too coarse for."""

    def __init__(self, bands: int, channels: int, conditioning: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(2 * bands, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.last = nn.Conv2d(channels, bands, 3, padding=1)
        self.modulate = nn.Linear(conditioning, 2 * channels)
        for weight in self.last.parameters():
            nn.init.zeros_(weight)

    def forward(self, stamps: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        scale, move = self.modulate(conditioning)[:, :, None, None].chunk(2, dim=1)
        hidden = functional.silu(self.first(stamps) * (1 + scale) + move)
        return self.last(functional.silu(self.second(hidden)))


def _waves(side: int, channels: int) -> torch.Tensor:
    """Sines and cosines of a place along both axes (1, channels, side, side)."""
    rates = 100 ** -(torch.arange(channels // 4) / (channels // 4))
    angles = rates[:, None] * torch.arange(side)  # (c/4, side)
    line = torch.cat([angles.sin(), angles.cos()])  # (c/2, side)
    both = [line[:, :, None].expand(-1, -1, side), line[:, None].expand(-1, side, -1)]
    return torch.cat(both)[None].clone()
