"""Writing the shards of a synthetic release: what drew them stands in every header."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from astropy.io import fits

from catalogs import storage
from catalogs.column_layout import table_hdu
from catalogs.headers import SYNTHETIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


def write(
    url: str, rows: pa.Table, shape: tuple[int, int, int], cards: Mapping[str, tuple[bool | float | str, str]]
) -> None:
    """Write a synthetic shard, whole or not at all; equal rows and cards give equal bytes.

    Parameters
    ----------
    url : str
    rows : pa.Table
        Columns as they are to be, units and descriptions in their metadata, and `stamp`, float32 lists.
    shape : (int, int, int)
        Band, y, x of a stamp.
    cards : mapping
        Header cards: value and comment of each keyword, for both headers.

    Raises
    ------
    CannotWrite
        When the disk is full or read-only.
    """
    stamps = rows["stamp"].combine_chunks().flatten().to_numpy().reshape(-1, *shape)
    described = rows.drop_columns("stamp")
    table = table_hdu(described.to_pandas(), stamps)
    for number, field in enumerate(described.schema, start=1):
        metadata = {key.decode(): text.decode() for key, text in (field.metadata or {}).items()}
        for card, key in (("TUNIT", "unit"), ("TCOMM", "description")):
            if key in metadata:
                table.header[f"{card}{number}"] = metadata[key]
    primary = fits.PrimaryHDU()
    for header in (primary.header, table.header):
        header[SYNTHETIC] = (True, "drawn by a diffusion model: not observed")
        for keyword, (value, comment) in cards.items():
            header[keyword] = (value, comment)
    file = BytesIO()
    fits.HDUList([primary, table]).writeto(file)
    storage.write(url, file.getvalue())
