"""The families of clusterers whose members vote: a new one is a name here and its fit in `kernels.members`."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["FAMILIES", "Family"]

Family = Literal["kmeans", "birch", "ward"]
FAMILIES: tuple[Family, ...] = get_args(Family)
