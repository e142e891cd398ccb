"""Units, UCDs and descriptions of columns that Parquet files hold beside their schemas: as astropy writes them, or as VOParquet does."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any

from astropy.io.votable import parse as parse_votable
from astropy.table.meta import get_header_from_yaml

from catalogs.headers import SYNTHETIC
from catalogs.silence import silenced

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ColumnNotes", "notes_of", "of_votable_field"]

ASTROPY = b"table_meta_yaml"
"""What `Table.write("….parquet")` adds."""
VOPARQUET = b"IVOA.VOTable-Parquet.content"
"""Of the IVOA note VOParquet 1.0: a VOTable without data."""


@dataclass(frozen=True)
class ColumnNotes:
    """What is known of a table's columns beside their types."""

    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    """By a column's name, some of `unit`, `ucd`, `description` and `dim`."""
    synthetic: bool = False
    """Whether the table says that a diffusion model drew it."""


def notes_of(schema: pa.Schema) -> ColumnNotes:
    """What a Parquet file's schema says of units, UCDs and descriptions; what can't be read says nothing."""
    about = schema.metadata or {}
    try:
        if ASTROPY in about:
            return _of_astropy(about[ASTROPY].decode())
        if VOPARQUET in about:
            return _of_votable(about[VOPARQUET])
    except Exception:  # noqa: BLE001 - astropy raises what it happens to; the columns themselves are sound
        return ColumnNotes()
    return ColumnNotes()


def _of_astropy(text: str) -> ColumnNotes:
    header = get_header_from_yaml(text.split("\n"))
    columns = {}
    for column in header["datatype"]:
        about = {"unit": str(column.get("unit", "")), "description": str(column.get("description", ""))}
        about["ucd"] = str((column.get("meta") or {}).get("ucd", ""))
        columns[column["name"]] = about
    meta: dict[str, Any] = header.get("meta") or {}
    return ColumnNotes(columns, meta.get(SYNTHETIC) is True)


def _of_votable(text: bytes) -> ColumnNotes:
    with silenced():
        table = parse_votable(BytesIO(text), verify="ignore").get_first_table()
    return ColumnNotes({str(f.name): of_votable_field(f) for f in table.fields})


def of_votable_field(column: Any) -> dict[str, str]:
    """`unit`, `ucd` and `description` of a VOTable's FIELD."""
    known = {"unit": column.unit, "ucd": column.ucd, "description": column.description}
    return {key: " ".join(str(value).split()) for key, value in known.items() if value is not None}
