"""What every kind of catalog file is to the rest: a header, and runs of rows of some columns as Arrow."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from catalogs import identity
from catalogs.errors import CorruptFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

FETCH = "Fetch the file again, or leave it out of [survey] catalogs"


class NotATable(ValueError):
    """The file is none of the kind that it is taken for, or holds no table where one is expected."""

    def __init__(self, problem: str, remedy: str = FETCH) -> None:
        super().__init__(problem)
        self.remedy = remedy


class ShardTable(Protocol):
    """One shard of a release: what its header says, and how its rows are read."""

    @property
    def url(self) -> str:
        """Path or fsspec URL of the file."""

    @property
    def rows(self) -> int:
        """Number of rows."""

    @property
    def digest(self) -> str:
        """Of what identifies its content beside label and rows: the whole header, or the whole file where it has none."""

    @property
    def header(self) -> str:
        """What says which columns there are; the same string for all shards that are alike."""

    @property
    def synthetic(self) -> bool:
        """Whether it says that a diffusion model drew it."""

    @property
    def identity(self) -> str:
        """Which version of the file it is (`catalogs.identity`); empty where it was not requested."""

    @property
    def compression(self) -> str | None:
        """What makes every read begin at the first byte; None where nothing does."""

    @property
    def names(self) -> list[str]:
        """All columns, also those that cannot be used."""

    @property
    def unusable(self) -> dict[str, str]:
        """Columns that cannot be read row by row into Arrow, and why."""

    @property
    def empty(self) -> pa.Table:
        """A table of no rows with every usable column's type and, as field metadata, its unit, UCD and description."""

    def bytes_of(self, columns: Sequence[str]) -> int:
        """Bytes, roughly, that reading one row of some columns takes."""

    def read(self, start: int, stop: int, columns: Sequence[str]) -> pa.Table:
        """Rows `start` to `stop` of some columns, in the order and the types of `empty`.

        Raises
        ------
        CorruptFile
            If the file is damaged, or ends before row `stop`.
        FileChanged
            If it is not the file any more whose header this is.
        """


def of_version(table: ShardTable, version: str) -> ShardTable:
    """The shard, to be read only while its file is of that version."""
    return cast("ShardTable", replace(cast("Any", table), identity=version))


def check(table: ShardTable) -> None:
    """See that a shard's file is still the version whose header was read.

    Raises
    ------
    CorruptFile, FileChanged
    """
    if not table.identity:
        return
    try:
        identity.check(table.url, table.identity)
    except OSError as error:
        raise CorruptFile(f"{table.url}: cannot be read ({error}). Fetch the file again.") from error
