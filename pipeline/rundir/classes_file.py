"""What `models/classes.json` must hold, for all who read it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from pipeline.rundir import arrays

__all__ = ["read_classes"]


class _Group(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", populate_by_name=True)
    group: int
    by: str | None
    author: str | None
    notes: str | None
    objects: int
    kept: int


class _Classes(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")
    groups: list[_Group]


def read_classes(url: str) -> dict[str, Any]:
    """The class of each group of a run, and the evidence for it, as the barrier wrote them.

    Raises
    ------
    CorruptFile
        If the file holds something else.
    """
    return arrays.read_with(url, _sound)


def _sound(values: Any) -> dict[str, Any]:
    _Classes.model_validate(values)  # its errors are ValueErrors
    if not all(isinstance(group["class"], str | None) for group in values["groups"]):
        msg = "a class is a name"
        raise ValueError(msg)
    return dict(values)
