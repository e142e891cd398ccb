"""Parts: one slice's output of one stage, a Parquet file whose footer carries its receipt."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from catalogs import storage
from catalogs.errors import CorruptFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from catalogs.slices import Slice

RECEIPT = b"tuningfork.receipt"
SUFFIX = ".parquet"
SOFTWARE = ("tuningfork", "torch", "timm", "numpy", "pyarrow", "astropy")


@dataclass(frozen=True)
class Receipt:
    """What a part says of itself: which rows it answers for and how it was made."""

    shard: int
    start: int
    stop: int
    objects: int
    """Rows of the part: those of the slice that `where` selects."""
    usable: int
    """Objects that have results."""
    fingerprint: str
    flags: dict[str, int] = field(default_factory=dict)
    largest: float = 0.0
    """Largest absolute value in the embeddings, which fixes the scale of exact sums."""
    software: dict[str, str] = field(default_factory=lambda: {name: version(name) for name in SOFTWARE})


def write(folder: str, piece: Slice, rows: pa.Table, receipt: Receipt) -> None:
    """Write a slice's part, whole or not at all; writing it again gives the same bytes."""
    metadata = {**(rows.schema.metadata or {}), RECEIPT: json.dumps(asdict(receipt), sort_keys=True).encode()}
    buffer = io.BytesIO()
    pq.write_table(rows.replace_schema_metadata(metadata), buffer, compression="zstd")
    storage.write(url(folder, piece.name), buffer.getvalue())


def url(folder: str, name: str) -> str:
    """Where the part of that name lies."""
    return storage.join(folder, name + SUFFIX)


def done(folder: str) -> set[str]:
    """Names of the slices whose part exists."""
    return {name.removesuffix(SUFFIX) for name in storage.names(folder) if name.endswith(SUFFIX)}


def receipt(folder: str, name: str) -> Receipt:
    """Read a part's receipt from its footer.

    Raises
    ------
    CorruptFile
        If the file is no part.
    """
    try:
        with storage.reading(url(folder, name)) as stream:
            metadata = pq.read_metadata(stream).metadata or {}
        return Receipt(**json.loads(metadata[RECEIPT]))
    except (KeyError, ValueError, OSError) as error:
        where = url(folder, name)
        raise CorruptFile(f"{where}: is no part of a run ({error}). Delete it and run again.") from error


def read(folder: str, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """Read some columns of a part."""
    with storage.reading(url(folder, name)) as stream:
        return pq.read_table(stream, columns=columns)


def read_known(folder: str, name: str, columns: Sequence[str]) -> pa.Table:
    """Read those of the columns that the part has."""
    with storage.reading(url(folder, name)) as stream:
        names = pq.read_schema(stream).names
        stream.seek(0)
        return pq.read_table(stream, columns=[column for column in columns if column in names])
