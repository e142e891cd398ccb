"""Columns of the catalogs that `detect` writes: SExtractor's names, with units, UCDs and meanings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["KEPT", "as_arrow", "as_numpy", "described", "made_columns", "repeated"]

KEPT = ("X_IMAGE", "Y_IMAGE", "MAG_AUTO", "FLUX_RADIUS", "FLAGS as sextractor_flags", "STAR")
"""That a run of the catalog keeps, unless its config says which."""
ID = "NUMBER"
SKY = ("ALPHA_J2000", "DELTA_J2000")
# Name: type, unit, UCD, meaning.
_COLUMNS: dict[str, tuple[pa.DataType, str, str, str]] = {
    ID: (pa.int64(), "", "meta.id;meta.main", "running number, unique in the catalog"),
    "ALPHA_J2000": (pa.float64(), "deg", "pos.eq.ra;meta.main", "right ascension, ICRS"),
    "DELTA_J2000": (pa.float64(), "deg", "pos.eq.dec;meta.main", "declination, ICRS"),
    "X_IMAGE": (
        pa.float64(),
        "pix",
        "pos.cartesian.x;instr.det",
        "barycentre on the tile; the first pixel is 1",
    ),
    "Y_IMAGE": (
        pa.float64(),
        "pix",
        "pos.cartesian.y;instr.det",
        "barycentre on the tile; the first pixel is 1",
    ),
    "MAG_AUTO": (pa.float32(), "mag", "phot.mag", "of FLUX_AUTO"),
    "MAGERR_AUTO": (pa.float32(), "mag", "stat.error;phot.mag", "of MAG_AUTO"),
    "FLUX_AUTO": (pa.float64(), "", "phot.count", "in an ellipse of 2.5 Kron radii, at least 3.5 A_IMAGE"),
    "FLUXERR_AUTO": (pa.float64(), "", "stat.error;phot.count", "of FLUX_AUTO"),
    "FLUX_ISO": (pa.float64(), "", "phot.count", "sum of the source's own pixels in the detection image"),
    "FLUX_MAX": (pa.float64(), "", "phot.count;stat.max", "brightest pixel in the detection image"),
    "FLUX_RADIUS": (pa.float32(), "pix", "phys.angSize", "radius with half of FLUX_AUTO"),
    "KRON_RADIUS": (pa.float32(), "", "phys.angSize", "of that ellipse, in A_IMAGE"),
    "A_IMAGE": (pa.float32(), "pix", "phys.angSize.smajAxis", "rms along the major axis"),
    "B_IMAGE": (pa.float32(), "pix", "phys.angSize.sminAxis", "rms along the minor axis"),
    "THETA_IMAGE": (pa.float32(), "deg", "pos.posAng", "of the major axis, from x towards y"),
    "ISOAREA_IMAGE": (pa.int32(), "pix", "phys.area", "pixels above the threshold"),
    "FLAGS": (
        pa.int16(),
        "",
        "meta.code",
        "sum of 1 neighbours or bad pixels, 2 deblended, 4 saturated, 8 cut by the edge, 16 aperture cut, 64 deblending overflow",
    ),
    "STAR": (pa.bool_(), "", "src.class.starGalaxy", "whether as small as the tile's stars"),
}


def made_columns() -> list[str]:
    """Names of all columns that are made, but those of a path template."""
    return list(_COLUMNS)


def described(names: list[str], tile: Mapping[str, str | int], *, instrumental: bool = False) -> pa.Schema:
    """The schema of some columns, followed by those of a path template."""
    fields = []
    for name in names:
        kind, unit, ucd, meaning = _COLUMNS[name]
        if instrumental and name == "MAG_AUTO":
            meaning += "; instrumental, zero point 0"
        metadata = {"unit": unit, "ucd": ucd, "description": meaning}
        fields.append(pa.field(name, kind, metadata={k: v for k, v in metadata.items() if v}))
    for name, value in tile.items():
        kind = pa.int64() if isinstance(value, int) else pa.string()
        fields.append(
            pa.field(name, kind, metadata={"ucd": "meta.id;obs.field", "description": "of the tile"})
        )
    return pa.schema(fields)


def as_arrow(values: NDArray[Any], kind: pa.DataType) -> pa.Array:
    """Numbers or truth values (n,) as an Arrow array; `pa.array` would load pandas, which takes half as long as a tile."""
    if kind == pa.bool_():
        data = np.packbits(np.asarray(values, bool), bitorder="little")
    else:
        data = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(data)])


def repeated(value: str | int, count: int) -> pa.Array:
    """One text or integer, so many times; a scalar of Arrow would load pandas too."""
    if isinstance(value, int):
        return as_arrow(np.full(count, value), pa.int64())
    text = value.encode()
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(len(text))
    return pa.Array.from_buffers(
        pa.string(), count, [None, pa.py_buffer(offsets), pa.py_buffer(text * count)]
    )


def as_numpy(values: pa.ChunkedArray) -> NDArray[Any]:
    """A column of numbers or truth values without nulls as an array (n,); Arrow's own way would load pandas here too."""
    found = values.combine_chunks()
    buffer, place = found.buffers()[1], slice(found.offset, found.offset + len(found))
    if found.type == pa.bool_():
        return np.unpackbits(np.frombuffer(buffer, np.uint8), bitorder="little")[place].astype(bool)
    return np.frombuffer(buffer, found.type.to_pandas_dtype())[place]
