"""The catalog: a FITS table and a Parquet file for each tile, of the sources that stay."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits

from catalogs import storage
from pipeline.detection.columns import ID, described, made_columns

if TYPE_CHECKING:
    from pipeline.detection.job import Job

__all__ = ["FORMS", "write_shard"]

FORMS = {
    pa.int64(): "K",
    pa.int32(): "J",
    pa.int16(): "I",
    pa.float64(): "D",
    pa.float32(): "E",
    pa.bool_(): "L",
}
CARDS = (("TUNIT", b"unit"), ("TUCD", b"ucd"), ("TCOMM", b"description"))


def write_shard(tile: int, stay: bytes, before: int, job: Job) -> int:
    """Write a tile's part of the catalog, each file whole or not at all; returns its rows.

    Parameters
    ----------
    tile : int
    stay : bytes
        A bit for each source of the tile's part, see `pipeline.detection.overlaps.kept`.
    before : int
        Rows of the tiles before it, which NUMBER goes on from.
    job : Job
    """
    with storage.reading(job.part(tile), None) as stream:
        part = pq.read_table(stream)
    chosen = np.unpackbits(np.frombuffer(stay, np.uint8), count=part.num_rows).astype(bool)
    rows = part.filter(pa.array(chosen))
    numbers = pa.array(np.arange(before + 1, before + rows.num_rows + 1), pa.int64())
    rows = rows.add_column(0, ID, numbers)
    names = [name for name in made_columns() if name in rows.column_names]
    schema = described(names, job.tiles[tile], instrumental=job.zeropoint == 0.0)
    rows = rows.cast(schema.with_metadata(None))
    file = BytesIO()
    pq.write_table(rows, file, compression="zstd")
    storage.write(job.shard(tile, "parquet"), file.getvalue())
    storage.write(job.shard(tile, "fits"), _fits(rows))
    return int(rows.num_rows)


def _fits(rows: pa.Table) -> bytes:
    columns = []
    for field, values in zip(rows.schema, rows.columns, strict=True):
        if field.type == pa.string():
            text = np.array([value.encode() for value in values.to_pylist()] or [b""])
            width = max(text.dtype.itemsize, 1)
            columns.append(fits.Column(field.name, f"{width}A", array=text[: rows.num_rows]))
        else:
            columns.append(fits.Column(field.name, FORMS[field.type], array=np.asarray(values)))
    hdu = fits.BinTableHDU.from_columns(columns, name="objects")
    for number, field in enumerate(rows.schema, start=1):
        for card, key in CARDS:
            text = (field.metadata or {}).get(key, b"").decode()
            if text:
                hdu.header[f"{card}{number}"] = text
    file = BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    return file.getvalue()
