"""How good answers are on held-out objects: accuracy, rank correlation, reliability, coverage, and what can be decided without people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kernels.heads.answers import moments, probabilities
from kernels.heads.calibrate import calibrate, truths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.heads.answers import Calibration
    from kernels.heads.head import Head

__all__ = [
    "Scores",
    "calibration_error",
    "decided_at",
    "error_by_chance",
    "least_accuracy",
    "most_accurate",
    "reliability",
    "score",
    "sure",
]

SIGMAS = 1.0
"""Standard errors by which the accuracy at a threshold must be better than wanted; see `docs/experts.md` for how it was chosen."""
_BINS = 15
_CURVE = 200


@dataclass(frozen=True)
class Scores:
    """Of one head, on held-out objects that its calibration has not seen.

    Attributes
    ----------
    objects
        Held-out objects with a label.
    numbers
        ``accuracy``, ``calibration_error``; ``rank_correlation``, ``rmse``, ``coverage`` (of the 68 % interval), by the kind of the head.
    reliability
        Of classes and votes: per bin of the probability of the likeliest answer, objects, mean probability, and the share that is right; of votes
        the mean fraction that it was given.
    decided
        Of classes and votes: least probability, share of the objects that have it, and share of those that is right; ascending.
    """

    objects: int
    numbers: dict[str, float] = field(default_factory=dict)
    reliability: tuple[tuple[int, float, float], ...] = ()
    decided: tuple[tuple[float, float, float], ...] = ()


def score(
    head: Head,
    outputs: NDArray[np.float64],
    targets: NDArray[np.float64],
    calibration: Calibration | None = None,
) -> Scores:
    """Scores of outputs (n, width) for objects that nothing was learned from, given their targets (n, width).

    With `calibration`, which was found on other objects, that is tried; without, each half of the objects is calibrated by the other one.
    """
    known = np.isfinite(outputs).all(axis=1) & np.isfinite(
        truths(head, targets).reshape(len(targets), -1)
    ).all(axis=1)
    outputs, targets = outputs[known], targets[known]
    n = len(outputs)
    if n < 2:
        return Scores(n)
    half = np.arange(n) % 2 == 0
    halves = [
        (part, calibration or calibrate(head, outputs[~part], targets[~part])) for part in (half, ~half)
    ]
    truth = truths(head, targets)
    if head.kind in ("ordinal", "value"):
        mean, spread = np.empty(n), np.empty(n)
        for part, found in halves:
            mean[part], spread[part] = moments(head, outputs[part], found)
        missed = mean - truth
        numbers = {
            "rank_correlation": _correlation(_ranks(mean), _ranks(truth)),
            "rmse": float(np.sqrt(np.mean(missed**2))),
            "coverage": float(np.mean(np.abs(missed) <= spread)),
        }
        return Scores(n, numbers)
    share = np.empty_like(outputs)
    for part, found in halves:
        share[part] = (
            moments(head, outputs[part], found)[0]
            if head.kind == "votes"
            else probabilities(outputs[part], found)
        )
    numbers = {}
    likeliest, confidence = share.argmax(axis=1), share.max(axis=1)
    right = met = likeliest == truth if head.kind == "classes" else likeliest == truth.argmax(axis=1)
    if head.kind == "votes":
        numbers["rmse"] = float(np.sqrt(np.mean((share - truth) ** 2)))
        # a fraction of 0.6 comes true if 0.6 of the votes are so, however often that is the majority
        met = truth[np.arange(n), likeliest]
    numbers |= {"accuracy": float(right.mean()), "calibration_error": calibration_error(confidence, met)}
    return Scores(n, numbers, reliability(confidence, met), _decided(confidence, right))


def sure(shares: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """Objects (n,) whose likeliest answer has a probability of at least `least`, given (n, k)."""
    return shares.max(axis=1) >= least


def reliability(
    confidence: NDArray[np.float64], right: NDArray[np.bool_] | NDArray[np.float64]
) -> tuple[tuple[int, float, float], ...]:
    """Objects, mean confidence and share that is right, in at most 15 bins of as many objects each."""
    order = np.argsort(confidence, kind="stable")
    pieces = [piece for piece in np.array_split(order, min(_BINS, max(1, len(order) // 10))) if len(piece)]
    return tuple((len(p), float(confidence[p].mean()), float(right[p].mean())) for p in pieces)


def calibration_error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_] | NDArray[np.float64]
) -> float:
    """Expected calibration error (Naeini et al. 2015): mean distance of confidence and accuracy over the bins of `reliability`."""
    bins = reliability(confidence, right)
    return sum(n * abs(mean - share) for n, mean, share in bins) / max(1, len(confidence))


def error_by_chance(bins: tuple[tuple[int, float, float], ...]) -> float:
    """Expected calibration error, about, of probabilities that are perfect, over bins of `reliability`: few objects scatter."""
    spread = [np.sqrt(2 / np.pi * n * mean * (1 - mean)) for n, mean, _ in bins]
    return float(sum(spread) / max(1, sum(n for n, _, _ in bins)))


def decided_at(scores: Scores, accuracy: float) -> tuple[float, float, float] | None:
    """The entry of `Scores.decided` that decides most objects with at least this accuracy on new ones; None if none does.

    The share that is right among held-out objects is itself uncertain, and the best of many thresholds owes something to chance: its lower
    limit counts, see `least_accuracy`.
    """
    good = [entry for entry in scores.decided if least_accuracy(scores, entry) >= accuracy]
    return max(good, key=lambda entry: entry[1]) if good else None


def most_accurate(scores: Scores) -> float:
    """The largest accuracy for which `decided_at` finds an entry, if there is any."""
    return max(least_accuracy(scores, entry) for entry in scores.decided)


def least_accuracy(scores: Scores, entry: tuple[float, float, float]) -> float:
    """Lower limit of the accuracy at an entry of `Scores.decided`: Wilson's (1927), of one standard error."""
    _, share, right = entry
    n = max(1.0, share * scores.objects)
    middle = right + SIGMAS**2 / (2 * n)
    error = SIGMAS * np.sqrt(right * (1 - right) / n + SIGMAS**2 / (4 * n**2))
    return float((middle - error) / (1 + SIGMAS**2 / n))


def _decided(
    confidence: NDArray[np.float64], right: NDArray[np.bool_]
) -> tuple[tuple[float, float, float], ...]:
    order = np.argsort(-confidence, kind="stable")
    counts = np.unique(np.linspace(1, len(order), min(_CURVE, len(order))).astype(int))
    hits = np.cumsum(right[order])
    found = [(float(confidence[order[n - 1]]), n / len(order), float(hits[n - 1] / n)) for n in counts[::-1]]
    return tuple(found)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 1; equal values share the mean of theirs. `scipy.stats` does the same, after a second of imports."""
    _, which, count = np.unique(values, return_inverse=True, return_counts=True)
    mean: NDArray[np.float64] = (np.cumsum(count) - (count - 1) / 2)[which]
    return mean


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / size) if size else 0.0
