"""The window under which a stamp's pole is found, for both ways of computing it; chosen on rotated synthetic galaxies with neighbours at the edge, S/N 15 to 10000."""

from __future__ import annotations

__all__ = ["DIRECTION", "STEPS", "WIDEST"]

STEPS = 5
"""Of the adaptive window."""
WIDEST = 0.35
"""Largest window, standard deviation in half sides."""
DIRECTION = 2.5
"""Window of the direction, in windows of the pole."""
