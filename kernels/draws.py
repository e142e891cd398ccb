"""How many objects a draw holds: exactly where the ids are known, and else but for one case in a million."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.bags import Strata, bag_masks, in_pilot, inclusion

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["least_of_binomial", "smallest_bag", "smallest_pilot"]

_RISK = 1e-6


def smallest_pilot(ids: NDArray[Any], pilot_rows: int, seed: int) -> int:
    """Objects in the pilot of these ids (n,), n >= 1."""
    return int(in_pilot(ids, len(ids), pilot_rows, seed).sum())


def smallest_bag(ids: NDArray[Any], bag_rows: int, bags: int, seed: int) -> int:
    """Objects in the smallest of the bags of these ids (n,), n >= 1, whatever their codes.

    Strata only raise the probabilities (`kernels.bags.inclusion`), so a bag holds at least what the uniform rate draws.
    """
    everywhere = Strata(np.zeros((1, 1), np.float32), np.ones(1))
    rate = inclusion(everywhere.shares, len(ids), bag_rows)
    codes = np.zeros((len(ids), 1), np.float32)
    return int(bag_masks(ids, codes, everywhere, rate, bags, seed).sum(axis=1).min())


def least_of_binomial(objects: int, rate: float, draws: int, most: int) -> int:
    """What every one of some draws holds at least, but for one case in a million.

    Parameters
    ----------
    objects
        From which each draw takes every one with probability `rate`.
    rate
        Within [0, 1].
    draws
        How many draws.
    most
        The answer is not looked for beyond this number.
    """
    if rate >= 1.0:
        return min(objects, most)
    if rate <= 0.0:
        return 0
    counts = np.arange(1.0, min(most, objects))
    # Logarithms of the chances of 0, 1, 2 ... objects, each from the one before it: the chances themselves may be too small for a number.
    ratios = np.log((objects - counts + 1.0) / counts) + np.log(rate) - np.log1p(-rate)
    logs = objects * np.log1p(-rate) + np.concatenate([np.zeros(1), np.cumsum(ratios)])
    so_few = np.cumsum(np.exp(logs))  # the chance of a draw that holds so many or fewer
    return int(np.searchsorted(so_few[:most], _RISK / draws))
