"""Files as DuckDB reads them: a path is a path, whatever characters are in it, and never a pattern."""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING

from catalogs import storage
from catalogs.canned import literal
from catalogs.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterator


def parquet(folder: str, pattern: str) -> str:
    """SQL that reads the Parquet files below a folder whose names fit a pattern, of which there is one at least.

    Parameters
    ----------
    folder : str
        A path or URL, taken as it stands.
    pattern : str
        Names of folders and files below it, with * where any will do.
    """
    return f"read_parquet({_files(folder, pattern)}, {PLAIN})"


def parquet_file(url: str) -> str:
    """SQL that reads one Parquet file."""
    return f"read_parquet({literal(path(url))}, {PLAIN})"


def csv_file(url: str, *, typed: bool = True, header: bool = True) -> str:
    """SQL that reads one CSV file.

    Parameters
    ----------
    url : str
    typed : bool
        Whether numbers are numbers; otherwise every value is the text that stands in the file.
    header : bool
        Whether a first line of names is looked for; otherwise every line is a row of texts.
    """
    # Types are inferred from all rows: from the first 20,480 alone, a later id 0123 would become the number 123.
    options = ", sample_size = -1" if typed and header else ", all_varchar = true"
    options += "" if header else ", header = false"
    return f"read_csv({literal(path(url))}, {PLAIN}{options})"


PLAIN = "hive_partitioning = false"
"""`Norder=0` in a path is a folder's name, and so is `a=b` in one that somebody else has chosen: neither is a column."""


def path(url: str) -> str:
    """A path or URL quoted for DuckDB: brackets keep *, ? and [ from being patterns.

    Raises
    ------
    BadRequest
        If it holds a backslash too, which no pattern can hold.
    """
    escaped = re.sub(r"([*?\[])", r"[\1]", url)
    if "\\" in url and escaped != url:
        raise BadRequest(
            f"{url}: DuckDB reads no path with both a backslash and one of * ? [. Rename the folder"
        )
    return escaped


def files(folder: str, pattern: str) -> Iterator[str]:
    """Paths below a folder, in order, whose names fit a pattern."""
    first, *rest = pattern.split("/", 1)
    for name in storage.names(folder):
        if fnmatch.fnmatchcase(name, first):
            found = storage.join(folder, name)
            yield from files(found, rest[0]) if rest else [found]


def _files(folder: str, pattern: str) -> str:
    if "\\" not in folder:
        return literal(f"{path(folder)}/{pattern}")
    # A pattern cannot hold a backslash, but a path can.
    return f"[{', '.join(literal(path(file)) for file in files(folder, pattern))}]"
