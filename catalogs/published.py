"""Published catalogs of any make as DuckDB views: Parquet, CSV, FITS tables and whitespace-separated text."""

from __future__ import annotations

import contextlib
import re
import warnings
from typing import IO, TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

from catalogs import bounds, readers, storage
from catalogs.canned import identifier
from catalogs.errors import BadRequest, Fault, Refused
from catalogs.missing import select_sql
from catalogs.path_template import as_it_stands

if TYPE_CHECKING:
    from collections.abc import Mapping

FITS = (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz")
CSV = (".csv", ".csv.gz", ".tsv")


def connect(tables: Mapping[str, str], objects: str, folder: str, source: str) -> duckdb.DuckDBPyConnection:
    """Open published tables, and make the view `objects` of them.

    Parameters
    ----------
    tables : dict
        Name of each table to its file, a path or URL. `.parquet`, `.csv`, `.tsv` and FITS are known by their names;
        all else is text in columns, whose names stand in its first line, with or without a #.
    objects : str
        A SELECT over the tables.
    folder : str
        What relative paths are relative to.
    source : str
        Name of the config, for its faults.

    Raises
    ------
    Refused
        If a file is missing or can't be read, or the SELECT is wrong.
    """
    connection = duckdb.connect(":memory:")
    faults, doubles = [], []
    for name, path in tables.items():
        url = storage.absolute(path, folder)
        try:
            doubles += [(url, alike) for alike in _open(connection, name, url)]
        except (BadRequest, OSError, ValueError, IndexError, duckdb.Error, pa.ArrowException) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            remedy = "Get the file, or correct the path; docs/validation.md says which files can be read"
            faults.append(
                Fault(source, f"cannot be read ({reason})", remedy, value=url, key=f"tables.{name}")
            )
    if faults:
        raise Refused(faults)
    try:
        connection.execute(f"CREATE VIEW objects AS {objects.strip().rstrip(';')}")
        connection.execute("SELECT * FROM objects LIMIT 0")
    except duckdb.Error as error:
        reason = " ".join(str(error).split())
        for url, alike in doubles:
            reason += f"; {url} has {' and '.join(map(repr, alike))}, which are one name in SQL: rename them in the file"
        raise Refused(
            [Fault(source, f"is not one SELECT over the tables ({reason})", "Correct it", key="objects")]
        ) from error
    return connection


def _open(connection: duckdb.DuckDBPyConnection, name: str, url: str) -> list[tuple[str, ...]]:
    """Make a view of a file's table, with null for NaN; answers the names that it leaves out, for they are one name in SQL."""
    if not storage.exists(url):
        raise FileNotFoundError(f"it does not exist{as_it_stands(url)}")
    if not storage.is_local(url):
        connection.register_filesystem(storage.filesystem(url)[0])
    lower = url.lower()
    if lower.endswith(".parquet"):
        with storage.reading(url) as stream:
            names = pq.read_schema(stream).names
        reader = readers.parquet_file(url)
    elif lower.endswith(CSV):
        reader = readers.csv_file(url)
        names = _first_line(connection, url)
    else:
        table = _with_astropy(url, fits=lower.endswith(FITS))
        names = table.column_names
        reader = identifier(f"{name} as it stands")
        connection.register(f"{name} as it stands", table)
    described = [
        (str(column), str(kind))
        for column, kind, *_ in connection.execute(f"DESCRIBE FROM {reader}").fetchall()
    ]
    # DuckDB calls the second of two such columns something else than the file does.
    is_named = len(names) == len(described) and all(
        re.fullmatch(f"{re.escape(name_in_file)}(_[0-9]+)?", found)
        for name_in_file, (found, _) in zip(names, described, strict=True)
    )
    alike = _alike(names) if is_named else []
    gone = {other.lower() for others in alike for other in others}
    known = [
        found
        for name_in_file, found in zip(names, described, strict=False)
        if name_in_file.lower() not in gone
    ]
    columns = select_sql(known if alike else described)
    connection.execute(f"CREATE VIEW {identifier(name)} AS SELECT {columns} FROM {reader}")
    return alike


def _first_line(connection: duckdb.DuckDBPyConnection, url: str) -> list[str]:
    """What may be the names of a CSV file's columns."""
    reader = readers.csv_file(url, header=False)
    rows = connection.execute(f"FROM {reader} LIMIT 1").fetchall()
    return [str(text) for text in rows[0]] if rows else []


def _alike(names: list[str]) -> list[tuple[str, ...]]:
    """Names that differ in upper and lower case only."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.lower(), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def _with_astropy(url: str, *, fits: bool) -> pa.Table:
    if fits:
        bounds.check_file(url)
    with storage.reading(url) as stream, warnings.catch_warnings():
        # Units and dates that astropy does not know stand in many published tables; values don't rest on them.
        warnings.simplefilter("ignore", AstropyWarning)
        table = Table.read(stream, format="fits") if fits else _text(_whole(stream))
        flat = [column for column in table.colnames if table[column].ndim == 1]
        table = table[flat]
        with contextlib.suppress(UnicodeDecodeError):
            table.convert_bytestring_to_unicode()  # FITS texts are bytes, which no SQL text equals
        frame = table.to_pandas()
    return pa.Table.from_pandas(frame, preserve_index=False)


def _whole(stream: IO[bytes]) -> str:
    content = stream.read(bounds.LARGEST + 1)
    if len(content) > bounds.LARGEST:
        raise ValueError("the text is longer than 1 GiB: convert it to Parquet")
    return content.decode("utf-8")


def _text(text: str) -> Table:
    kind = "ascii.commented_header" if text.lstrip().startswith("#") else "ascii.basic"
    return Table.read(text, format=kind)
