"""Decision trees as TOML: those that come with the package, and anybody's. docs/trees.md describes the format."""

from __future__ import annotations

import difflib
import re
import string
import tomllib
from pathlib import Path
from typing import Any

from kernels.trees import Question, Tree, TreeError

__all__ = ["bundled", "bundled_names", "bundled_text", "parse"]

_FOLDER = Path(__file__).parent / "decision_trees"
_WIDTH = re.compile(r"(0?\d)?")
_KEYS = {
    "the tree": ("name", "title", "reference", "column", "questions"),
    "a question": ("name", "text", "asked", "column", "answers"),
}


def bundled_names() -> tuple[str, ...]:
    """Names of the trees that come with the package."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def bundled_text(name: str) -> str:
    """TOML of a tree that comes with the package, such as ``gz2``.

    Raises
    ------
    TreeError
        If none of that name comes with it.
    """
    if name not in bundled_names():
        raise TreeError(
            f"no decision tree {name!r} comes with the package (there are: {', '.join(bundled_names())})"
        )
    return (_FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def bundled(name: str) -> Tree:
    """A tree that comes with the package; see `bundled_text`."""
    return parse(bundled_text(name), f"{name}.toml")


def parse(text: str, file: str = "tree.toml") -> Tree:
    """Read a tree from its TOML.

    Parameters
    ----------
    text
        See docs/trees.md.
    file
        What errors call it.

    Raises
    ------
    TreeError
        Naming the file, the question, the key and the value that are wrong.
    """
    try:
        return _tree(tomllib.loads(text))
    except (TreeError, tomllib.TOMLDecodeError) as error:
        raise TreeError(f"{file}: {error}") from error


def _tree(raw: dict[str, Any]) -> Tree:
    _known_keys(raw, "the tree")
    questions = raw.get("questions")
    if (
        not isinstance(questions, list)
        or not questions
        or not all(isinstance(one, dict) for one in questions)
    ):
        raise TreeError("there are no questions. Write each as a table [[questions]]")
    pattern = _text(raw, "column", "the tree", "{question}_{answer}")
    answers = {one["name"]: _answers(one) for one in questions if isinstance(one.get("name"), str)}
    return Tree(
        name=_text(raw, "name", "the tree"),
        title=_text(raw, "title", "the tree", ""),
        reference=_text(raw, "reference", "the tree", ""),
        questions=tuple(_question(one, number, pattern, answers) for number, one in enumerate(questions)),
    )


def _question(raw: dict[str, Any], index: int, pattern: str, answers: dict[str, tuple[str, ...]]) -> Question:
    name = _text(raw, "name", f"question {index + 1}")
    where = f"question {name!r}"
    _known_keys(raw, "a question", where)
    pattern = _text(raw, "column", where, pattern)
    asked = raw.get("asked", [])
    asked = [asked] if isinstance(asked, str) else asked
    if not isinstance(asked, list) or not all(isinstance(one, str) for one in asked) or asked == [""]:
        raise TreeError(
            f'{where}, key asked: write "question.answer", or a list of these; leave it out if all are asked'
        )
    given = raw["answers"] if isinstance(raw["answers"], dict) else {}
    columns = tuple(
        given.get(answer, _column(pattern, name, answer, index, place, where))
        for place, answer in enumerate(answers[name])
    )
    return Question(
        name, answers[name], tuple(_parents(asked, answers)), columns, _text(raw, "text", where, "")
    )


def _answers(raw: dict[str, Any]) -> tuple[str, ...]:
    """Names of a question's answers: a list of names, or a table that gives each one its column."""
    answers = raw.get("answers")
    texts = list(answers.values()) if isinstance(answers, dict) else answers
    if not isinstance(texts, list) or not all(isinstance(one, str) and one for one in texts):
        raise TreeError(
            f'question {raw["name"]!r}, key answers: write a list of names, or a table of name = "column"'
        )
    return tuple(answers or ())


def _parents(asked: list[str], answers: dict[str, tuple[str, ...]]) -> list[tuple[str, str]]:
    """Each ``question.answer`` as a pair; a question's name alone stands for all of its answers."""
    pairs = []
    for one in asked:
        question, dot, answer = one.partition(".")
        pairs += [(question, each) for each in ((answer,) if dot else answers.get(question, ("",)))]
    return pairs


def _column(pattern: str, question: str, answer: str, q: int, a: int, where: str) -> str:
    """A pattern's column: ``{question}``, ``{answer}``, and their places ``{q}`` and ``{a}`` from 1, ``{q0}`` and ``{a0}`` from 0."""
    values = {"question": question, "answer": answer, "q": q + 1, "a": a + 1, "q0": q, "a0": a}
    try:
        fields = [
            (field, spec) for _, field, spec, _ in string.Formatter().parse(pattern) if field is not None
        ]
    except ValueError as error:
        raise TreeError(f"{where}, key column, value {pattern!r}: {error}") from error
    for field, spec in fields:
        if (
            field not in values
            or not _WIDTH.fullmatch(spec or "")
            or (spec and field in {"question", "answer"})
        ):
            raise TreeError(
                f"{where}, key column, value {pattern!r}: {{{field}}} is not understood. "
                "Use {question}, {answer}, or their places {q}, {a} (from 1), {q0}, {a0} (from 0), also as {q:02}"
            )
    return pattern.format(**values)


def _text(raw: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = raw.get(key, default)
    if not isinstance(value, str) or (default is None and not value):
        raise TreeError(
            f'{where}, key {key}: {"missing" if value is None else f"{value!r} is no text"}. Write {key} = "..."'
        )
    return value


def _known_keys(raw: dict[str, Any], what: str, where: str | None = None) -> None:
    for key in raw:
        if key not in _KEYS[what]:
            near = difflib.get_close_matches(key, _KEYS[what], n=1)
            known = f"Do you mean {near[0]!r}?" if near else f"There are: {', '.join(_KEYS[what])}"
            raise TreeError(f"{where or what}: there is no key {key!r}. {known}")
