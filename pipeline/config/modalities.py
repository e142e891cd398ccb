"""The `[modalities]` part of a config: what a multi-modal encoder is told of an object beside its stamp, and where the catalog has it."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from catalogs.path_template import unfilled
from catalogs.survey import Section
from kernels.transforms import Transform  # noqa: TC001 - pydantic reads it

__all__ = ["Modalities", "ScalarGroup", "VectorModality"]

STAMPS = "stamps"
"""As in `kernels.modalities`, which loads torch: that takes seconds, and a config is to be read at once."""
USUAL_LENGTH = 4096
"""Values of a vector, as far as memory goes, whose length only the catalog says."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
Wavelength = Annotated[float, Field(gt=0)]


class ScalarGroup(Section):
    """Single numbers of an object, each with or without an error."""

    name: Name
    """Of the modality."""
    columns: Annotated[list[str], Field(min_length=1)] | Annotated[dict[str, str], Field(min_length=1)]
    """Columns of the catalog; or a table of the network's names for them and the names that they have in this catalog: `{mag_u = "U_MAG"}`."""
    error: str | None = None
    """Column of the standard error, for example `"{column}_err"`, where `{column}` is the column in this catalog."""
    transform: Transform = "none"
    """`log` (natural), `log1p` or `asinh`: what a network that is trained learns from is this function of the value."""
    missing: float | None = None
    """Value that means that it is unknown."""

    @property
    def sources(self) -> dict[str, str]:
        """The catalog's column of each scalar."""
        return self.columns if isinstance(self.columns, dict) else {name: name for name in self.columns}

    def error_of(self, column: str) -> str | None:
        """The column with the standard error of a column, if there is one."""
        return None if self.error is None else self.error.replace("{column}", column)

    @field_validator("columns")
    @classmethod
    def _distinct(cls, columns: list[str] | dict[str, str]) -> list[str] | dict[str, str]:
        if isinstance(columns, list) and len(set(columns)) < len(columns):
            raise ValueError("a column is named twice")
        return columns

    @field_validator("error")
    @classmethod
    def _error_is_of_a_column(cls, error: str | None) -> str | None:
        if left := unfilled(error or "", "column"):
            raise ValueError(f"{', '.join(left)} is not filled in: error takes only {{column}}")
        return error

    @model_validator(mode="after")
    def _errors_differ(self) -> Self:
        sources = list(self.sources.values())
        if self.error is not None and len(sources) > 1 and "{column}" not in self.error:
            raise ValueError(f'error = "{self.error}" is one column for several: name it "{{column}}_err"')
        return self


class VectorModality(Section):
    """A spectrum or SED: values along a wavelength."""

    name: Name
    """Of the modality."""
    column: str
    """Column of vectors."""
    ivar: str | None = None
    """Column of vectors with the inverse variances of the values; 0 where there is no data."""
    wavelengths: Annotated[list[Wavelength], Field(min_length=1)] | str
    """Wavelengths of the values, nm: the first and the last one, or all; or a column of vectors that has them, which must be the same for all objects: what has others counts as missing."""
    spacing: Literal["linear", "log"] = "linear"
    """Between the first and the last of two wavelengths: even steps, or even ratios."""
    patch: Annotated[int, Field(ge=1, le=65_536)] = 32
    """Values in a token of a network that is trained."""

    @field_validator("wavelengths")
    @classmethod
    def _ascending(cls, wavelengths: list[float] | str) -> list[float] | str:
        if isinstance(wavelengths, list):
            for before, after in pairwise(wavelengths):
                if not before < after:
                    raise ValueError(f"wavelengths ascend: {after:g} comes after {before:g}")
        return wavelengths

    @model_validator(mode="after")
    def _spacing_is_of_two(self) -> Self:
        if self.spacing != "linear" and (isinstance(self.wavelengths, str) or len(self.wavelengths) != 2):
            raise ValueError(f'spacing = "{self.spacing}" goes with wavelengths = [FIRST, LAST]')
        return self


class Modalities(Section):
    """For encoders `ar-…` and `tuningfork train autoregressive`: what the network is told of an object beside its stamp. Any part of what a network was trained with will do."""

    bands: Annotated[list[str], Field(min_length=1)] | None = None
    """Those of the stamps' bands that the network is given; default: all."""
    scalars: list[ScalarGroup] = []
    """Groups of single numbers: magnitudes, colours, sizes."""
    vectors: list[VectorModality] = []
    """Spectra and SEDs."""

    @property
    def given(self) -> bool:
        """Whether there is anything but the stamps."""
        return bool(self.scalars or self.vectors)

    @property
    def told(self) -> list[str]:
        """All that a network is given, by the names that it has there: embeddings made of other things mean something else."""
        scalars = [f"{each.name} {name}" for each in self.scalars for name in each.sources]
        bands = [] if self.bands is None else [f"band {band}" for band in self.bands]
        return sorted([*bands, *scalars, *(each.name for each in self.vectors)])

    @property
    def width(self) -> int:
        """Numbers that an object has beside its stamp, about: values and their errors."""
        lengths = [
            len(each.wavelengths)
            if isinstance(each.wavelengths, list) and len(each.wavelengths) > 2
            else USUAL_LENGTH
            for each in self.vectors
        ]
        return 2 * (sum(len(each.sources) for each in self.scalars) + sum(lengths))

    @field_validator("bands")
    @classmethod
    def _bands_are_distinct(cls, bands: list[str] | None) -> list[str] | None:
        if bands is not None and len(set(bands)) < len(bands):
            raise ValueError("a band is named twice")
        return bands

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        names = [*(each.name for each in self.scalars), *(each.name for each in self.vectors)]
        if STAMPS in names:
            raise ValueError(f'"{STAMPS}" is the name of the stamps: give another one')
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f'two modalities are called "{twice[0]}"')
        return self
