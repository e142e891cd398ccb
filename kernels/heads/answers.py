"""What a network's outputs say, calibrated: probabilities, fractions, levels and values, each with its spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kernels.transforms import untransformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from kernels.heads.head import Head

__all__ = ["LEAST_ASKED", "Calibration", "applies", "concentrations", "interval", "moments", "probabilities"]

LEAST_ASKED = 0.1
"""Share of the volunteers that must be expected to be asked a question for its fractions to be given."""
_LARGEST = 12.0  # of a concentration's logarithm: 160,000 votes' worth


@dataclass(frozen=True)
class Calibration:
    """How outputs are corrected so that they can be trusted, found on held-out objects.

    Attributes
    ----------
    temperature
        Divides logits, and the logarithms of mean fractions: above 1 answers become less sure (Guo et al. 2017, arXiv:1706.04599).
    spread
        Factor of standard deviations so that the interval of one to each side holds 68.27 % of the truths (split conformal,
        Lei et al. 2018, arXiv:1604.04173); of votes, factor of the concentration.
    """

    temperature: float = 1.0
    spread: float = 1.0


def probabilities(outputs: NDArray[np.float64], calibration: Calibration) -> NDArray[np.float64]:
    """Probability of each class or level, (n, k), from logits (n, k)."""
    scaled = outputs / calibration.temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: NDArray[np.float64] = scaled / scaled.sum(axis=1, keepdims=True)
    return found


def concentrations(outputs: NDArray[np.float64], calibration: Calibration) -> NDArray[np.float64]:
    """Concentrations of the Dirichlet distribution of the answers' fractions, (n, k), from their logarithms (n, k)."""
    total = np.exp(np.clip(outputs, -_LARGEST, _LARGEST)).sum(axis=1, keepdims=True)
    return calibration.spread * total * probabilities(outputs, Calibration(calibration.temperature))


def moments(
    head: Head, outputs: NDArray[np.float64], calibration: Calibration
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each answer: of votes' fractions (n, k), of a level or a value (n,), the latter as it is learned."""
    if head.kind == "votes":
        alpha = concentrations(outputs, calibration)
        total = alpha.sum(axis=1, keepdims=True)
        mean = alpha / total
        return mean, np.sqrt(mean * (1 - mean) / (1 + total))
    if head.kind == "ordinal":
        share, levels = probabilities(outputs, calibration), np.array(head.levels)
        mean = share @ levels
        # in an interval's floor of a sixth of a step, so that a level that is certain has one
        step = np.diff(levels).min() / 6
        variance = (share * (levels - mean[:, None]) ** 2).sum(axis=1)
        return mean, calibration.spread * np.sqrt(variance + step**2)
    mean = head.shift + head.scale * outputs[:, 0]
    return mean, calibration.spread * head.scale * np.exp(np.clip(outputs[:, 1], -_LARGEST, _LARGEST))


def interval(
    head: Head, outputs: NDArray[np.float64], calibration: Calibration
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A level or a value and the limits of its 68 % interval, each (n,), in its own unit."""
    mean, spread = moments(head, outputs, calibration)
    if head.kind == "ordinal":
        low, high = head.levels[0], head.levels[-1]
        return mean, np.clip(mean - spread, low, high), np.clip(mean + spread, low, high)
    found = [untransformed(each, head.transform) for each in (mean, mean - spread, mean + spread)]
    return found[0], found[1], found[2]


def applies(
    head: Head, fractions: Mapping[tuple[str, str], NDArray[np.float64]], n: int
) -> NDArray[np.float64]:
    """Probability that a volunteer is asked a question, (n,): the sum over the answers that lead to it.

    Parameters
    ----------
    head : Head
    fractions : mapping
        By (question, answer): the answer's fraction among all volunteers, (n,), the product of the fractions along its path.
    n : int
        Number of objects.
    """
    if not head.asked:
        return np.ones(n)
    return np.clip(sum(fractions[pair] for pair in head.asked), 0.0, 1.0)
