"""The part of a config that `tuningfork validate` reads, and the file that maps a published catalog for it."""

from __future__ import annotations

import difflib
from typing import Annotated, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from catalogs import validation
from catalogs.canned import BadQuery
from catalogs.survey import Section

OF_PREDICTORS = {
    "answered": "Every object with an embedding has an answer to every question that it is asked, and to no other.",
    "probabilities": "The probabilities, or fractions of votes, of a question's answers are not negative and add up to 1.",
    "calibration": "Of held-out objects, as many answers are right as their probabilities say: the expected calibration error is small.",
    "coverage": "Of held-out objects, 68 % intervals hold that share of the truths.",
    "outside": "Few objects are unlike those that the predictor was taught on.",
    "label_accuracy": "Answers agree with the catalog's own labels about as often as with those of held-out objects.",
    "label_calibration": "As many of the catalog's own labels are met as the probabilities say.",
    "label_coverage": "68 % intervals hold that share of the catalog's own labels.",
}
"""Tests of predictors, and their statements; what they judge is in a predictor's file and its columns, so no SQL file holds them."""


class Validate(Section):
    """Physical tests of the catalog's classes; they do not change what a run computes."""

    columns: dict[str, str] = {}
    """Our column names and the catalog's: `{ log_mass = "LMASS", u_v = "UV" }`; not needed for columns with the same name."""
    where: str | None = None
    """SQL condition over the catalog's columns, with NaN as null; objects for which it is not true are not tested."""
    order: Annotated[list[str], Field(min_length=2)] = ["SPH", "ETD", "LTD", "IRR"]
    """Classes from early to late: the first half of them is early, the rest is late, the last is irregular."""
    required: list[str] | None = None
    """Tests (`"ordering"`) or rows of them (`"ordering/gini"`) that must not fail, and must run; by default the orderings that can run."""
    skip: list[str] = []
    """Tests that are left out."""
    most: Annotated[int, Field(ge=1000)] = 100_000
    """Maximum number of objects of a class that are tested (approximately); a larger class is sampled by a hash of the ids."""
    set: dict[str, dict[str, str | int | float | list[str]]] = {}
    """Thresholds of each test: `[validate.set.ordering]` with `least = 100`; docs/validation.md lists them."""

    @field_validator("columns")
    @classmethod
    def _columns_are_ours(cls, columns: dict[str, str]) -> dict[str, str]:
        for name in columns:
            _one_of(name, validation.columns(), "column")
        return columns

    @field_validator("order")
    @classmethod
    def _classes_are_distinct(cls, order: list[str]) -> list[str]:
        if len(set(order)) < len(order):
            msg = "a class is named twice"
            raise ValueError(msg)
        if any("," in name or not name.strip() for name in order):
            msg = "a class needs a name, and one without a comma"
            raise ValueError(msg)
        return order

    @field_validator("skip")
    @classmethod
    def _skipped_tests_exist(cls, names: list[str]) -> list[str]:
        for name in names:
            _one_of(name, {**validation.tests(), **OF_PREDICTORS}, "test")
        return names

    @field_validator("required")
    @classmethod
    def _required_tests_exist(cls, names: list[str] | None) -> list[str] | None:
        for name in names or []:
            test, _, of = name.partition("/")
            if test in OF_PREDICTORS:
                continue  # which questions a run has, only the run knows
            known = _one_of(test, validation.tests(), "test")
            columns = [turn["column"] for turn in validation.tests()[known].over if turn]
            if of and columns:
                _one_of(of.split()[0], columns, f"column of the test {test}")
            elif of:
                raise ValueError(f"{name!r}: the test {test} has one row; name it as {test!r}")
        return names

    @field_validator("set")
    @classmethod
    def _parameters_exist(
        cls, settings: dict[str, dict[str, str | int | float | list[str]]]
    ) -> dict[str, dict[str, str | int | float | list[str]]]:
        for name, values in settings.items():
            test = validation.tests()[_one_of(name, validation.tests(), "test")]
            for parameter in values:
                _one_of(parameter, test.settings, f"parameter of the test {name}")
            try:
                test.filled({**texts(values), **test.over[0]})
            except BadQuery as error:
                raise ValueError(str(error)) from error
        return settings

    @model_validator(mode="after")
    def _required_tests_are_not_skipped(self) -> Self:
        for name in self.required or []:
            if name.partition("/")[0] in self.skip:
                raise ValueError(f"{name!r} is both required and skipped")
        return self

    def parameters(self, test: validation.PhysicalTest) -> dict[str, str]:
        """Parameters of a test: as set, else from the order of the classes; the test's own defaults for the rest."""
        half = len(self.order) // 2
        classes = {
            "order": self.order,
            "early": self.order[:half],
            "late": self.order[half:],
            "irregular": self.order[-1:],
        }
        ours = {name: names for name, names in classes.items() if name in test.parameters}
        return texts({**ours, **self.set.get(test.name, {})})


class Published(Section):
    """A published catalog to validate: files, and the SELECT that gives their columns our names."""

    model_config = ConfigDict(serialize_by_alias=True)

    tables: Annotated[dict[str, str], Field(min_length=1)]
    """Name of each table to its file."""
    objects: str
    """SELECT over the tables that gives the view `objects`."""
    validation: Validate = Field(default=Validate(), alias="validate")
    """The tests."""


def texts(values: dict[str, str | int | float | list[str]] | dict[str, list[str]]) -> dict[str, str]:
    """Values of a config as a canned query takes them."""
    return {k: ", ".join(v) if isinstance(v, list) else str(v) for k, v in values.items()}


def _one_of(name: str, known: object, kind: str) -> str:
    names = sorted(str(k) for k in known)  # type: ignore[attr-defined]
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ValueError(f"there is no {kind} {name!r}; {hint}there are: {', '.join(names)}")
    return name
