"""Stamps turned by multiples of 90 degrees, and mirrored: a galaxy has no preferred side."""

from __future__ import annotations

import torch

__all__ = ["turned"]


def turned(stamps: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Each stamp (n, b, y, x) turned at random, and mirrored or not; and which ones are mirrored, (n,) bool."""
    chance = torch.rand(3, len(stamps), generator=generator, device=stamps.device) < 0.5
    flip_x, flip_y, swap = chance[:, :, None, None, None]
    stamps = torch.where(flip_x, stamps.flip(3), stamps)
    stamps = torch.where(flip_y, stamps.flip(2), stamps)
    stamps = torch.where(swap, stamps.mT, stamps)
    return stamps, chance.sum(dim=0) % 2 == 1
