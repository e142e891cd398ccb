"""A head: one question about a galaxy, its possible answers, and what a network's outputs mean for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from kernels.transforms import Transform

__all__ = ["Head", "Kind"]

Kind = Literal["classes", "ordinal", "votes", "value"]


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
