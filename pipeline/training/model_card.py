"""The model card of a predictor: what it answers, what it was taught on, how good it is, and where it should not be used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernels.heads.assemble import score_table
from kernels.heads.columns import column_name

if TYPE_CHECKING:
    from kernels.heads.predictor import Predictor

__all__ = ["model_card"]

_WORDS = {
    "classes": "one of {answers}",
    "ordinal": "a level: {answers}",
    "votes": "fractions of votes for {answers}",
    "value": "a value",
}


def model_card(predictor: Predictor) -> str:
    """As Markdown."""
    taught, encoder = predictor.taught, predictor.encoder
    own = (
        "a network of its own, whose weights are in the file"
        if predictor.has_network
        else "a run's embeddings"
    )
    lines = [
        "# Predictor",
        "",
        f"Answers {len(predictor.heads)} question{'s' if len(predictor.heads) > 1 else ''} about a galaxy, from {own}.",
        "",
        f"- Taught on {taught['objects']:,} labelled objects of {taught['from']}; {taught['held_out']:,} more were held out.",
        f"- Network: {encoder['model']}, input {encoder['input']} pixels, stretch {encoder['stretch']}, bands {', '.join(encoder['bands'])}.",
        *_beginning(taught),
        f"- Made by {', '.join(f'{name} {number}' for name, number in sorted(taught['versions'].items()))}.",
        "",
        "## Questions",
        "",
        "| column | answers | asked of |",
        "| --- | --- | --- |",
    ]
    for each in predictor.heads:
        head = each.head
        asked = " or ".join(f"{question}: {answer}" for question, answer in head.asked) or "everybody"
        answers = _WORDS[head.kind].format(answers=", ".join(head.answers))
        lines.append(f"| {column_name(head.name)} | {answers} | {asked} |")
    rows = score_table(predictor)
    names = list(dict.fromkeys(key for row in rows for key in row if row[key] is not None))
    lines += [
        "",
        "## Scores",
        "",
        "On objects that neither the layer nor the calibration has seen.",
        "",
        f"| {' | '.join(name.replace('_', ' ') for name in names)} |",
        f"|{' --- |' * len(names)}",
        *(f"| {' | '.join(_shown(row.get(name)) for name in names)} |" for row in rows),
        "",
        "## Limits",
        "",
        "Probabilities and intervals hold for objects like those that it was taught on. The column that ends in `_outside` is true where an object",
        "is unlike them: its answers are a guess there. Stamps of other bands are refused, and other pixel scales noted.",
        "Weights that were trained on others' pictures and labels may carry their terms: say here which, and under which licence you pass this file on.",
        "",
    ]
    return "\n".join(lines)


def _beginning(taught: dict[str, Any]) -> list[str]:
    """What a network of its own began with, and how many objects its training stopped by."""
    if "began_with" not in taught:
        return []
    return [
        f"- It began with {taught['began_with']} weights; {taught['validation']:,} objects said when to stop, and calibrated the answers."
    ]


def _shown(value: object) -> str:
    return "" if value is None else str(value)
