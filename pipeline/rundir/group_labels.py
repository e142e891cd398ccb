"""What people decided on the groups of a run: kept in it with author and date, and never applied to other groups."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import TypeAdapter, ValidationError

from catalogs import storage
from catalogs.errors import Fault, Refused
from catalogs.headers import first_line
from pipeline.output.places import as_place

if TYPE_CHECKING:
    from pipeline.rundir.run_directory import RunDirectory


@dataclass(frozen=True)
class Label:
    """The class that a person gave a group."""

    name: str
    notes: str | None
    author: str
    date: str
    """Of the decision: UTC, ISO 8601."""


@dataclass(frozen=True)
class Decision:
    """What one `tuningfork label` said."""

    author: str
    date: str
    fit: str
    """Fingerprint of the fit that made the groups: the same numbers mean other groups after another fit."""
    groups: dict[str, dict[str, str | None]]
    """Group number, and its `class` and `notes`."""
    notes: str | None = None
    replace: bool = False
    """Whether earlier labels of this fit no longer hold; else they do for the groups that this one does not name."""


FILE = TypeAdapter(dict[Literal["decisions"], list[Decision]])


def read(run: RunDirectory) -> list[Decision]:
    """All decisions, the earliest first.

    Raises
    ------
    Refused
        If the file is damaged.
    """
    with as_place(run.url):  # a plan looks here first
        if not storage.exists(run.labels):
            return []
    try:
        return _sound(FILE.validate_json(storage.read(run.labels), strict=True)["decisions"])
    except (ValueError, KeyError) as error:
        why = first_line(error)
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        remedy = "Restore it, or remove it and label the groups again"
        raise Refused([Fault(run.labels, f"is damaged ({why})", remedy)]) from error


def _sound(found: list[Decision]) -> list[Decision]:
    for decision in found:
        for number, given in decision.groups.items():
            if not re.fullmatch(r"[0-9]{1,4}", number) or given.get("class") is None:
                raise ValueError(f"group {number!r} has no class")
    return found


def add(run: RunDirectory, decision: Decision) -> None:
    """Keep a decision beside the earlier ones."""
    values = {"decisions": [asdict(each) for each in [*read(run), decision]]}
    storage.write(run.labels, json.dumps(values, indent=1, sort_keys=True).encode())


def in_force(decisions: list[Decision], fit: str) -> dict[int, Label]:
    """The label of each group that has one, the last that was given to the groups of this fit."""
    labels: dict[int, Label] = {}
    for decision in decisions:
        if decision.fit != fit:
            continue
        if decision.replace:
            labels.clear()
        for number, given in decision.groups.items():
            name = str(given["class"])
            labels[int(number)] = Label(name, given.get("notes"), decision.author, decision.date)
    return dict(sorted(labels.items()))


def notes(decisions: list[Decision], fit: str) -> list[str]:
    """What a plan says of labels."""
    lines = []
    stale = [decision for decision in decisions if decision.fit != fit]
    if stale:
        last = stale[-1]
        lines.append(
            f"Labels by {last.author} of {last.date} were given to the groups of another fit and are ignored: "
            "look at the new groups and label them."
        )
    labels = in_force(decisions, fit)
    if labels:
        named = ", ".join(f"{group} {label.name}" for group, label in labels.items())
        lines.append(f"Groups named by people: {named}.")
    return lines


def as_values(labels: dict[int, Label]) -> list[Any]:
    """Labels as plain values, for a fingerprint."""
    return [[group, asdict(label)] for group, label in sorted(labels.items())]
