"""Published catalogs of any make as DuckDB views: Parquet, CSV, FITS tables and whitespace-separated text."""

from __future__ import annotations

import contextlib
import warnings
from typing import IO, TYPE_CHECKING

import duckdb
import pyarrow as pa
from astropy.table import Table
from astropy.utils.exceptions import AstropyWarning

from catalogs import bounds, storage
from catalogs.canned import identifier, literal
from catalogs.errors import Fault, Refused
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
    faults = []
    for name, path in tables.items():
        url = storage.absolute(path, folder)
        try:
            _open(connection, name, url)
        except (OSError, ValueError, IndexError, duckdb.Error, pa.ArrowException) as error:
            told = (str(error) or type(error).__name__).splitlines()[0]
            remedy = "Get the file, or correct the path; docs/validation.md says which files can be read"
            faults.append(Fault(source, f"cannot be read ({told})", remedy, value=url, key=f"tables.{name}"))
    if faults:
        raise Refused(faults)
    try:
        connection.execute(f"CREATE VIEW objects AS {objects.strip().rstrip(';')}")
        connection.execute("SELECT * FROM objects LIMIT 0")
    except duckdb.Error as error:
        told = " ".join(str(error).split())
        raise Refused(
            [Fault(source, f"is not one SELECT over the tables ({told})", "Correct it", key="objects")]
        ) from error
    return connection


def _open(connection: duckdb.DuckDBPyConnection, name: str, url: str) -> None:
    if not storage.exists(url):
        raise FileNotFoundError(f"it does not exist{as_it_stands(url)}")
    if not storage.is_local(url):
        connection.register_filesystem(storage.filesystem(url)[0])
    lower = url.lower()
    if lower.endswith(".parquet") or lower.endswith(CSV):
        parquet = lower.endswith(".parquet")
        # Types are told by all rows: by the first 20,480 alone, a later id 0123 would become the number 123.
        source = f"read_parquet({literal(url)})" if parquet else f"read_csv({literal(url)}, sample_size = -1)"
        connection.execute(f"CREATE VIEW {identifier(name)} AS SELECT * FROM {source}")
    else:
        connection.register(name, _with_astropy(url, fits=lower.endswith(FITS)))


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
