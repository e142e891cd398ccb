"""The part of the config for naming groups as classes."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from catalogs.survey import Section

LONGEST_NAME = 40


def class_name(text: str) -> str:
    """A class's name as it stands, if it is one.

    Raises
    ------
    ValueError
        If it is empty, too long, has odd spaces or is a number: a class is a name, never a code.
    """
    if not text or text != text.strip() or not text.isprintable() or len(text) > LONGEST_NAME:
        msg = f"must be a name of 1 to {LONGEST_NAME} characters, without spaces around it"
        raise ValueError(msg)
    if re.fullmatch(r"[-+]?\d+(\.\d*)?", text):
        msg = "must be a name, never a number"
        raise ValueError(msg)
    return text


Name = Annotated[str, AfterValidator(class_name)]


class Rule(Section):
    """One rule of `by = "rules"`: the first one that is true gives the group's class."""

    model_config = ConfigDict(serialize_by_alias=True)

    class_: Annotated[Name, Field(alias="class")]
    """Class that the group gets."""
    when: Annotated[str, Field(pattern=r"\S")]
    """SQL condition on the group's medians, each under its column's own name: `sersic_n > 2.5 AND gini > 0.5`."""


class Split(Section):
    """One rule on single objects: the first one that holds for a kept object gives it another class than its group's."""

    model_config = ConfigDict(serialize_by_alias=True)

    class_: Annotated[Name, Field(alias="class")]
    """Class of the object's group."""
    when: Annotated[str, Field(pattern=r"\S")]
    """SQL condition on the object's kept and measured columns: `axis_ratio < 0.3`. Null and NaN make it untrue."""
    into: Name
    """Class that the object gets."""


class Classes(Section):
    """How groups get classes; labels that people give with `tuningfork label` take precedence."""

    by: Literal["none", "rules", "column"] = "none"
    """`rules`: by the medians of the group's kept objects; `column`: by the commonest label in a kept column."""
    rules: list[Rule] = []
    """Rules in the order in which they are tried; a group for which none is true gets no class."""
    split: list[Split] = []
    """Rules on single objects, for groups that hold more than one type."""
    column: str | None = None
    """`by = "column"`: the kept column with the labels."""
    edges: list[float] = []
    """Inner edges of the bins of a column of numbers; an edge belongs to the bin above it."""
    names: list[Name] | dict[str, Name] = []
    """With `edges`: a class for each bin, one more than edges. Without `edges`: a table of the column's values and their classes
    (other values are no labels); by default each text is its own class."""
    finish: bool = False
    """Whether a predictor that learns from the kept objects classifies those that the vote left over, in columns of its own: `finished_class` and
    `finished_probability`."""
    smallest_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Smallest share of a group's labelled kept objects that must have a class for the group to get it."""
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the objects (by a hash of the id) whose labels are not used for naming, but for scoring the classes."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of that hash."""

    @field_validator("edges")
    @classmethod
    def _edges_ascend(cls, edges: list[float]) -> list[float]:
        if any(a >= b for a, b in pairwise(edges)):
            raise ValueError("must ascend, each edge once")
        return edges

    @model_validator(mode="after")
    def _what_it_goes_by_is_there(self) -> Classes:
        if self.by == "rules" and not self.rules:
            raise ValueError('by = "rules" needs [[classes.rules]], each with class and when')
        if self.by == "column" and self.column is None:
            raise ValueError('by = "column" needs the column')
        if self.edges and (not isinstance(self.names, list) or len(self.names) != len(self.edges) + 1):
            raise ValueError(
                f"{len(self.edges)} edges make {len(self.edges) + 1} bins: names must be a list of as many"
            )
        if not self.edges and isinstance(self.names, list) and self.names:
            raise ValueError("a list of names needs edges; a table of names gives each value its class")
        return self
