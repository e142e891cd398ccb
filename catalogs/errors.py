"""What can be wrong with a release or a run: one class a cause, one message that says what to do."""

from __future__ import annotations

from dataclasses import dataclass, replace

SHOWN = 20
"""Faults of a table's lines or a folder's pictures that are listed one by one."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: where it is, which column (or key of the config) and value show it, and the remedy."""

    file: str
    problem: str
    remedy: str
    column: str | None = None
    value: str | None = None
    key: str | None = None
    """Dotted name of a key of the config."""

    def __str__(self) -> str:
        where = self.file
        if self.key is not None:
            where += f", key {self.key}"
        if self.column is not None:
            where += f", column {self.column!r}"
        if self.value is not None:
            where += f", value {self.value}"
        return f"{where}: {self.problem}. {self.remedy}".replace("\n", "\\n")


def grouped(faults: list[Fault]) -> list[Fault]:
    """One fault for what is wrong in the same way in many files: a release has thousands."""
    alike: dict[tuple[str | None, ...], list[Fault]] = {}
    for fault in faults:
        alike.setdefault((fault.problem, fault.remedy, fault.column), []).append(fault)
    return [
        replace(first, problem=f"{first.problem}; the same in {len(others)} more files") if others else first
        for first, *others in alike.values()
    ]


def listed(faults: list[Fault], what: str) -> list[Fault]:
    """As many faults as a person reads, and how many more `what` have some."""
    if len(faults) <= SHOWN:
        return faults
    more = f"and {len(faults) - SHOWN} more {what}"
    return [*faults[:SHOWN], Fault("~", more, "They have the same or similar faults")]


class TuningforkError(Exception):
    """The root of every error that tuningfork raises on purpose."""


class Refused(TuningforkError):
    """The work cannot start: `faults` is the complete list of what is wrong."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = sorted(set(faults), key=str)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class CorruptFile(TuningforkError):
    """A file that was sound when the run was planned can no longer be read as what it is."""


class FileChanged(CorruptFile):
    """A file is not the version any more that a run was planned with: old and new must not be mixed in one catalog."""


class CannotWrite(TuningforkError, OSError):
    """A disk is full, read-only or gone: what is done is kept, and a run can go on once that is mended."""


class CatalogMismatch(TuningforkError):
    """Rows in and rows out differ: a catalog must never be published like this."""


class BadRequest(TuningforkError, ValueError):
    """The request can't be met as it is; the message says what can be done."""
