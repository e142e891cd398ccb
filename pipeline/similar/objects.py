"""What the catalog says of objects, by their places in an index, and the places of objects by their ids.

A few objects of a large catalog are spread over all of its row groups, so that Parquet has to be read as a whole for them. The columns that answers show are
therefore kept beside the index, uncompressed and mapped into memory (Arrow IPC); they are written anew where the catalog has changed, as after `tuningfork label`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalogs import storage
from catalogs.canned import literal
from catalogs.errors import BadRequest
from pipeline.similar.whole_file import WholeFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.report.source import Source
    from pipeline.similar.layout import Layout, Shard

__all__ = ["DRAWN", "FLAGGED", "SHOWN", "Objects"]

DRAWN = ("object_id", "shard", "row")
"""What finds an object's stamp again."""
SHOWN = ("ra", "dec", "class", "group", "kept", "anomaly")
"""What answers show of an object, where the catalog has it."""
FLAGGED = ("flags", "measure_flags")
"""Columns of named bits."""


class Objects:
    """The objects of an index.

    Parameters
    ----------
    source : Source
    layout : Layout
        Of an index that need not be finished.
    """

    def __init__(self, source: Source, layout: Layout) -> None:
        self._source, self._layout = source, layout
        self._columns = [name for name in (*DRAWN, *SHOWN, *FLAGGED) if name in source.columns]
        self._tables: dict[int, pa.Table] = {}

    def places(self, ids: Sequence[str]) -> list[tuple[int, int]]:
        """Shard and row of the objects with these ids.

        Raises
        ------
        BadRequest
            If one is not in the index, with the reason.
        """
        if not ids:
            return []
        kind = self._source.columns["object_id"].type
        wanted = {_typed(each, kind): each for each in ids}
        values = pa.array([value for value in wanted if value is not None], kind)
        found: dict[str, tuple[int, int]] = {}
        for shard in self._layout.shards:
            column = self._table(shard)["object_id"]
            rows = pc.indices_nonzero(pc.is_in(column, value_set=values))
            names = column.take(rows).to_pylist()
            found |= {wanted[n]: (shard.number, row) for n, row in zip(names, rows.to_pylist(), strict=True)}
        missing = [each for each in ids if each not in found]
        if missing:
            raise BadRequest(self._why(missing))
        return [found[each] for each in ids]

    def rows(self, places: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        """Columns of `DRAWN`, `SHOWN` and `FLAGGED` of the objects at these places, in their order."""
        found: dict[tuple[int, int], dict[str, Any]] = {}
        for shard in self._layout.shards:
            rows = [row for number, row in places if number == shard.number]
            if rows:
                values = self._table(shard).take(pa.array(rows)).to_pylist()
                found |= {(shard.number, row): each for row, each in zip(rows, values, strict=True)}
        return [found[place] for place in places]

    def _why(self, missing: Sequence[str]) -> str:
        names = ", ".join(map(literal, missing))
        sql = f"SELECT object_id::VARCHAR AS id FROM objects WHERE object_id::VARCHAR IN ({names})"
        unplaced = {row["id"] for row in self._source.query(sql)}
        lost = next((each for each in missing if each not in unplaced), missing[0])
        problem = (
            "has no position, and so no published embedding" if lost in unplaced else "is not in the catalog"
        )
        more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
        return f"{self._source.run.url}: object {lost!r} {problem}{more}. Give the object_id of others"

    def _table(self, shard: Shard) -> pa.Table:
        """The columns of a shard's objects, on the disk."""
        if shard.number not in self._tables:
            files = [storage.join(self._source.run.catalog, name) for name, _ in shard.parts]
            told = hashlib.sha256(repr(self._columns).encode())
            for file in files:
                told.update(storage.tail(file, 1 << 15))
            path = Path(self._layout.file(shard, f"{told.hexdigest()[:12]}.rows"))
            if not path.exists():
                _write(path, files, self._columns)
                for old in path.parent.glob(f"shard-{shard.number:05d}.*.rows"):
                    if old != path:
                        old.unlink(missing_ok=True)
            self._tables[shard.number] = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        return self._tables[shard.number]


def _write(path: Path, files: Sequence[str], columns: list[str]) -> None:
    tables = []
    for file in files:
        with storage.reading(file, None) as stream:
            tables.append(pq.read_table(stream, columns=columns).replace_schema_metadata(None))
    table = pa.concat_tables(tables).combine_chunks()
    with WholeFile(str(path)) as partial, pa.ipc.new_file(str(partial), table.schema) as sink:
        sink.write_table(table)


def _typed(text: str, kind: pa.DataType) -> Any:
    """An id as the catalog has it; None where its type has no such value."""
    if not pa.types.is_integer(kind):
        return text
    try:
        return pa.scalar(int(text), kind).as_py()
    except (ValueError, OverflowError, pa.ArrowException):
        return None
