"""How far two sets of galaxies are from each other, by their embeddings or their pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["frechet", "likeness", "manifold", "nearest", "resampled", "spread"]

_NEIGHBOURS = 3  # Kynkaanniemi et al.
_SIDE = 32  # pixels: enough to recognise a copy


def frechet(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Squared Fréchet distance of the normal distributions that two sets of codes (n, d) have (Heusel et al., arXiv:1706.08500)."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    first, second = (np.cov(codes, rowvar=False) for codes in (one, other))
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    # the trace of (AB)^(1/2) is that of (A^(1/2) B A^(1/2))^(1/2), which is symmetric
    overlap = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(min=0)).sum()
    apart = ((one.mean(axis=0) - other.mean(axis=0)) ** 2).sum()
    return float(apart + np.trace(first) + np.trace(second) - 2 * overlap)


def resampled(
    codes: NDArray[np.float32], judged_by: NDArray[np.float32], count: int, times: int = 10
) -> tuple[float, float]:
    """Mean and spread of the Fréchet distance of `count` of the codes, drawn anew each time: it falls with their number, so only equal numbers compare."""
    draw = np.random.default_rng(0)
    found = [frechet(codes[draw.choice(len(codes), count, replace=False)], judged_by) for _ in range(times)]
    return float(np.mean(found)), float(np.std(found))


def manifold(codes: NDArray[np.float32], real: NDArray[np.float32]) -> tuple[float, float]:
    """Precision and recall (Kynkäänniemi et al., arXiv:1904.06991): the share of codes among the real ones, and of real ones among the codes.

    A code is among others if it is nearer to one of them than that one's third nearest neighbour.
    """
    return _among(codes, real), _among(real, codes)


def _among(codes: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    one, other = torch.from_numpy(codes), torch.from_numpy(others)
    # the nearest one of a code is itself
    reach = torch.cdist(other, other).kthvalue(_NEIGHBOURS + 1, dim=1).values
    return float((torch.cdist(one, other) <= reach).any(dim=1).float().mean())


def nearest(codes: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance of each code to the nearest of the others."""
    return torch.cdist(torch.from_numpy(codes), torch.from_numpy(others)).amin(dim=1).numpy()


def likeness(stamps: torch.Tensor, others: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Correlation of each stamp (n, b, y, x) with the one of the others that is most like it, turned and mirrored; and which that is."""
    one, best = _unit(stamps), torch.full((len(stamps),), -2.0)
    where = torch.zeros(len(stamps), dtype=torch.int64)
    for turns in range(4):
        for mirrored in (False, True):
            view = others.rot90(turns, (2, 3))
            found, place = (one @ _unit(view.flip(3) if mirrored else view).T).max(dim=1)
            where = torch.where(found > best, place, where)
            best = torch.maximum(best, found)
    return best.numpy(), where.numpy()


def _unit(stamps: torch.Tensor) -> torch.Tensor:
    small = functional.interpolate(stamps, (_SIDE, _SIDE), mode="area").flatten(1)
    small = small - small.mean(dim=1, keepdim=True)
    return small / small.norm(dim=1, keepdim=True)


def spread(values: list[float], digits: str = ".3f") -> str:
    """Mean and standard deviation of those that are known, as a table has them."""
    known = np.array(values)[np.isfinite(values)]
    return f"{known.mean():{digits}} ± {known.std():{digits}}" if len(known) else "none"
