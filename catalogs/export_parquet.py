"""An answer as one Parquet file."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs import export_votable
from catalogs.canned import BadQuery

if TYPE_CHECKING:
    from catalogs.answer import Answer

GROUP_ROWS = 122_880
VOPARQUET = "IVOA.VOTable-Parquet"
"""Key of the IVOA note VOParquet 1.0: a VOTable without data says what the columns are. TOPCAT and astropy read it."""


def write(stream: IO[bytes], answer: Answer) -> None:
    """Write an answer: fields have `unit`, `ucd` and `description` as metadata.

    Raises
    ------
    BadQuery
        If Parquet can't hold it.
    """
    schema = _described(answer)
    try:
        with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
            waiting: list[pa.RecordBatch] = []
            for batch in answer.batches():
                waiting.append(batch)
                if sum(some.num_rows for some in waiting) >= GROUP_ROWS:
                    writer.write_table(pa.Table.from_batches(waiting).cast(schema))
                    waiting = []
            if waiting:
                writer.write_table(pa.Table.from_batches(waiting).cast(schema))
    except (pa.ArrowException, NotImplementedError) as error:
        raise BadQuery(f"Parquet cannot hold the answer ({error}): cast that column") from error


def _described(answer: Answer) -> pa.Schema:
    schema = answer.schema
    fields = [export_votable.parquet_field(item) for item in schema]
    known = [field for field in fields if field is not None]
    if len(known) < len(fields):
        return schema  # the VOTable must describe all columns or none
    votable = export_votable.header(known, answer.metadata)
    return schema.with_metadata({f"{VOPARQUET}.version": "1.0", f"{VOPARQUET}.content": votable})
