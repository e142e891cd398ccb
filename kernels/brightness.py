"""Brightness: from a release's fluxes to values of mean 0 and variance 1, and exactly back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from kernels.elementary import asinh, sinh

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Brightness", "brightness_of"]

_SOFTENING = 3.0  # sigma of the sky: linear below, logarithmic above, as `kernels.stretch` has it
_TOGETHER = 1 << 17  # numbers that are stretched together: they stay in a core's own cache
_DEPTH = 1000.0  # peak over softening, at most, where there is no noise


@dataclass(frozen=True)
class Brightness:
    """A stretch that is the same for all stamps of a release, so that a faint galaxy stays faint.

    Attributes
    ----------
    how
        ``linear``, or ``asinh`` of x / softening.
    softening, mean, std
        One number a band; softening in the release's unit, mean and std of what the stretch gives.
    """

    how: str
    softening: tuple[float, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def forward(self, stamps: torch.Tensor) -> torch.Tensor:
        """Fluxes (n, b, y, x) to values of mean 0 and variance 1 over the release, float32."""
        if stamps.device.type != "cpu" or torch.compiler.is_exporting():
            return self._forward(stamps)
        few = max(_TOGETHER // math.prod(stamps.shape[1:]), 1)
        return torch.cat([self._forward(part) for part in stamps.split(few)])

    def _forward(self, stamps: torch.Tensor) -> torch.Tensor:
        stretched = _stretched(stamps.float(), self.how, self.softening)
        return (stretched - _column(self.mean, stamps)) / _column(self.std, stamps)

    def inverse(self, values: torch.Tensor) -> torch.Tensor:
        """The fluxes again, float32."""
        stretched = values.float() * _column(self.std, values) + _column(self.mean, values)
        return sinh(stretched) * _column(self.softening, values) if self.how == "asinh" else stretched


def brightness_of(stamps: torch.Tensor, noise: torch.Tensor, how: str) -> Brightness:
    """The brightness scale of a release, from a sample of it.

    Parameters
    ----------
    stamps : (n, b, y, x) float tensor
        Background-subtracted.
    noise : (n, b) float tensor
        Of `kernels.stretch.noise_level`.
    how : {"asinh", "linear"}
    """
    peak = stamps.float().amax(dim=(2, 3)).median(dim=0).values
    scale = torch.maximum(_SOFTENING * noise.median(dim=0).values, peak / _DEPTH)
    softening = torch.where(scale > 0, scale, 1.0).tolist()
    values = _stretched(stamps.float(), how, softening)
    mean, std = (
        values.mean(dim=(0, 2, 3)),
        values.std(dim=(0, 2, 3)).clamp(min=torch.finfo(torch.float32).tiny),
    )
    return Brightness(how, tuple(softening), tuple(mean.tolist()), tuple(std.tolist()))


def _stretched(stamps: torch.Tensor, how: str, softening: Sequence[float]) -> torch.Tensor:
    if how not in ("asinh", "linear"):
        raise ValueError(f'a stretch is "asinh" or "linear", not "{how}"')
    return asinh(stamps / _column(softening, stamps)) if how == "asinh" else stamps


def _column(numbers: Sequence[float], stamps: torch.Tensor) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float32, device=stamps.device)[:, None, None]
