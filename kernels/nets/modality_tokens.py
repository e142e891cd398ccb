"""Tokens of each modality: how values become vectors that a transformer reads, and how what it answers becomes values again.

Every modality is read by a small network of its own, and answered by another; what is missing is zero, and marked as such.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from kernels.elementary import asinh

if TYPE_CHECKING:
    from kernels.modalities import Scalars, Stamps, Vector
    from kernels.transforms import Transform

__all__ = ["PatchTokens", "ScalarTokens", "Tokens", "VectorTokens", "embedding", "spiral"]

_WAVES = 16  # sines, and as many cosines, of a wavelength's logarithm
_SHORTEST, _LONGEST = 0.01, 10.0  # their periods
_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class Tokens:
    """One modality of a batch."""

    read: torch.Tensor
    """(n, tokens, width): what the transformer reads."""
    values: torch.Tensor
    """(n, tokens, values): what they say; zero where they say nothing."""
    weights: torch.Tensor
    """The same shape: 0 where there is no value, below 1 where it is uncertain."""

    @property
    def present(self) -> torch.Tensor:
        """Which objects have the modality, (n,) bool."""
        return self.weights.flatten(1).amax(dim=1) > 0


class PatchTokens(nn.Module):
    """Images (n, bands, side, side), as `Brightness.forward` gives them, a band that is missing NaN: a token a patch, over all bands.

    Each band has weights of its own, and what a patch's token reads is their mean over the bands that are there.
    """

    place: torch.Tensor

    def __init__(self, stamps: Stamps, width: int, components: int) -> None:
        super().__init__()
        self.stamps, bands = stamps, len(stamps.bands)
        line = stamps.side // stamps.patch
        places = spiral(line) if stamps.order == "spiral" else torch.arange(line * line)
        self.register_buffer("place", places, persistent=False)
        values = bands * stamps.patch**2
        self.pixels = nn.Linear(values, 4 * width, bias=False)
        self.filters = nn.Linear(bands, 4 * width, bias=False)
        self.mixed = nn.Linear(4 * width, width, bias=False)
        self.places = embedding(line * line, 4 * width)
        self.positions = embedding(line * line, width)
        self.answer = _decoder(width, values, components)

    def forward(self, images: torch.Tensor) -> Tokens:
        cut = self._patches(images)
        patches = cut.nan_to_num(0.0, 0.0, 0.0)
        known = cut.eq_(patches)  # in place, as numbers: faster than isfinite
        if self.stamps.flux == "standardised":
            patches = _standardised(patches, known)
        bands = known.unflatten(2, (len(self.stamps.bands), -1)).amax(dim=3)
        share = len(self.stamps.bands) / bands.sum(dim=2, keepdim=True).clamp(min=1.0)
        seen = self.pixels(patches * share) + self.filters(bands * share)
        seen = functional.gelu(seen + self.places.to(seen))
        return Tokens(self.mixed(seen) + self.positions, patches, known)

    def _patches(self, images: torch.Tensor) -> torch.Tensor:
        """(n, bands, side, side) -> (n, patches in their order, bands * patch * patch)."""
        p, line = self.stamps.patch, self.stamps.side // self.stamps.patch
        cut = images.unflatten(3, (line, p)).unflatten(2, (line, p))  # (n, bands, rows, p, columns, p)
        return cut.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2).index_select(1, self.place)


class ScalarTokens(nn.Module):
    """Values and errors (n, columns) each, NaN where unknown: a token a column, which is read by weights of its own, so that a mean of tokens tells them apart."""

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, scalars: Scalars, width: int, components: int) -> None:
        super().__init__()
        self.scalars = scalars
        self.register_buffer("shift", torch.tensor(scalars.shift), persistent=False)
        self.register_buffer("scale", torch.tensor(scalars.scale), persistent=False)
        self.columns = nn.Parameter(0.5 * torch.randn(scalars.tokens, 4, 4 * width))
        self.places = embedding(scalars.tokens, 4 * width)
        self.mixed = nn.Linear(4 * width, width, bias=False)
        self.positions = embedding(scalars.tokens, width)
        self.answer = _decoder(width, 1, components)

    def forward(self, values: torch.Tensor, errors: torch.Tensor) -> Tokens:
        learned, slope = _transformed(values, self.scalars.transform)
        scaled = (learned - self.shift) / self.scale
        known = scaled.isfinite()
        errors = errors.clamp(min=0) * slope / self.scale
        certain = known & errors.isfinite()
        scaled, errors = torch.where(known, scaled, 0.0), torch.where(certain, errors, 0.0)
        seen = torch.stack([scaled, errors.log1p(), known.float(), certain.float()], dim=2)
        weights = known / (1 + errors.square())
        hidden = torch.einsum("ncf,cfh->cnh", seen, self.columns) + self.places[:, None]
        read = self.mixed(functional.gelu(hidden)).transpose(0, 1) + self.positions
        return Tokens(read, scaled[:, :, None], weights[:, :, None])


class VectorTokens(nn.Module):
    """Values and inverse variances (n, length) each: a token a patch, whose position is its wavelength.

    What is NaN, or of no inverse variance, is a gap.
    """

    waves: torch.Tensor

    def __init__(self, vector: Vector, width: int, components: int) -> None:
        super().__init__()
        self.vector = vector
        self.pixels = nn.Linear(2 * vector.patch, 4 * width, bias=False)
        self.place = nn.Linear(2 * _WAVES, 4 * width, bias=False)
        self.mixed = nn.Linear(4 * width, width, bias=False)
        self.position = nn.Linear(2 * _WAVES, width, bias=False)
        self.answer = _decoder(width, vector.patch, components)
        middles = torch.tensor(vector.wavelengths, dtype=torch.float64).split(vector.patch)
        self.register_buffer("waves", _waves(torch.stack([m.mean() for m in middles])), persistent=False)

    def forward(self, values: torch.Tensor, ivar: torch.Tensor) -> Tokens:
        scaled = self.vector.brightness.forward(values[:, None, None])[:, 0, 0]
        known = scaled.isfinite() & ~(ivar <= 0)  # of unknown inverse variance, NaN, they count
        patches = self._patches(torch.where(known, scaled, 0.0))
        weights = self._patches(known.float())
        seen = self.pixels(torch.cat([patches, weights], dim=2)) + self.place(self.waves)
        return Tokens(self.mixed(functional.gelu(seen)) + self.position(self.waves), patches, weights)

    def _patches(self, values: torch.Tensor) -> torch.Tensor:
        """(n, length) -> (n, tokens, patch), filled up with zeros."""
        short = self.vector.tokens * self.vector.patch - self.vector.length
        return functional.pad(values, (0, short)).unflatten(1, (self.vector.tokens, self.vector.patch))


def spiral(side: int) -> torch.Tensor:
    """Places (side * side,) in a square grid that is read line by line, from the centre outwards."""
    grid, rings = torch.arange(side * side).view(side, side), []
    while grid.numel():  # the outermost line, and then what is left, turned by a quarter
        rings.append(grid[0])
        grid = grid[1:].rot90()
    return torch.cat(rings).flip(0)


def embedding(count: int, width: int) -> nn.Parameter:
    """Vectors (count, width) to be learned."""
    return nn.Parameter(0.02 * torch.randn(count, width))


def _decoder(width: int, values: int, components: int) -> nn.Sequential:
    """Gives one number a value, or what a mixture of normal distributions needs, see `kernels.training.token_loss`."""
    outputs = components * (values + 2) or values
    return nn.Sequential(nn.Linear(width, 4 * width, bias=False), nn.GELU(), nn.Linear(4 * width, outputs))


def _standardised(patches: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Each patch (of known pixels) less its mean, over its deviation, as AstroPT has it."""
    count = known.sum(dim=2, keepdim=True).clamp(min=1.0)
    centred = (patches - patches.sum(dim=2, keepdim=True) / count) * known
    return centred / ((centred.square().sum(dim=2, keepdim=True) / count).sqrt() + 1e-8)


def _transformed(values: torch.Tensor, how: Transform) -> tuple[torch.Tensor, torch.Tensor]:
    """A function of values, not finite where it has none, and its derivative."""
    if how == "log":
        return values.log(), 1 / values
    if how == "log1p":
        return values.log1p(), 1 / (1 + values)
    if how == "asinh":
        return asinh(values), 1 / (1 + values.square()).sqrt()
    return values, torch.ones_like(values)


def _waves(wavelengths: torch.Tensor) -> torch.Tensor:
    """(tokens, 2 * _WAVES): sines and cosines of the logarithm, so that a redshift is a shift, of any instrument."""
    periods = torch.logspace(math.log10(_SHORTEST), math.log10(_LONGEST), _WAVES, dtype=torch.float64)
    angles = 2 * math.pi * wavelengths.log()[:, None] / periods
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()
