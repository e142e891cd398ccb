"""The folder of a predictor: its file, the table and figure of its scores, and its model card."""

from __future__ import annotations

import csv
import io
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from catalogs import storage
from catalogs.errors import Fault, Refused
from kernels.heads.assemble import score_table
from pipeline.training.model_card import model_card
from pipeline.training.reliability import figure

if TYPE_CHECKING:
    from rich.console import Console

    from kernels.heads.predictor import Predictor
    from pipeline.config.training import Train

__all__ = ["FILE", "FILES", "check", "provenance", "show", "taught", "write"]

FILES = ("predictor.safetensors", "scores.csv", "reliability.png", "predictor.md")
FILE, SCORES, FIGURE, CARD = FILES


def check(out: str, *, anew: bool) -> None:
    """Refuse a folder that holds something else, or a predictor that may not be replaced.

    Raises
    ------
    Refused
    """
    there = set(storage.names(out)) - set(FILES)
    if there:
        raise Refused([Fault(out, f"is not empty: it holds {min(there)}", "Give another --out")])
    if storage.exists(storage.join(out, FILE)) and not anew:
        raise Refused(
            [Fault(out, "holds a predictor already", "Give another --out, or --anew to replace it")]
        )


def taught(what: str, objects: int, held_out: int, **more: Any) -> dict[str, Any]:
    """What is to be said of a predictor's training: what it learned from, and by what software."""
    versions = {name: version(name) for name in ("tuningfork", "torch")}
    return {"from": what, "objects": objects, "held_out": held_out, "versions": versions, **more}


def provenance(train: Train) -> dict[str, Any]:
    """What tells which objects were held out, and what each question's labels are, for `taught`."""
    labels = train.labels.model_dump(mode="json", exclude_defaults=True)
    return {"labels": labels, "fold": train.fold, "folds": train.folds}


def write(out: str, predictor: Predictor, data: bytes) -> None:
    """Write everything but the file itself first: where that is, the rest is."""
    rows = score_table(predictor)
    text = io.StringIO()
    names = list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    storage.write(storage.join(out, SCORES), text.getvalue().encode())
    storage.write(storage.join(out, FIGURE), figure(predictor))
    storage.write(storage.join(out, CARD), model_card(predictor).encode())
    storage.write(storage.join(out, FILE), data)


def show(console: Console, predictor: Predictor, path: str) -> None:
    """Say how good it is and how it is used."""
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("question", "kind", "objects", "scores on held-out objects"):
        table.add_column(name, justify="right" if name == "objects" else "left")
    for each in predictor.heads:
        numbers = ", ".join(
            f"{key.replace('_', ' ')} {value:.3f}" for key, value in each.scores.numbers.items()
        )
        table.add_row(escape(each.head.name), each.head.kind, f"{each.scores.objects:,}", numbers)
    console.print(table)
    console.print(f"predictor: {escape(path)}; use it by", soft_wrap=True)
    console.print(
        f"  {escape('[predict]')}\n  with = [{escape(repr(path).replace(chr(39), chr(34)))}]",
        soft_wrap=True,
        highlight=False,
    )
    console.print("or, on a finished run, by")
    console.print(f"  tuningfork predict RUN {escape(path)}", soft_wrap=True, highlight=False)
