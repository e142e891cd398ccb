"""What the columns of a published catalog mean: units, UCDs and descriptions, which DuckDB drops."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from catalogs import readers, storage

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

OBJECTS = ("catalog/dataset/*/*/*.parquet", "catalog/*.parquet", "unplaced.parquet")
"""Files that the view `objects` reads."""
EMBEDDINGS = ("embeddings/dataset/*/*/*.parquet", "embeddings/*.parquet")


def fields(run: str, *patterns: str) -> dict[str, pa.Field]:
    """Fields with their metadata by name, from the first file of each pattern; an earlier pattern's come first."""
    found: dict[str, pa.Field] = {}
    for pattern in patterns:
        for file in itertools.islice(readers.files(run, pattern), 1):
            with storage.reading(file) as stream:
                found = {item.name: item for item in pq.read_schema(stream)} | found
    return found


def texts(field: pa.Field) -> Mapping[str, str]:
    """A field's metadata as text."""
    return {k.decode(): v.decode("utf-8", "replace") for k, v in (field.metadata or {}).items()}
