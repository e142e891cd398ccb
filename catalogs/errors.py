"""What can be wrong with a release or a run: one class a cause, one message that says what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Fault:
    """One thing that is wrong: where it is, which column and value show it, and the remedy."""

    file: str
    problem: str
    remedy: str
    column: str | None = None
    value: str | None = None

    def __str__(self) -> str:
        where = self.file
        if self.column is not None:
            where += f", column {self.column!r}"
        if self.value is not None:
            where += f", value {self.value}"
        return f"{where}: {self.problem}. {self.remedy}"


class TuningforkError(Exception):
    """The root of every error that tuningfork raises on purpose."""


class Refused(TuningforkError):
    """The work cannot start: `faults` is the complete list of what is wrong."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = sorted(set(faults))
        super().__init__("\n".join(str(fault) for fault in self.faults))


class CorruptFile(TuningforkError):
    """A file that was sound when the run was planned can no longer be read as what it is."""


class CatalogMismatch(TuningforkError):
    """Rows in and rows out differ: a catalog must never be published like this."""
