"""Sérsic's profile and its Fourier transform, tabled once for all n and all wave numbers."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from scipy import special

__all__ = [
    "FIRST",
    "LARGEST_N",
    "NODES",
    "SMALLEST_N",
    "STEP",
    "TERMS",
    "chebyshev",
    "profile_scale",
    "span",
    "table",
]

SMALLEST_N, LARGEST_N = 0.3, 8.0

STEP = 1 / 32
"""Of the table, in ln k."""
FIRST, NODES = -8.0, 512
"""ln k of its first node, and how many there are: k = 3e-4 to 3e3."""
TERMS = 24  # Chebyshev polynomials in ln n: absolute errors below 1e-7


def profile_scale(n: np.ndarray) -> np.ndarray:
    """b_n of Sérsic's profile: half of the light lies within r_e, gamma(2n, b) = Gamma(2n) / 2 (Graham & Driver 2005, eq. 4)."""
    return special.gammaincinv(2 * n, 0.5)


@functools.cache
def table() -> tuple[torch.Tensor, torch.Tensor]:
    """Chebyshev coefficients in ln n of F, F' and F'' by ln k, (terms, 3 nodes), and of the first two alone (terms, 2 nodes).

    F is the Hankel transform of the profile. Its Mellin transform is a product of Gamma functions, and so it is one smooth integral for all n.
    """
    middle, half = span()
    nodes = np.cos(math.pi * (np.arange(TERMS) + 0.5) / TERMS)
    n = np.exp(middle + half * nodes)[:, None]
    z = 1 + 0.1j * (np.arange(1400) + 0.5)
    moments = special.loggamma(n * (2 - z)) - special.gammaln(2 * n) + n * z * np.log(profile_scale(n))
    mellin = np.exp(moments + (z - 1) * math.log(2) + special.loggamma(z / 2) - special.loggamma(1 - z / 2))
    log_k = FIRST + STEP * np.arange(NODES)
    waves = np.exp(-log_k * z[:, None]) * 0.1 / math.pi
    values = np.stack([((mellin * (-z) ** order) @ waves).real for order in range(3)], axis=1)
    polynomials = np.cos(np.arange(TERMS)[:, None] * np.arccos(nodes))  # (terms, n)
    coefficients = np.einsum("jn,nok->jok", polynomials, values) * 2 / TERMS
    coefficients[0] /= 2
    table = torch.from_numpy(coefficients).float()
    return table.flatten(1), table[:, :2].flatten(1)


def span() -> tuple[float, float]:
    """Middle and half of the range of ln n."""
    low, high = math.log(SMALLEST_N), math.log(LARGEST_N)
    return (low + high) / 2, (high - low) / 2


def chebyshev(log_n: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Chebyshev polynomials (n, terms) and their derivatives, by ln n."""
    middle, half = span()
    x = ((log_n - middle) / half).clamp(-1 + 1e-9, 1 - 1e-9)[:, None]
    order = torch.arange(TERMS, device=log_n.device)
    turn = order * x.acos()
    return turn.cos(), order * turn.sin() / (1 - x * x).sqrt() / half
