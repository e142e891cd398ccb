"""Several bands of the same objects: what they have in common, as columns."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import pyarrow as pa
import torch

from kernels.measure.flags import DESCRIPTION as FLAG_BITS
from kernels.measure.quantities import LENGTH, columns_of, error_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kernels.measure.colours import Matched
    from kernels.measure.quantities import Errors

__all__ = ["POGSON", "band_fields", "colour_values", "in_band", "measured_fields"]

POGSON = 2.5 / math.log(10)
"""Magnitudes for a flux that grows by its own part."""


def in_band(name: str, band: str) -> str:
    """The name of a measured column in another band: `r50_i`, `r50_i_error`."""
    value = name.removesuffix(error_of(""))
    return f"{name}_{band}" if value == name else error_of(f"{value}_{band}")


def measured_fields(
    quantities: Sequence[str],
    pixel_scale: float | None,
    zeropoint: float | None,
    errors: Errors,
    band: str | None = None,
) -> list[pa.Field]:
    """The columns that are measured in one band; with its name in theirs, where it is given."""
    length = "pix" if pixel_scale is None else "arcsec"
    where = "" if band is None else f", in band {band}"
    fields = []
    for column in columns_of(quantities, errors, zeropoint=zeropoint is not None):
        unit = length if column.unit == LENGTH else column.unit
        name = column.name if band is None else in_band(column.name, band)
        fields.append(_field(name, unit, column.ucd, f"{column.description}{where}"))
    bits = {"ucd": "meta.code.qual", "description": f"bits{where}: {FLAG_BITS}"}
    flags = "measure_flags" if band is None else in_band("measure_flags", band)
    return [*fields, pa.field(flags, pa.int32(), metadata=bits)]


def band_fields(
    zeropoints: Mapping[str, float | None],
    quantities: Sequence[str],
    pixel_scale: float | None,
    errors: Errors,
) -> list[pa.Field]:
    """The columns that further bands add: theirs, fluxes in all of them on the same pixels, and what follows from these."""
    first, *rest = zeropoints
    fields = [
        field
        for band in rest
        for field in measured_fields(quantities, pixel_scale, zeropoints[band], errors, band)
    ]
    circle = f"within 1.5 r_petro_circ of band {first}, of the pixels that are known in all bands"
    for band in zeropoints:
        text = f"flux in band {band} {circle}, in the image's unit"
        fields += _with_error(f"matched_flux_{band}", "", "phot.flux", text, errors)
    for one, other in zip(zeropoints, rest, strict=False):
        if zeropoints[one] is not None and zeropoints[other] is not None:
            text = f"{one} - {other}, {circle}"
            fields += _with_error(f"{one}_{other}", "mag", "phot.color", text, errors)
    for one, other in zip(zeropoints, rest, strict=False):
        text = f"colour dispersion of {one} and {other} (Papovich et al. 2003), {circle}"
        fields += _with_error(f"colour_dispersion_{one}_{other}", "", "stat.stdev;phot.color", text, errors)
    return fields


def colour_values(found: Matched, zeropoints: Mapping[str, float | None]) -> dict[str, torch.Tensor]:
    """What `band_fields` says of all bands together, with errors."""
    bands, values = list(zeropoints), dict[str, torch.Tensor]()
    for place, band in enumerate(bands):
        values[f"matched_flux_{band}"] = found.flux[:, place]
        values[error_of(f"matched_flux_{band}")] = found.flux_error[:, place]
    relative = found.flux_error / found.flux
    for place, (one, other) in enumerate(itertools.pairwise(bands)):
        name, zeros = f"{one}_{other}", (zeropoints[one], zeropoints[other])
        if zeros[0] is not None and zeros[1] is not None:
            ratio = found.flux[:, place] / found.flux[:, place + 1]
            both = relative[:, place] ** 2 + relative[:, place + 1] ** 2
            values[name] = zeros[0] - zeros[1] - 2.5 * ratio.log10()
            values[error_of(name)] = POGSON * both.sqrt()
        values[f"colour_dispersion_{name}"] = found.dispersion[:, place]
        values[error_of(f"colour_dispersion_{name}")] = found.dispersion_error[:, place]
    return values


def _with_error(name: str, unit: str, ucd: str, text: str, errors: Errors) -> list[pa.Field]:
    fields = [_field(name, unit, ucd, text)]
    if errors != "none":
        fields.append(
            _field(
                error_of(name),
                unit,
                f"stat.error;{ucd.rsplit(';', maxsplit=1)[-1]}",
                f"1-sigma error of {name}",
            )
        )
    return fields


def _field(name: str, unit: str, ucd: str, text: str) -> pa.Field:
    metadata = {"unit": unit, "ucd": ucd, "description": text}
    return pa.field(name, pa.float32(), metadata={k: v for k, v in metadata.items() if v})
