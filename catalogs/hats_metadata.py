"""What makes a folder of partitions a HATS catalog, a margin cache, an extension or a collection, written by the `hats` library's own writers.

Nothing in these files depends on when or where a catalog was written.
"""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from hats.catalog import CollectionProperties, PartitionInfo, TableProperties
from hats.catalog.dataset.extension_properties import ExtensionProperties
from hats.io import paths, write_parquet_metadata
from hats.io.file_io import write_fits_image
from hats.io.skymap import write_skymap
from upath import UPath

from catalogs import storage
from catalogs.hats_catalog import INDEX, ORDER, partition_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from catalogs.hats_catalog import Partition

SKY_ORDER = 8
"""HEALPix order of sky maps, as LSDB writes them; that of the smallest partition where it is higher."""


@dataclass(frozen=True)
class Extends:
    """What an extension adds columns to."""

    primary: str
    """Name of the collection that the extension's file lies in, or the absolute path or URL of another catalog."""
    column: str
    """Of the primary catalog, with the ids that `object_id` of the extension has."""


def finish(
    catalog: str, name: str, found: Sequence[Partition], rows: int, counts: Mapping[int, int], about: str = ""
) -> None:
    """Write what makes a folder of partitions an object catalog: partition list, `_metadata`, sky maps, properties.

    Parameters
    ----------
    catalog : str
        Its folder.
    name : str
    found : sequence of Partition
    rows : int
        Objects in all of them.
    counts : mapping
        Objects in each pixel of order `ORDER`.
    about : str
        A title, for people.
    """
    order = max(SKY_ORDER, *(each.order for each in found))
    # A primary catalog may have smaller partitions than ours are.
    sky = min(order, ORDER)
    with tempfile.TemporaryDirectory() as scratch:
        histogram = _histogram(counts, sky)
        write_skymap(histogram, scratch)
        write_fits_image(histogram, paths.get_point_map_file_pointer(scratch))
        values = {"catalog_type": "object", "skymap_order": sky, **({"obs_title": about} if about else {})}
        _finish(scratch, catalog, name, found, rows, values)


def finish_margin(
    catalog: str,
    name: str,
    found: Sequence[Partition],
    rows: int,
    *,
    primary: str,
    arcsec: float,
    schema: pa.Schema,
) -> None:
    """Write what makes a folder of partitions the margin cache of a catalog beside it.

    Parameters
    ----------
    catalog, name, found, rows
        As of `finish`; there may be no partition.
    primary : str
        Name of the catalog's folder.
    arcsec : float
        Width of the margin.
    schema : pa.Schema
        Of the catalog.
    """
    with tempfile.TemporaryDirectory() as scratch:
        values = {"catalog_type": "margin", "primary_catalog": primary, "margin_threshold": arcsec}
        if not found:
            folder = Path(scratch) / "dataset"
            folder.mkdir()
            for file in ("_common_metadata", "_metadata"):
                pq.write_metadata(schema, folder / file)
        _finish(scratch, catalog, name, found, rows, values)


def write_collection(
    folder: str, name: str, primary: str, margins: Sequence[str], extensions: Mapping[str, str]
) -> None:
    """Write `collection.properties`, which makes one thing of a catalog and what lies beside it.

    Parameters
    ----------
    folder : str
        That they lie in.
    name : str
    primary : str
        Name of the catalog's folder.
    margins : sequence of str
        Names of the folders of its margin caches, the default first.
    extensions : mapping
        File of each extension by its alias.
    """
    values: dict[str, Any] = {"name": name, "hats_primary_table_url": primary}
    if margins:
        values |= {"all_margins": list(margins), "default_margin": margins[0]}
    if extensions:
        values["all_extensions"] = dict(extensions)
    _write_properties(folder, CollectionProperties(**values, **_provenance()))


def write_extension(folder: str, name: str, extends: Extends, columns: Sequence[str]) -> None:
    """Write `NAME.properties`, which says that the catalog `NAME` beside it extends another one, with rows where the other's rows are."""
    fit = all(not set(" ,;\n") & set(column) for column in columns)  # the property is a list with spaces
    values: dict[str, Any] = {
        "name": name,
        "primary_catalog": extends.primary,
        "primary_column": extends.column,
        "join_catalog": name,
        "join_column": "object_id",
        "extension_columns": list(columns) if fit else None,
        "extension_join_style": "left",
        "shares_primary_coordinates": True,
    }
    _write_properties(folder, ExtensionProperties(**values, **_provenance()))


def schema_of(catalog: str) -> pa.Schema:
    """Columns of a catalog, by its metadata."""
    return pq.read_schema(io.BytesIO(storage.read(storage.join(catalog, "dataset", "_common_metadata"))))


def _finish(
    scratch: str, catalog: str, name: str, found: Sequence[Partition], rows: int, values: dict[str, Any]
) -> None:
    """The files of every kind of catalog: made in a local folder, they go from there in one piece each, to any kind of storage."""
    info = PartitionInfo.from_healpix([each.healpix for each in found])
    info.write_to_file(catalog_path=scratch)
    most, kilobytes = 0, 0
    if found:
        write_parquet_metadata(UPath(catalog), output_path=scratch)
        most = _most_rows(Path(scratch) / "dataset" / "_metadata")
        sizes = storage.parallel(lambda each: storage.size(partition_file(catalog, each)), found)
        kilobytes = -(-sum(sizes) // 1024)
    values |= {
        "catalog_name": name,
        "total_rows": rows,
        "ra_column": "ra",
        "dec_column": "dec",
        "healpix_column": INDEX,
        "healpix_order": 29,
        "npix_suffix": ".parquet",
        "hats_max_rows": most,
        "hats_estsize": kilobytes,
        "hats_order": max((each.order for each in found), default=0),
        "moc_sky_fraction": float(f"{info.calculate_fractional_coverage():.6g}") if found else 0.0,
    }
    TableProperties(**values, **_provenance()).to_properties_file(scratch)
    _send(scratch, catalog)


def _histogram(counts: Mapping[int, int], order: int) -> Any:
    """Objects in each pixel of an order, (12 · 4^order,) int64."""
    pixels = np.fromiter(counts.keys(), np.int64, len(counts)) >> 2 * (ORDER - order)
    histogram = np.zeros(12 << 2 * order, np.int64)
    np.add.at(histogram, pixels, np.fromiter(counts.values(), np.int64, len(counts)))
    return histogram


def _most_rows(metadata: Path) -> int:
    """Rows of the largest file that a `_metadata` file speaks of."""
    found, rows = pq.read_metadata(metadata), dict[str, int]()
    for number in range(found.num_row_groups):
        group = found.row_group(number)
        file = group.column(0).file_path
        rows[file] = rows.get(file, 0) + group.num_rows
    return max(rows.values())


def _provenance() -> dict[str, Any]:
    """What the library says of a catalog's origin, without the time."""
    values = TableProperties.new_provenance_dict(builder=f"tuningfork v{version('tuningfork')}")
    return {key: values[key] for key in ("hats_builder", "hats_release_date", "hats_version")}


def _write_properties(folder: str, properties: CollectionProperties | ExtensionProperties) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        properties.to_properties_file(scratch)
        _send(scratch, folder)


def _send(scratch: str, folder: str) -> None:
    for path in sorted(p for p in Path(scratch).rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.suffix == ".properties" or path.name == "properties":
            # The writer may stamp the time into a comment; equal catalogs must be equal bytes.
            lines = [line for line in data.decode().splitlines() if not line.startswith("#")]
            data = ("\n".join(lines) + "\n").encode()
        storage.write(storage.join(folder, *path.relative_to(scratch).parts), data)
