"""Calibration on held-out objects: probabilities that come true, intervals that hold as many truths as they say."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from kernels.heads.answers import Calibration, concentrations, moments, probabilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from kernels.heads.head import Head

__all__ = ["ONE_SIGMA", "calibrate", "truths"]

ONE_SIGMA = 0.6826894921370859
"""Share of a normal distribution within one standard deviation."""
_DOUBT = 0.5  # standard deviation of a calibration's logarithm before any object was seen: few objects change little
_RANGE = (math.log(1 / 20), math.log(20))


def truths(head: Head, targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """What targets (n, width) say: the class' number, the level, fractions (n, k), or the value as it is learned; NaN where unknown."""
    known = np.isfinite(targets).all(axis=1)
    if head.kind == "votes":
        total = targets.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return np.where(total > 0, targets / total, np.nan)
    if head.kind == "classes":
        return np.where(known, np.nan_to_num(targets).argmax(axis=1), np.nan)
    if head.kind == "ordinal":
        return np.where(known, targets @ np.array(head.levels), np.nan)
    return np.where(known, head.shift + head.scale * targets[:, 0], np.nan)


def calibrate(head: Head, outputs: NDArray[np.float64], targets: NDArray[np.float64]) -> Calibration:
    """Find what corrects outputs (n, width) of objects that nothing was learned from, given their targets (n, width).

    Temperatures have the greatest likelihood; spreads of levels and values are the quantile of residuals that makes intervals hold
    68 % of the truths. Objects without a label or outputs are left out; without any, nothing is corrected.
    """
    known = np.isfinite(outputs).all(axis=1) & np.isfinite(targets).all(axis=1)
    if head.kind == "votes":
        known &= np.nan_to_num(targets).sum(axis=1) > 0
    outputs, targets = outputs[known], targets[known]
    if not len(outputs):
        return Calibration()
    if head.kind == "votes":
        return _of_votes(outputs, targets)
    temperature = 1.0 if head.kind == "value" else _temperature(outputs, targets)
    if head.kind == "classes":
        return Calibration(temperature)
    mean, spread = moments(head, outputs, Calibration(temperature))
    residuals = np.sort(np.abs(truths(head, targets) - mean) / spread)
    place = math.ceil(ONE_SIGMA * (len(residuals) + 1)) - 1
    return Calibration(temperature, max(float(residuals[min(place, len(residuals) - 1)]), 1e-3))


def _temperature(outputs: NDArray[np.float64], targets: NDArray[np.float64]) -> float:
    from scipy.optimize import minimize_scalar  # noqa: PLC0415

    def cost(logarithm: float) -> float:
        share = probabilities(outputs, Calibration(math.exp(logarithm)))
        return -float((targets * np.log(share + 1e-300)).sum()) + 0.5 * (logarithm / _DOUBT) ** 2

    return math.exp(float(minimize_scalar(cost, bounds=_RANGE, method="bounded").x))


def _of_votes(outputs: NDArray[np.float64], counts: NDArray[np.float64]) -> Calibration:
    from scipy.optimize import minimize  # noqa: PLC0415
    from scipy.special import gammaln  # noqa: PLC0415

    votes = counts.sum(axis=1)

    def cost(logarithms: NDArray[np.float64]) -> float:
        alpha = concentrations(outputs, Calibration(math.exp(logarithms[0]), math.exp(logarithms[1])))
        total = alpha.sum(axis=1)
        each = (
            gammaln(votes + total) - gammaln(total) - (gammaln(counts + alpha) - gammaln(alpha)).sum(axis=1)
        )
        return float(each.sum() + 0.5 * ((logarithms / _DOUBT) ** 2).sum())

    found = minimize(cost, np.zeros(2), method="L-BFGS-B", bounds=[_RANGE, _RANGE]).x
    return Calibration(math.exp(float(found[0])), math.exp(float(found[1])))
