"""Ids made of several columns, where a survey's own numbers are unique only within a brick or a field: `[survey] id = "{brickid}-{objid}"`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from catalogs import shard_table
from catalogs.errors import Fault
from catalogs.path_template import FIELD, Placeholder, columns_of, placeholders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalogs.shard_table import ShardTable

__all__ = ["ComposedIds", "id_faults", "is_composed", "sources_of", "with_ids"]


def is_composed(id_: str) -> bool:
    """Whether an id is a template, not a column."""
    return "{" in id_


def sources_of(id_: str) -> list[str]:
    """Columns that an id is made of; none where it is one itself."""
    return columns_of(id_) if is_composed(id_) else []


def with_ids(tables: Sequence[ShardTable], id_: str) -> list[ShardTable]:
    """Shards with a column of that id; as they are where it is one of their own."""
    return [ComposedIds(table, id_, table.identity) for table in tables] if is_composed(id_) else list(tables)


def id_faults(id_: str, url: str, schema: pa.Schema) -> list[Fault]:
    """Columns that an id cannot be made of."""
    faults = []
    for place in placeholders(id_) if is_composed(id_) else ():
        kind = schema.field(place.name).type
        problem = place.takes(kind)
        if problem is None and not (pa.types.is_integer(kind) or pa.types.is_string(kind)):
            problem = f"an id is made of integers and texts, not of {kind}"
        if problem is not None:
            faults.append(Fault(url, problem, "Correct [survey] id", place.name))
    return faults


@dataclass(frozen=True)
class ComposedIds:
    """A shard with one column more, of ids, which has the template for a name."""

    table: ShardTable
    template: str
    identity: str
    """See `ShardTable`."""

    @property
    def url(self) -> str:
        """See `ShardTable`."""
        return self.table.url

    @property
    def rows(self) -> int:
        """See `ShardTable`."""
        return self.table.rows

    @property
    def digest(self) -> str:
        """See `ShardTable`."""
        return self.table.digest

    @property
    def header(self) -> str:
        """See `ShardTable`."""
        return self.table.header

    @property
    def synthetic(self) -> bool:
        """See `ShardTable`."""
        return self.table.synthetic

    @property
    def compression(self) -> str | None:
        """See `ShardTable`."""
        return self.table.compression

    @property
    def names(self) -> list[str]:
        """See `ShardTable`."""
        return [*self.table.names, self.template]

    @property
    def unusable(self) -> dict[str, str]:
        """See `ShardTable`."""
        return self.table.unusable

    @property
    def empty(self) -> pa.Table:
        """See `ShardTable`."""
        return self.table.empty.append_column(self.template, pa.array([], pa.string()))

    def bytes_of(self, columns: Sequence[str]) -> int:
        """See `ShardTable`."""
        return self.table.bytes_of(self._read(columns))

    def read(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """See `ShardTable`."""
        rows = shard_table.of_version(self.table, self.identity).read(start, stop, self._read(columns))
        if self.template in columns:
            rows = rows.append_column(self.template, self._ids(rows))
        return rows.select([name for name in self.empty.column_names if name in columns])

    def _read(self, columns: Sequence[str]) -> list[str]:
        names = [*columns, *(sources_of(self.template) if self.template in columns else [])]
        return [name for name in dict.fromkeys(names) if name != self.template]

    def _ids(self, rows: pa.Table) -> pa.ChunkedArray:
        """Null where one of their columns is."""
        texts = [_texts(rows[place.name], place) for place in placeholders(self.template)]
        between = FIELD.split(self.template)[::2]
        pieces = [part for pair in zip(between, texts, strict=False) for part in pair]
        return pc.binary_join_element_wise(*pieces, between[-1], "")


def _texts(column: pa.ChunkedArray, place: Placeholder) -> pa.ChunkedArray:
    if place.piece is None and not place.form:
        return pc.cast(column, pa.string())
    values = [None if value is None else place.filled(value) for value in column.to_pylist()]
    return pa.chunked_array([values], pa.string())
