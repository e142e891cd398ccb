"""An answer as CSV."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv

from catalogs import strict_json

if TYPE_CHECKING:
    from catalogs.answer import Answer


def write(stream: IO[bytes], answer: Answer) -> None:
    """Write an answer; a null is an empty cell, a list is JSON. There is no place for units."""
    schema = answer.schema
    empty = pa.RecordBatch.from_pylist([], schema=schema.remove_metadata())
    with pyarrow.csv.CSVWriter(stream, flat(empty).schema) as writer:
        for batch in answer.batches():
            writer.write(flat(batch))


def flat(rows: pa.RecordBatch | pa.Table) -> pa.RecordBatch | pa.Table:
    """Rows as CSV has them: lists and the like as JSON."""
    columns = [_plain(column) for column in rows.columns]
    return type(rows).from_arrays(columns, names=rows.schema.names)


def _plain(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    kind = column.type
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if number or pa.types.is_string(kind) or pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return column
    values = [None if value is None else strict_json.plain(value) for value in column.to_pylist()]
    texts = [v if v is None or isinstance(v, str) else strict_json.dumps(v) for v in values]
    return pa.array(texts, pa.string())
