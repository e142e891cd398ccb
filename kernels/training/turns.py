"""Stamps turned by multiples of 90 degrees, and mirrored: a galaxy has no preferred side."""

from __future__ import annotations

import torch

__all__ = ["CHANCES", "turned"]

CHANCES = 3
"""Random numbers that decide on a stamp."""


def turned(stamps: torch.Tensor, drawn: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each stamp (n, b, y, x) turned, and mirrored or not, as random numbers (CHANCES, n) from 0 to 1 have it; and which ones are mirrored, (n,) bool."""
    chance = drawn < 0.5
    flip_x, flip_y, swap = chance[:, :, None, None, None]
    stamps = torch.where(flip_x, stamps.flip(3), stamps)
    stamps = torch.where(flip_y, stamps.flip(2), stamps)
    stamps = torch.where(swap, stamps.mT, stamps)
    return stamps, chance.sum(dim=0) % 2 == 1
