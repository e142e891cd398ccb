"""1-sigma errors by resampling: everything is measured again on stamps with more noise of their own kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import special

from kernels.compiled import compiled
from kernels.measure.quantities import COLUMNS, error_of
from kernels.segmentation.fill import mixed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["DRAWS", "noisier", "spreads"]

DRAWS = 16
"""An error from so many has one of its own of 18 %."""
_GOLDEN = 0x9E3779B97F4A7C15  # the step of splitmix64 from one number to the next
_BITS = 12
_PROPAGATED = {"x_centre", "y_centre", "r_petro", "ellipticity", "position_angle"}
"""These keep what propagation gives: segments are not found anew, on which ellipses rest, and centres lie on a grid."""
_NAMES = [
    column.name
    for column in COLUMNS
    if column.errors is not None and column.quantity != "sersic" and column.name not in _PROPAGATED
]


def _quantiles() -> NDArray[np.float32]:
    """Normal quantiles in the middles of even parts, with a variance of one."""
    parts = 1 << _BITS
    values = special.ndtri((np.arange(parts) + 0.5) / parts)
    return (values / np.sqrt(np.mean(values**2))).astype(np.float32)


_NORMAL = _quantiles()


def noisier(images: torch.Tensor, sigma: torch.Tensor, seeds: NDArray[np.uint64], draw: int) -> torch.Tensor:
    """Stamps (n, y, x) float32 with noise added.

    Parameters
    ----------
    images, sigma : (n, y, x) float32 tensor
        What is added to each pixel has this standard deviation.
    seeds : (n,) uint64 array
        One for each object, as `kernels.bags.hash_ids` makes them: the same seed, draw and pixel have the same noise, whatever other stamps there are.
    draw : int
        From 0.
    """
    added = np.empty(images.shape, np.float32)
    word = np.uint64((draw * _GOLDEN) & 0xFFFFFFFFFFFFFFFF)
    _add(images.numpy(force=True), sigma.numpy(force=True), seeds, word, _NORMAL, added)
    return torch.from_numpy(added).to(images.device)


@compiled
def _add(images: Any, sigma: Any, seeds: Any, word: Any, normal: Any, added: Any) -> None:
    n, height, width = images.shape
    for i in range(n):
        seed = mixed(seeds[i] + word)
        for y in range(height):
            for x in range(width):
                drawn = mixed(seed + np.uint64(y * width + x)) >> np.uint64(64 - _BITS)
                added[i, y, x] = images[i, y, x] + sigma[i, y, x] * normal[drawn]


def spreads(
    found: dict[str, torch.Tensor], draws: Sequence[dict[str, torch.Tensor]]
) -> dict[str, torch.Tensor]:
    """Standard deviations (n,) float64 of measured values over draws, by the names of error columns.

    Parameters
    ----------
    found : dict
        What was measured on the stamps as they are.
    draws : sequence of dict
        And on each that is noisier.

    Returns
    -------
    NaN where the value is, and where fewer than half of the draws have one; zero where no draw changes it, as with the MID statistics of most objects of one nucleus.
    """
    answer = {}
    for name in _NAMES:
        if name not in found:
            continue
        first = found[name]
        count, total, squares = (torch.zeros_like(first) for _ in range(3))
        offs = []
        for draw in draws:
            off = draw[name] - first
            offs.append(off)
            count = count + off.isfinite()
            total = total + off.nan_to_num(0.0)
        mean = total / count.clamp(min=1)
        for off in offs:
            squares = squares + (off - mean).square().nan_to_num(0.0)
        enough = count >= max(2, len(draws) / 2)
        spread = (squares / (count - 1).clamp(min=1)).sqrt()
        answer[error_of(name)] = torch.where(enough & first.isfinite(), spread, torch.nan)
    return answer
