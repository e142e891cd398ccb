"""The README of a published collection, with the headings that the `hats` library gives its own, and what the columns mean beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hats.catalog import TableProperties
from upath import UPath

from catalogs import storage
from catalogs.hats_metadata import schema_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

PAGE = """# {title}

A collection of catalogs in the [HATS](https://www.ivoa.net/documents/Notes/HATS/) layout: Parquet files partitioned by HEALPix pixel.

### Access the catalog

```python
import lsdb

catalog = lsdb.open_catalog("<PATH>")
```

`<PATH>` is the folder or URL of this file. [LSDB](https://lsdb.io) reads what lies there in partitions; pandas, Polars, pyarrow and DuckDB read the Parquet files in `catalog/dataset/`.

### File structure

{files}

### Catalog metadata

| {names} |
|{lines}
| {values} |

### Catalog columns

| column | type | unit | meaning |
|---|---|---|---|
{columns}
"""


def write(folder: str, title: str, *, margin: float, extensions: Sequence[str]) -> None:
    """Write `README.md` into the folder of a collection whose catalog is complete.

    Parameters
    ----------
    folder : str
        With the catalog in `catalog/`.
    title : str
    margin : float
        Width of the margin cache in arcsec, 0 where there is none.
    extensions : sequence of str
        Names of its extensions, each in a folder of that name.
    """
    catalog = storage.join(folder, "catalog")
    properties = TableProperties.read_from_dir(UPath(catalog))
    schema = schema_of(catalog)
    files = [
        "- `collection.properties`: what belongs to the collection",
        "- `catalog/`: the catalog",
        "  - `dataset/`: its Parquet files",
        "  - `hats.properties`: its metadata; `partition_info.csv`: its partitions",
        f"  - `skymap.fits`, `point_map.fits`: objects in each HEALPix pixel of order {properties.skymap_order}",
    ]
    if margin:
        files.append(
            f"- `margin/`: copies of the objects within {margin:g} arcsec of each partition, so that cross-matches of at most that radius lose no pair"
        )
    files += [
        f'- `{name}/`: more columns, `catalog.load_extension("{name}")`; described by `{name}.properties`'
        for name in extensions
    ]
    table = {
        "Number of rows": f"{properties.total_rows:,}",
        "Number of columns": f"{len(schema) - 1:,}",
        "Share of the sky": f"{properties.moc_sky_fraction:.3g}",
        "Size on disk (KiB)": f"{properties.hats_estsize:,}",
        "HATS Builder": properties.extra_dict()["hats_builder"],
    }
    page = PAGE.format(
        title=title,
        files="\n".join(files),
        names=" | ".join(table),
        lines=" --- |" * len(table),
        values=" | ".join(table.values()),
        columns="\n".join(_row(field) for field in schema),
    )
    storage.write(storage.join(folder, "README.md"), page.encode())


def _row(field: pa.Field) -> str:
    notes = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    cells = [f"`{field.name}`", str(field.type), notes.get("unit", ""), notes.get("description", "")]
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"
