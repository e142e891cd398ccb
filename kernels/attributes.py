"""Attributes that a diffusion model can be conditioned on, each with its range, to check and scale requests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Attribute", "confidence", "mirror_image", "scaled"]

_BEYOND = 1.2  # scaled values end here: a little beyond what was learned from


@dataclass(frozen=True)
class Attribute:
    """One attribute of a galaxy."""

    name: str
    """As the release's column is called; ``noise_<band>`` and ``psf`` describe the observation."""
    low: float
    high: float
    """Range of its values, in its own unit."""
    kind: Literal["label", "measured", "noise", "psf"] = "label"
    """A column of the release; one that measuring adds; sky noise of a band; FWHM of a blur."""
    unit: str = ""
    missing: float | None = None
    """Value of the release's column that means unknown."""
    limits: tuple[str, str] | None = None
    """The release's columns of the lower and upper confidence limit."""
    needs: str | None = None
    """Attribute that must be above its own `low` for this one to mean anything."""
    mirrored: bool = False
    """Whether a mirror turns low into high values; the middle of the range is what it leaves as it is."""


def scaled(values: torch.Tensor, attributes: Sequence[Attribute]) -> torch.Tensor:
    """Values (n, attributes) in their own units as a network takes them: -1 at `low`, 1 at `high`, noise by its logarithm.

    NaN stays NaN. What lies beyond the range is cut off a tenth of it further out.
    """
    logarithmic = torch.tensor([a.kind == "noise" for a in attributes], device=values.device)
    low, high = (
        torch.tensor([getattr(a, end) for a in attributes], dtype=torch.float32, device=values.device)
        for end in ("low", "high")
    )
    values, low, high = (_logarithms(each.float(), logarithmic) for each in (values, low, high))
    return (2 * (values - low) / (high - low) - 1).clamp(-_BEYOND, _BEYOND)


def _logarithms(values: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    tiny = torch.finfo(torch.float32).tiny
    return torch.where(where, values.clamp(min=tiny).log(), values)


def confidence(attribute: Attribute, lower: torch.Tensor, upper: torch.Tensor) -> torch.Tensor:
    """Confidence from the confidence limits (n,): 1 where they are equal, 0 where they span the range; NaN limits: 0."""
    width = (upper - lower) / (attribute.high - attribute.low)
    return (1 - width).clamp(0, 1).nan_to_num(0.0).float()


def mirror_image(values: torch.Tensor, attributes: Sequence[Attribute]) -> torch.Tensor:
    """Scaled values (n, attributes) of the mirrored galaxies."""
    signs = [-1.0 if a.mirrored else 1.0 for a in attributes]
    return values * torch.tensor(signs, device=values.device)
