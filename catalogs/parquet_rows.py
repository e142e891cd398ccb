"""Runs of rows of Parquet files: row groups that hold them and chunks of the columns asked for, page by page, never a file whole.

A row group is decoded from its beginning. Who reads a file slice by slice would decode it again for each, so files stay open at the
row behind the last one that was read, and the next slice goes on from there.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalogs import http_errors, storage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OPEN = 16
"""Files that a process keeps open at most."""
BATCH = 8 << 20
"""Bytes that are decoded at once."""
MOST_ROWS = 1 << 16
PAGES = 1 << 20
"""Bytes of a column that are read at once."""
PAGES_REMOTE = 8 << 20
"""The same on an object store, where a request takes longer than that much data."""


class Key(NamedTuple):
    """A file that is open, and for which columns."""

    url: str
    version: str
    columns: tuple[str, ...]


_waiting: list[tuple[Key, Cursor]] = []
"""Open files, the one that was used longest ago first."""
_lock = threading.Lock()


def read(url: str, version: str, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
    """Rows `start` to `stop` of some columns as they are in the file.

    Parameters
    ----------
    url, version : str
        The file, and its identity: what was open of another version is not used.
    start, stop : int
    columns : sequence of str
        Top-level columns.

    Raises
    ------
    pa.ArrowException, OSError
        If the file is damaged, or can't be read.
    """
    key = Key(url, version, tuple(columns))
    with http_errors.as_os_errors(url):
        cursor = _taken(key, start) or Cursor(url, key.columns)
        rows = cursor.rows(start, stop)
    if cursor.at < cursor.total:
        _kept(key, cursor)
    return rows


def _taken(key: Key, start: int) -> Cursor | None:
    """An open file that stands at the row or before it, as near as possible."""
    with _lock:
        fitting = [n for n, (other, cursor) in enumerate(_waiting) if other == key and cursor.at <= start]
        if not fitting:
            return None
        return _waiting.pop(max(fitting, key=lambda n: _waiting[n][1].at))[1]


def _kept(key: Key, cursor: Cursor) -> None:
    with _lock:
        _waiting.append((key, cursor))
        del _waiting[:-OPEN]


class Cursor:
    """A Parquet file that is open at a row.

    Parameters
    ----------
    url : str
    columns : tuple of str
        Top-level columns.
    """

    def __init__(self, url: str, columns: tuple[str, ...]) -> None:
        local = storage.is_local(url)
        self._source = pa.OSFile(str(storage.local_path(url))) if local else _remote(url)
        self._file = pq.ParquetFile(self._source, buffer_size=PAGES if local else PAGES_REMOTE)
        metadata = self._file.metadata
        self._schema = pa.schema([self._file.schema_arrow.field(name) for name in columns])
        paths = [metadata.schema.column(leaf).path for leaf in range(metadata.num_columns)]
        self._leaves = [n for n, path in enumerate(paths) if path in columns or path.split(".")[0] in columns]
        self._ends = np.cumsum(
            [metadata.row_group(g).num_rows for g in range(metadata.num_row_groups)], dtype=np.int64
        )
        self.total = metadata.num_rows
        """Rows of the file."""
        self.at = 0
        """Row at which it stands."""
        self._left: list[pa.RecordBatch] = []
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._group = -1

    def rows(self, start: int, stop: int) -> pa.Table:
        """Rows `start` to `stop`; at the end, it stands at `stop`."""
        if start == stop:
            return self._schema.empty_table()
        group = int(np.searchsorted(self._ends, start, side="right"))
        if self.at > start or group > self._group:
            self._begin(group)
        found = list[pa.RecordBatch]()
        while self.at < stop:
            batch = self._left.pop() if self._left else next(self._batches)
            skipped = min(max(start - self.at, 0), batch.num_rows)
            taken = batch.slice(skipped, stop - self.at - skipped)
            self.at += skipped + taken.num_rows
            if taken.num_rows:
                found.append(taken)
            if skipped + taken.num_rows < batch.num_rows:
                self._left.append(batch.slice(skipped + taken.num_rows))
        return pa.Table.from_batches(found, schema=found[0].schema).select(self._schema.names)

    def _begin(self, group: int) -> None:
        self._left = []
        self.at = int(self._ends[group - 1]) if group else 0
        self._batches = self._from(group)

    def _from(self, group: int) -> Iterator[pa.RecordBatch]:
        for number in range(group, len(self._ends)):
            self._group = number
            yield from self._file.iter_batches(
                self._batch_rows(number), [number], self._schema.names, use_threads=False
            )

    def _batch_rows(self, group: int) -> int:
        """Rows that take `BATCH` bytes of this row group."""
        chunks = self._file.metadata.row_group(group)
        taken = sum(chunks.column(leaf).total_uncompressed_size for leaf in self._leaves)
        return int(np.clip(BATCH * chunks.num_rows // max(taken, 1), 1, MOST_ROWS))


def _remote(url: str) -> pa.PythonFile:
    fs, path = storage.filesystem(url)
    return pa.PythonFile(fs.open(path, "rb", cache_type="none"), "r")
