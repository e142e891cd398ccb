"""A head: one question about a galaxy, its possible answers, and what a network's outputs mean for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Head", "Kind", "Transform", "transformed", "untransformed"]

Kind = Literal["classes", "ordinal", "votes", "value"]
Transform = Literal["none", "log", "log1p", "asinh"]

_FORWARD = {"log": np.log, "log1p": np.log1p, "asinh": np.arcsinh}
_BACK = {"log": np.exp, "log1p": np.expm1, "asinh": np.sinh}


@dataclass(frozen=True)
class Head:
    """One question.

    Attributes
    ----------
    name
        Of the question.
    kind
        ``classes``: one of several names; ``ordinal``: a level of an ordered scale; ``votes``: how volunteers' votes are spread over the answers; ``value``: any number.
    answers
        Names of the classes, of the votes' answers, or the levels as text; of a value, nothing.
    levels
        The levels of an ordinal scale, ascending.
    asked
        Votes' questions of a tree: the (question, answer) pairs that lead to this one; any of them does. Empty: everybody is asked.
    transform
        A value is learned as this function of it.
    shift, scale
        Mean and standard deviation of the transformed values that were learned from; a network's outputs are in these units.
    weight
        Of its loss relative to the others'.
    balance
        Weights of the classes in the loss; none: each object counts the same.
    about
        For people: what is asked.
    """

    name: str
    kind: Kind
    answers: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    asked: tuple[tuple[str, str], ...] = ()
    transform: Transform = "none"
    shift: float = 0.0
    scale: float = 1.0
    weight: float = 1.0
    balance: tuple[float, ...] = ()
    about: str = ""

    @property
    def width(self) -> int:
        """Numbers of a network's outputs, and of an object's targets: one an answer; of a value the mean and the logarithm of the spread, and the value and its error."""
        return 2 if self.kind == "value" else len(self.answers)


def transformed(values: NDArray[np.float64], how: Transform) -> NDArray[np.float64]:
    """Values as they are learned; NaN where the function has no finite value."""
    if how == "none":
        return values
    with np.errstate(invalid="ignore", divide="ignore"):
        found = _FORWARD[how](values)
    return np.where(np.isfinite(found), found, np.nan)


def untransformed(values: NDArray[np.float64], how: Transform) -> NDArray[np.float64]:
    """Inverse of `transformed`; what is too large for float64 is its largest number."""
    if how == "none":
        return values
    with np.errstate(over="ignore"):
        return np.nan_to_num(_BACK[how](values))
