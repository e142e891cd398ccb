"""Decision trees: questions, and which answers lead to which.

`kernels.tree_text` reads them from TOML; `kernels.tree_votes` has the probabilities and losses along them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

__all__ = ["Question", "Tree", "TreeError"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9_ -]*[a-z0-9])?")


class TreeError(ValueError):
    """A decision tree that can't be used; the message says where it is wrong and what to do."""


@dataclass(frozen=True)
class Question:
    """One question, and who is asked it.

    Attributes
    ----------
    name, answers
        As the survey calls them.
    parents
        The answers that lead to it, each as (question, answer); none if everybody is asked. No volunteer can give two of them.
    columns
        Column of a table of votes for each answer; by default ``{question}_{answer}``.
    text
        The question as volunteers read it.
    """

    name: str
    answers: tuple[str, ...]
    parents: tuple[tuple[str, str], ...] = ()
    columns: tuple[str, ...] = ()
    text: str = ""

    def __post_init__(self) -> None:
        if not self.columns:
            object.__setattr__(self, "columns", tuple(f"{self.name}_{answer}" for answer in self.answers))


@dataclass(frozen=True)
class Tree:
    """A sound decision tree; making one that is not raises `TreeError`.

    Everything that has a value for each answer holds them in the order of `questions`, the answers of one question side by side.
    """

    name: str
    questions: tuple[Question, ...]
    title: str = ""
    reference: str = ""

    def __post_init__(self) -> None:
        _check_names(self)
        _check_parents(self)
        _check_order(self)
        _check_exclusive(self)

    @property
    def columns(self) -> tuple[str, ...]:
        """Column of each answer in a table of votes."""
        return tuple(column for question in self.questions for column in question.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """``question_answer`` of each answer, spelled as a column of SQL: the stems of output columns."""
        return tuple(
            _sql(f"{question.name}_{answer}") for question in self.questions for answer in question.answers
        )

    @cached_property
    def slices(self) -> tuple[slice, ...]:
        """Where each question's answers stand."""
        ends = [0]
        for question in self.questions:
            ends.append(ends[-1] + len(question.answers))
        return tuple(slice(start, end) for start, end in pairwise(ends))

    @cached_property
    def question_of(self) -> tuple[int, ...]:
        """Index of the question of each answer."""
        return tuple(index for index, question in enumerate(self.questions) for _ in question.answers)

    @cached_property
    def leads(self) -> tuple[tuple[int, ...], ...]:
        """Indices of the answers that lead to each question; none if everybody is asked."""
        place = {
            (question.name, answer): here.start + index
            for question, here in zip(self.questions, self.slices, strict=True)
            for index, answer in enumerate(question.answers)
        }
        return tuple(tuple(place[parent] for parent in question.parents) for question in self.questions)

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Indices of the questions, parents before children."""
        return tuple(TopologicalSorter(_parent_questions(self)).static_order())


def _check_names(tree: Tree) -> None:
    if not tree.questions:
        raise TreeError("there are no questions. A tree has at least one")
    for question in tree.questions:
        for what, name in (
            ("a question's", question.name),
            *(("an answer's", name) for name in question.answers),
        ):
            if not _NAME.fullmatch(name):
                raise TreeError(
                    f"question {question.name!r}: {name!r} can't be {what} name. "
                    "Names become columns: use lower-case letters, digits, spaces, - and _, and begin and end with a letter or digit"
                )
        if question.name[0].isdigit():
            raise TreeError(
                f"question {question.name!r}: its name begins with a digit. Begin it with a letter: it begins a column's name"
            )
        if len(question.answers) < 2:
            raise TreeError(
                f"question {question.name!r}, key answers: {len(question.answers)} given. A question has at least two"
            )
        if len(question.columns) != len(question.answers):
            raise TreeError(
                f"question {question.name!r}: {len(question.columns)} columns for {len(question.answers)} answers"
            )
    alike = " (spaces and - count as _). Rename one"
    _distinct([_sql(question.name) for question in tree.questions], "questions have the name", alike)
    _distinct(list(tree.names), "answers have the name", alike)
    _distinct(list(tree.columns), "answers have the column", ". Give each its own")


def _distinct(names: list[str], what: str, remedy: str) -> None:
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise TreeError(f"two {what} {doubled[0]!r}{remedy}")


def _check_parents(tree: Tree) -> None:
    answers = {question.name: question.answers for question in tree.questions}
    for question in tree.questions:
        for name, answer in question.parents:
            where = f"question {question.name!r}, key asked, value {f'{name}.{answer}'.rstrip('.')!r}"
            if name not in answers:
                near = get_close_matches(name, answers, n=1)
                known = f"Do you mean {near[0]!r}?" if near else f"There are: {', '.join(answers)}"
                raise TreeError(f"{where}: there is no question {name!r}. {known}")
            if answer not in answers[name]:
                raise TreeError(f"{where}: {name!r} has no such answer. It has: {', '.join(answers[name])}")
            if question.parents.count((name, answer)) > 1:
                raise TreeError(f"{where}: named twice. Name it once")


def _check_order(tree: Tree) -> None:
    try:
        TopologicalSorter(_parent_questions(tree)).prepare()
    except CycleError as error:
        circle = " <- ".join(tree.questions[index].name for index in error.args[1])
        raise TreeError(
            f"questions lead to each other in a circle: {circle}. One of them must be asked first"
        ) from error


def _check_exclusive(tree: Tree) -> None:
    """What leads to a question is added up, so that no volunteer may give two of its parents."""
    known: dict[tuple[int, int], bool] = {}

    def exclude(one: int, other: int) -> bool:
        if (one, other) not in known:
            first, second = tree.question_of[one], tree.question_of[other]
            up, down = tree.leads[first], tree.leads[second]
            known[one, other] = (first == second and one != other) or (
                one != other
                and (
                    (bool(up) and all(exclude(parent, other) for parent in up))
                    or (bool(down) and all(exclude(one, parent) for parent in down))
                )
            )
        return known[one, other]

    for question, leads in zip(tree.questions, tree.leads, strict=True):
        for place, one in enumerate(leads):
            for other in leads[:place]:
                if not exclude(one, other):
                    raise TreeError(
                        f"question {question.name!r}, key asked: one volunteer can answer both {tree.names[other]!r} and "
                        f"{tree.names[one]!r}. Name answers that exclude each other"
                    )


def _parent_questions(tree: Tree) -> dict[int, list[int]]:
    index = {question.name: place for place, question in enumerate(tree.questions)}
    return {
        place: [index[parent] for parent, _ in question.parents]
        for place, question in enumerate(tree.questions)
    }


def _sql(name: str) -> str:
    return re.sub(r"[ -]", "_", name)
