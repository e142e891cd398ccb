"""What barriers leave behind: arrays in safetensors files, never pickles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from catalogs import storage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


def save(url: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays whole or not at all; 0-d arrays and every dtype come back as they were."""
    storage.write(url, save_arrays({name: np.ascontiguousarray(a) for name, a in arrays.items()}))


def load(url: str) -> dict[str, NDArray[Any]]:
    """Read all arrays of a file."""
    return dict(load_arrays(storage.read(url)))
