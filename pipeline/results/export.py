"""`tuningfork export`: the answer of a query as one file for other programs."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from rich.markup import escape

from catalogs import (
    answer,
    export_csv,
    export_fits,
    export_parquet,
    export_votable,
    storage,
    views,
    whole_file,
)
from catalogs.errors import BadRequest
from pipeline.console import console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from catalogs.answer import Answer

    Write = Callable[[IO[bytes], Answer], None]

FORMATS: dict[str, Write] = {
    **dict.fromkeys((".fits", ".fit"), export_fits.write),
    **dict.fromkeys((".vot", ".votable", ".xml"), export_votable.write),
    ".parquet": export_parquet.write,
    ".csv": export_csv.write,
}
GZIP = ".gz"


def export(run: str, file: str, sql: str) -> None:
    """Write what a SELECT over a run gives; a file of that name is replaced.

    Raises
    ------
    BadRequest
        If the format is unknown or cannot hold the answer, or the query fails.
    NoCatalog
        If the run has published nothing yet.
    CannotWrite
        If the file cannot be written.
    """
    write, is_zipped = format_of(file)
    with views.connect(run) as connection, console.status("reading the catalog") as status:
        # What is read once or twice need not stay: of an object store DuckDB would keep most of the machine's memory full.
        connection.execute("SET enable_external_file_cache = false")
        counter = Counter(lambda rows: status.update(f"writing {escape(file)}: {rows:,} rows"))
        found = answer.select(connection, sql, run, counter)
        with whole_file.writing(file) as stream, _zipped(stream) if is_zipped else _plain(stream) as sink:
            write(sink, found)
    size = f"{storage.size(file) / 2**20:,.1f} MiB"
    told = f"{file}: {counter.rows:,} rows, {len(found.kinds)} columns, {size}"
    console.print(escape(told), soft_wrap=True, highlight=False)


def format_of(file: str) -> tuple[Write, bool]:
    """What writes a file of that name, and whether it is compressed.

    Raises
    ------
    BadRequest
        If the name has no suffix that is known.
    """
    name = file.lower()
    is_zipped = name.endswith(GZIP)
    suffix = PurePosixPath(name.removesuffix(GZIP)).suffix
    if suffix not in FORMATS or (is_zipped and suffix == ".parquet"):
        known = ", ".join(FORMATS)
        raise BadRequest(
            f"{file}: its suffix names no format; there are {known}, and .gz behind all but .parquet"
        )
    return FORMATS[suffix], is_zipped


class Counter:
    """Counts rows, and tells of them."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self.rows, self.tell = 0, tell

    def __call__(self, rows: int) -> None:
        """Count some rows."""
        self.rows += rows
        self.tell(self.rows)


@contextlib.contextmanager
def _zipped(stream: IO[bytes]) -> Iterator[IO[bytes]]:
    # Equal answers are equal bytes: neither a name nor a time goes into them.
    with gzip.GzipFile("", "wb", 4, stream, mtime=0) as sink:
        yield sink  # type: ignore[misc]


def _plain(stream: IO[bytes]) -> contextlib.nullcontext[IO[bytes]]:
    return contextlib.nullcontext(stream)
