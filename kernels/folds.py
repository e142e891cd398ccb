"""Folds of objects by a hash of their ids: which fold an object is in never changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.bags import hash_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fold_of"]

_SEED = 5


def fold_of(ids: NDArray[Any], folds: int) -> NDArray[np.int64]:
    """Fold of every object, (n,), 0 to `folds` - 1."""
    return (hash_ids(ids, _SEED) % np.uint64(folds)).astype(np.int64)
