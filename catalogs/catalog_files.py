"""The files that `[survey] catalogs` names: paths, globs, folders of Parquet files (partitioned datasets) and HATS catalogs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from catalogs import headers, storage
from catalogs.errors import Fault
from catalogs.hats_source import is_hats, open_hats
from catalogs.open_table import PARQUET
from catalogs.path_template import as_it_stands
from catalogs.shard_table import NotATable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from catalogs.shard_table import ShardTable

CHECK = "Check [survey] catalogs; globs are allowed"


@dataclass
class CatalogFiles:
    """Shards of a release, before any of them is opened."""

    urls: list[str] = field(default_factory=list)
    """Sorted, each once."""
    promised: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    """By the folder of a HATS catalog, how many rows its properties say that its files have, and those files."""
    faults: list[Fault] = field(default_factory=list)

    def row_faults(self, tables: Mapping[str, ShardTable]) -> list[Fault]:
        """HATS catalogs whose files have another number of rows than their properties say."""
        faults = []
        for folder, (rows, urls) in self.promised.items():
            there = sum(tables[url].rows for url in urls)
            if there != rows:
                problem = f"its properties promise {rows} rows, but its {len(urls)} partitions have {there}"
                faults.append(Fault(folder, problem, "Fetch the catalog again", None, f"hats_nrows {rows}"))
        return faults


def catalog_files(patterns: list[str], folder: str) -> CatalogFiles:
    """Find the files that some paths, globs and URLs name; relative ones are below `folder`."""
    found = CatalogFiles()
    for pattern in patterns:
        absolute = storage.absolute(pattern, folder)
        try:
            _add(found, pattern, absolute, folder)
        except NotATable as error:
            found.faults.append(Fault(absolute, str(error), error.remedy))
        except (OSError, ValueError, ImportError) as error:  # a host that is not there, a scheme nobody knows
            problem = f"cannot be listed ({headers.first_line(error)})"
            found.faults.append(Fault(absolute, problem, CHECK))
    found.urls = sorted(set(found.urls))
    return found


def _add(found: CatalogFiles, pattern: str, absolute: str, folder: str) -> None:
    if is_hats(absolute):
        rows, urls = open_hats(absolute)
        found.urls += urls
        if rows is not None:
            found.promised[absolute] = rows, urls
        return
    urls = storage.expand(pattern, folder)
    if not urls:
        msg = f"no such catalog{as_it_stands(pattern)}"
        raise NotATable(msg, CHECK)
    for url in urls:
        if PurePosixPath(url).suffix or not storage.is_folder(url):
            found.urls.append(url)
        else:
            found.urls += _in_folder(url)


def _in_folder(url: str) -> list[str]:
    """The Parquet files in a folder and those below it, as Spark, Dask and pyarrow write datasets."""
    inside = [file for file in storage.find(url) if PurePosixPath(file).suffix.lower() in PARQUET]
    below = [file.removeprefix(url.rstrip("/") + "/") for file in inside]
    data = [
        file
        for file, path in zip(inside, below, strict=True)
        if not any(part.startswith(("_", ".")) for part in path.split("/"))
    ]
    if any(part.startswith("Norder=") for path in below for part in path.split("/")):
        msg = "looks like a HATS catalog, but has neither hats.properties nor collection.properties"
        remedy = f'Fetch that file too, or name the partitions: catalogs = "{url.rstrip("/")}/**/*.parquet"'
        raise NotATable(msg, remedy)
    if not data:
        msg = "is a folder"
        raise NotATable(msg, f'Name the files in it: catalogs = "{url.rstrip("/")}/*.fits"')
    return data
