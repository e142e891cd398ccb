"""Random numbers of each object in each epoch: they follow from its id, whatever it is learned beside, and by whatever process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from kernels.bags import hash_ids

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["draws", "keys"]

_SEED = 23
_BITS = 24  # that float32 holds exactly


def keys(ids: NDArray[Any]) -> NDArray[np.float32]:
    """What `draws` knows objects by, (n,): hashes of their ids, which may travel among other float32."""
    return (hash_ids(ids, _SEED) >> np.uint64(64 - _BITS)).astype(np.float32)


def draws(objects: torch.Tensor, epoch: int, seed: int, count: int) -> torch.Tensor:
    """Numbers (n, count) between 0 and 1, evenly distributed, float32.

    Parameters
    ----------
    objects : (n,) float32 tensor
        Of `keys`.
    epoch, seed : int
        Others give others.
    """
    each = objects.cpu().numpy().astype(np.uint64)[:, None] * np.uint64(count) + np.arange(
        count, dtype=np.uint64
    )
    hashes = hash_ids(each.reshape(-1), hash((_SEED, seed, epoch)))
    uniform = (hashes >> np.uint64(64 - _BITS)).astype(np.float32) / np.float32(2**_BITS)
    return torch.from_numpy(uniform.reshape(-1, count)).to(objects.device)
