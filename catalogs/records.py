"""Stamps in nested columns of Parquet: records of a band's name, its pixels and planes beside them, or plain lists of numbers.

The records are those of the Multimodal Universe and of LSDB's image catalogs: `image` with `band`, `flux`, `ivar`, `mask`, `psf_fwhm` and
`scale`, one entry a band, as a struct of lists or a list of structs. Pixels are lists of lists, of fixed size or not, or one list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalogs.encoded_stamps import bytes_of, decoded, is_encoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalogs._types import Array, Integers

__all__ = ["BAND", "IMAGE", "Entries", "fields_of", "is_list", "is_nested", "leaf_of"]

BAND = "band"
"""Field of a record with the names of its bands."""
IMAGE = ""
"""What images are called that are no field of a record."""


def is_list(kind: pa.DataType, *, fixed: bool = True) -> bool:
    """Whether values are lists, of variable length or, if those count, of a fixed one."""
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or (fixed and pa.types.is_fixed_size_list(kind))
    )


def fields_of(kind: pa.DataType) -> dict[str, pa.DataType] | None:
    """Fields of a record column, each with the type that it has for one band; None where the column holds no records."""
    if pa.types.is_struct(kind):
        fields = [kind.field(n) for n in range(kind.num_fields)]
        return {f.name: f.type.value_type if is_list(f.type) else f.type for f in fields}
    if is_list(kind) and pa.types.is_struct(kind.value_type):
        inner = kind.value_type
        return {inner.field(n).name: inner.field(n).type for n in range(inner.num_fields)}
    return None


def is_nested(kind: pa.DataType) -> bool:
    """Whether a column holds an image a row in another way than as a vector of one length: lists, or files."""
    return is_list(kind, fixed=False) or is_encoded(kind)


class Entries:
    """Images of some objects, one for each band of each object, some of which may be missing.

    Parameters
    ----------
    column : pa.ChunkedArray
        Records, or lists of numbers (band, y, x), (y, x) or flat.
    bands : sequence of str
        In the order of the stamps' planes.
    beside : mapping, optional
        Planes beside plain lists: columns of their own, by the name that `shapes` and `pixels` shall know them by.

    Raises
    ------
    ValueError
        If the lists of a record are not of one length.
    """

    def __init__(
        self,
        column: pa.ChunkedArray,
        bands: Sequence[str],
        beside: Mapping[str, pa.ChunkedArray] | None = None,
    ) -> None:
        values = one_array(column)
        self._rows, self._bands = len(values), len(bands)
        self._pixels: dict[str, pa.Array] = {}
        self._decoded: dict[int, Array] = {}
        self.problem: str | None = None
        self._places: dict[str, Integers] = {}
        if is_encoded(values.type):
            self._files(bytes_of(values))
        elif fields_of(values.type) is None:
            lists = {IMAGE: values, **{name: one_array(lists) for name, lists in (beside or {}).items()}}
            for name, each in lists.items():
                self._places[name] = self._by_order(name, each)
        else:
            place = self._by_name(values, bands)
            self._places = dict.fromkeys(self._pixels, place)

    def _files(self, values: pa.Array) -> None:
        """Decode whole files; what cannot be decoded has no pixels, and the first such file is told by `problem`."""
        for row, value in enumerate(values):
            if value.is_valid:
                try:
                    self._decoded[row] = decoded(value.as_py(), self._bands)
                except ValueError as error:
                    self.problem = self.problem or f"the file in row {row} {error}"
        place = np.full((self._bands, self._rows), -1, np.int64)
        place[:, list(self._decoded)] = list(self._decoded)
        self._places[IMAGE] = place

    def _by_order(self, name: str, values: pa.Array) -> Integers:
        if self._bands > 1 and _depth(values.type) == 1:
            values = _in_parts(values, self._bands)
        if self._bands > 1 or _depth(values.type) > 2:
            counts, self._pixels[name] = _counts(values), values.flatten()
        else:
            counts = values.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
            self._pixels[name] = values.drop_null()
        places = np.cumsum(counts) - counts + np.arange(self._bands)[:, None]
        return np.where(counts == self._bands, places, -1)

    def _by_name(self, values: pa.Array, bands: Sequence[str]) -> Integers:
        if pa.types.is_struct(values.type):
            fields = {values.type.field(n).name: array for n, array in enumerate(values.flatten())}
            counts = _counts(fields[BAND])
            for name, array in fields.items():
                if is_list(array.type):
                    here = _counts(array)
                    if _depth(array.type) > 1 and (here[counts > 0] != counts[counts > 0]).any():
                        at = int(np.flatnonzero((here != counts) & (counts > 0))[0])
                        raise ValueError(f"has {counts[at]} bands, but {here[at]} of {name!r}")
                    self._pixels[name] = array.flatten()
        else:
            counts, inner = _counts(values), values.flatten()
            fields = {inner.type.field(n).name: array for n, array in enumerate(inner.flatten())}
            self._pixels = {name: array for name, array in fields.items() if name != BAND}
            self._pixels[BAND] = fields[BAND]
        names = np.array(self._pixels[BAND].to_pylist(), dtype=object)
        row = np.repeat(np.arange(self._rows), counts)
        found = np.full((len(bands), self._rows), -1, np.int64)
        for b, band in enumerate(bands):
            which = np.flatnonzero(names == band)[::-1]  # the first one counts
            found[b, row[which]] = which
        return found

    def missing(self, band: int) -> Array:
        """Which objects have no image of a band, (n,) bool."""
        return next(iter(self._places.values()))[band] < 0

    def names(self) -> list[str]:
        """Names of the bands that there are, in order of appearance."""
        return list(dict.fromkeys(str(name) for name in self._pixels[BAND].to_pylist()))

    def shapes(self, field: str, band: int) -> Integers:
        """Height and width of the objects' images, (n, 2); zero where there is none, or it is no rectangle."""
        found = np.zeros((self._rows, 2), np.int64)
        place = self._places[field][band]
        here = np.flatnonzero(place >= 0)
        if not len(here):
            return found
        if self._decoded:
            for row, image in self._decoded.items():
                found[row] = image.shape[1:]
            return found
        images = self._pixels[field].take(pa.array(place[here]))
        counts = _counts(images)
        if _depth(images.type) == 1:
            side = np.round(np.sqrt(counts)).astype(np.int64)
            found[here] = np.where(side**2 == counts, side, 0)[:, None]
            return found
        widths = _counts(images.flatten())
        ends = np.cumsum(counts)
        for number, row in enumerate(here.tolist()):
            own = widths[ends[number] - counts[number] : ends[number]]
            if len(own) and own[0] and (own == own[0]).all():
                found[row] = len(own), own[0]
        return found

    def pixels(self, field: str, band: int, which: Integers) -> Array:
        """Images of objects whose shapes are the same, (k, y, x); null is NaN."""
        if self._decoded:
            return np.stack([self._decoded[row][band] for row in which.tolist()])
        values = self._pixels[field].take(pa.array(self._places[field][band, which]))
        shape = self.shapes(field, band)[which[0]]
        while is_list(values.type):
            values = values.flatten()
        if pa.types.is_boolean(values.type):
            values = pc.cast(values, pa.uint8())
        return values.to_numpy(zero_copy_only=False).reshape(len(which), *shape)


def leaf_of(kind: pa.DataType) -> pa.DataType:
    """Type of the numbers in lists of lists."""
    return leaf_of(kind.value_type) if is_list(kind) else kind


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece."""
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _in_parts(lists: pa.Array, parts: int) -> pa.Array:
    """Lists of numbers as lists of so many lists of equal length; null where they cannot be parted so."""
    counts = _counts(lists)
    whole = (counts > 0) & (counts % parts == 0)
    lists = pc.if_else(pa.array(whole), lists, pa.scalar(None, lists.type))
    ends = np.cumsum(np.repeat(np.where(whole, counts, 0)[whole] // parts, parts))
    inner = pa.LargeListArray.from_arrays(pa.array(np.concatenate([[0], ends])), lists.flatten())
    offsets = np.concatenate([[0], np.cumsum(np.where(whole, parts, 0))])
    return pa.LargeListArray.from_arrays(pa.array(offsets), inner)


def _depth(kind: pa.DataType) -> int:
    """How deep lists are nested."""
    return 1 + _depth(kind.value_type) if is_list(kind) else 0


def _counts(lists: pa.Array) -> Integers:
    """Lengths of lists, zero for null."""
    return pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
