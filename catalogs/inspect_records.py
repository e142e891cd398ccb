"""Look at the stamps of a few rows that are in records or lists: what their types do not say is seen in their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from catalogs.errors import CorruptFile, Fault, Refused, grouped
from catalogs.record_stamps import shape_faults
from catalogs.stamps import image_columns

if TYPE_CHECKING:
    from catalogs.release import Release

__all__ = ["look_at_records"]

ROWS = 8
SHARDS = 4


def look_at_records(release: Release) -> None:
    """Check bands and shapes in the first rows of a few shards.

    Raises
    ------
    Refused
        With all that is wrong with them.
    """
    layout = release.survey.images
    if layout.layout not in {"column", "struct"}:
        return  # other layouts may name a column that is not there: they do not read it
    kind = release.columns.field(str(layout.column)).type if layout.column is not None else None
    if pa.types.is_fixed_size_list(kind):
        return
    faults = list[Fault]()
    shards = [shard.table for shard in release.shards if shard.table.rows]
    for table in shards[:: max(1, len(shards) // SHARDS)][:SHARDS]:
        try:
            rows = table.read(0, min(ROWS, table.rows), image_columns(release.survey))
        except CorruptFile as error:
            faults.append(
                Fault(
                    table.url,
                    str(error).removeprefix(f"{table.url}: ").split(". ")[0],
                    "Fetch the file again",
                )
            )
            continue
        faults += shape_faults(layout, table.url, rows)
    if faults:
        raise Refused(grouped(faults))
