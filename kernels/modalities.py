"""Modalities: what a multi-modal network is told of an object beside its stamps, and how all of it is brought to one scale.

Beside its stamp (bands, y, x) an object has one row of numbers, `width` long, NaN where something is missing: for each group of scalars their values and
then their errors, for each vector its values and then its inverse variances.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from kernels.brightness import Brightness

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from kernels.transforms import Transform

__all__ = ["STAMPS", "Modalities", "Scalars", "Stamps", "Vector"]

STAMPS = "stamps"
"""Name of the modality that every network has."""


@dataclass(frozen=True)
class Stamps:
    """Images of an object, in patches."""

    bands: tuple[str, ...]
    side: int
    """Pixels."""
    patch: int
    """Side of a patch, pixels; divides `side`."""
    order: Literal["spiral", "raster"]
    """Of the patches: from the centre outwards, or line by line."""
    flux: Literal["kept", "standardised"]
    """Whether values are those of `brightness`, or of each patch with its own mean and deviation taken out."""
    brightness: Brightness
    """From calibrated fluxes to values of mean 0 and variance 1 over the release, one scale a band."""
    unit: str = ""
    """Of the fluxes, as the release's headers have it; empty where they say nothing."""
    pixel_scale: float | None = None
    """Arcsec a pixel; None where it is unknown."""

    @property
    def tokens(self) -> int:
        """Patches of a stamp."""
        return (self.side // self.patch) ** 2


@dataclass(frozen=True)
class Scalars:
    """Single numbers of an object, with or without errors: one token each."""

    name: str
    columns: tuple[str, ...]
    """Names of the scalars."""
    units: tuple[str, ...]
    """Of their columns; empty where the catalog does not say."""
    transform: Transform
    """What is learned is this function of the value, less `shift`, over `scale`."""
    shift: tuple[float, ...]
    scale: tuple[float, ...]

    @property
    def tokens(self) -> int:
        """One a scalar."""
        return len(self.columns)

    @property
    def width(self) -> int:
        """Numbers in an object's row: values and errors."""
        return 2 * len(self.columns)


@dataclass(frozen=True)
class Vector:
    """A spectrum or SED: values along a wavelength, with their inverse variances, in patches."""

    name: str
    length: int
    patch: int
    """Values in a token; the last one is filled up with missing ones."""
    wavelengths: tuple[float, ...]
    """Of the values, nm, ascending."""
    unit: str
    """Of its column; empty where the catalog does not say."""
    brightness: Brightness
    """From values to numbers of mean 0 and variance 1, one scale for all wavelengths."""

    @property
    def tokens(self) -> int:
        """Patches."""
        return -(-self.length // self.patch)

    @property
    def width(self) -> int:
        """Numbers in an object's row: values and inverse variances."""
        return 2 * self.length


@dataclass(frozen=True)
class Modalities:
    """All modalities of a network, or those of them that a release has."""

    stamps: Stamps
    scalars: tuple[Scalars, ...] = ()
    vectors: tuple[Vector, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of all modalities, in the order of their tokens."""
        return (STAMPS, *(each.name for each in self.others))

    @property
    def others(self) -> tuple[Scalars | Vector, ...]:
        """All but the stamps, in the order of an object's row."""
        return (*self.scalars, *self.vectors)

    @property
    def width(self) -> int:
        """Numbers in an object's row."""
        return sum(each.width for each in self.others)

    @property
    def tokens(self) -> int:
        """Of an object that has everything, without the markers that begin modalities."""
        return self.stamps.tokens + sum(each.tokens for each in self.others)

    def split(self, rows: torch.Tensor) -> Iterator[tuple[Scalars | Vector, torch.Tensor, torch.Tensor]]:
        """Of rows (n, width): each modality with its values and its errors or inverse variances, (n, columns or length) each."""
        start = 0
        for each in self.others:
            half = each.width // 2
            yield each, rows[:, start : start + half], rows[:, start + half : start + 2 * half]
            start += each.width

    def to_values(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_values(cls, values: dict[str, Any]) -> Modalities:
        """From what `to_values` gives; raises KeyError or TypeError where it is something else."""
        stamps = _with_tuples(values["stamps"])
        return cls(
            Stamps(**stamps),
            tuple(Scalars(**_with_tuples(each)) for each in values["scalars"]),
            tuple(Vector(**_with_tuples(each)) for each in values["vectors"]),
        )


def _with_tuples(values: dict[str, Any]) -> dict[str, Any]:
    found = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    if "brightness" in values:
        found["brightness"] = Brightness(**_with_tuples(values["brightness"]))
    return found
