"""Putting a predictor together: heads that have learned, calibrated and scored on held-out objects."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.heads.calibrate import calibrate
from kernels.heads.domain import domain_of
from kernels.heads.predictor import Predictor, TaughtHead
from kernels.heads.scores import score
from kernels.linear_map import LinearMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from kernels.heads.head import Head

__all__ = ["Learned", "assembled", "score_table"]


@dataclass(frozen=True, eq=False)
class Learned:
    """What a training gives for all heads together.

    Attributes
    ----------
    heads
        In the order of the outputs.
    weight, bias
        Of the linear layer, (outputs, d) and (outputs,).
    codes
        (n, d) of the training objects, in an order that does not depend on what they are like.
    calibrated, scored
        Outputs (m, outputs) and targets (m, outputs) of objects that nothing was learned from: to calibrate on, and to score on. NaN where unknown. Where both are the same
        arrays, each half is scored as the other one calibrates it.
    strengths
        Of each head's regularisation, where it was chosen.
    """

    heads: Sequence[Head]
    weight: NDArray[np.floating]
    bias: NDArray[np.floating]
    codes: NDArray[np.floating]
    calibrated: tuple[NDArray[np.floating], NDArray[np.floating]]
    scored: tuple[NDArray[np.floating], NDArray[np.floating]]
    strengths: Sequence[float | None]


def assembled(learned: Learned, encoder: dict[str, Any], taught: dict[str, Any]) -> Predictor:
    """The predictor of what was learned, with how its codes are made and what is to be said of it."""
    largest, start, heads = float(np.abs(learned.codes).max()), 0, []
    for head, strength in zip(learned.heads, learned.strengths, strict=True):
        of = slice(start, start + head.width)
        start += head.width
        outputs, targets = (np.asarray(each[:, of], np.float64) for each in learned.calibrated)
        calibration = calibrate(head, outputs, targets)
        # the calibration itself is scored where other objects can do that
        tried = None if learned.scored[0] is learned.calibrated[0] else calibration
        seen, known = (np.asarray(each[:, of], np.float64) for each in learned.scored)
        heads.append(TaughtHead(head, calibration, score(head, seen, known, tried), strength))
    layer = LinearMap.of(learned.weight, learned.bias, largest)
    return Predictor(tuple(heads), layer, domain_of(learned.codes, largest), encoder, taught)


def score_table(predictor: Predictor) -> list[dict[str, Any]]:
    """One line a head: its scores, calibration and regularisation."""
    return [
        {
            "question": each.head.name,
            "kind": each.head.kind,
            "objects": each.scores.objects,
            **{key: round(value, 4) for key, value in each.scores.numbers.items()},
            **{key: round(value, 4) for key, value in asdict(each.calibration).items()},
            "strength": each.strength,
        }
        for each in predictor.heads
    ]
