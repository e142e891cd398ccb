"""Regions that grow together, as disjoint sets: every pixel names another one of its region, the root itself."""

from __future__ import annotations

from typing import Any

from kernels.compiled import compiled

__all__ = ["join", "root_of"]


@compiled
def root_of(parent: Any, place: int) -> int:
    """The root of a pixel's region; the way to it is halved for the next time."""
    while parent[place] != place:
        parent[place] = parent[parent[place]]
        place = parent[place]
    return place


@compiled
def join(parent: Any, root: int, pixels: int, other: int, more: int) -> tuple[int, int]:
    """Let the smaller of two regions be a part of the larger one: the root of both, and their pixels."""
    if more > pixels:
        parent[root] = other
        return other, pixels + more
    parent[other] = root
    return root, pixels + more
