"""An answer as a VOTable: a header in XML, and rows as BINARY2, which has nulls of every type."""

from __future__ import annotations

import binascii
import io
import warnings
from typing import IO, TYPE_CHECKING

import pyarrow as pa
from astropy.io.votable import xmlutil
from astropy.io.votable.exceptions import VOWarning
from astropy.io.votable.tree import Field, Resource, TableElement, VOTableFile

from catalogs.export_columns import Column, Text, columns_of
from catalogs.export_rows import row_type, rows_of
from catalogs.export_units import votable_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from catalogs.answer import Answer

VERSION = "1.4"
TEXT = Text("VOTable", r"[^\x00]*", "characters other than NUL")
UTF16 = "utf-16-be"
TYPES = {"u1": "unsignedByte", "i2": "short", "i4": "int", "i8": "long", "f4": "float", "f8": "double"}
TYPES |= {"bool": "boolean"}
LINE = 3 << 14
"""Bytes whose base64 is one line: a multiple of three."""
END = b"  </TABLE>"


def write(stream: IO[bytes], answer: Answer) -> None:
    """Write an answer.

    Raises
    ------
    BadQuery
        If VOTable can't hold it.
    """
    rows, columns = columns_of(answer, TEXT)
    before, after = header([_attributes(c) for c in columns], answer.metadata).split(END)
    stream.write(before + b'   <DATA><BINARY2><STREAM encoding="base64">\n')
    row = row_type(columns, UTF16, flag_bytes=-(-len(columns) // 8))
    rest = b""
    for some in rows_of(answer, rows, columns, row, UTF16):
        data = rest + some.tobytes()
        whole = len(data) // LINE * LINE
        for start in range(0, whole, LINE):
            stream.write(binascii.b2a_base64(data[start : start + LINE]))
        rest = data[whole:]
    stream.write(binascii.b2a_base64(rest))
    stream.write(b"</STREAM></BINARY2></DATA>\n" + END + after)


def header(fields: Sequence[Mapping[str, str]], metadata: Mapping[str, Mapping[str, str]]) -> bytes:
    """A VOTable without data, in XML.

    Parameters
    ----------
    fields : sequence of dict
        Of each column `name`, `datatype`, `arraysize` where it has one, and `null`, if an integer stands for null.
    metadata : dict
        Unit, UCD and description by name.
    """
    file = VOTableFile(version=VERSION)
    table = TableElement(file, name="objects")
    for about in fields:
        texts = votable_texts(metadata.get(about["name"], {}))
        attributes = {key: about[key] for key in ("name", "datatype", "arraysize") if key in about}
        described = {key: texts[key] for key in ("unit", "ucd") if key in texts}
        field = Field(file, ID=_id(about["name"], [f.ID for f in table.fields]), **attributes, **described)
        field.description = texts.get("description")
        if "null" in about:
            field.values.null = int(about["null"])
        table.fields.append(field)
    resource = Resource(type="results")
    resource.tables.append(table)
    file.resources.append(resource)
    written = io.BytesIO()
    file.to_xml(written)
    return written.getvalue()


def parquet_field(item: pa.Field) -> dict[str, str] | None:
    """A Parquet column in VOTable's words; None where it has none."""
    kind, is_list = item.type, isinstance(item.type, pa.ListType | pa.FixedSizeListType)
    kind = kind.value_type if is_list else kind
    if pa.types.is_string(kind) and not is_list and item.name.isprintable():
        return {"name": item.name, "datatype": "unicodeChar", "arraysize": "*"}
    known = {pa.bool_(): "boolean", pa.uint8(): "unsignedByte", pa.int8(): "short", pa.int16(): "short"}
    known |= {
        pa.uint16(): "int",
        pa.int32(): "int",
        pa.uint32(): "long",
        pa.int64(): "long",
        pa.uint64(): "long",
    }
    known |= {pa.float32(): "float", pa.float64(): "double"}
    if kind not in known or not item.name.isprintable():
        return None
    return {"name": item.name, "datatype": known[kind]} | ({"arraysize": "*"} if is_list else {})


def _attributes(column: Column) -> dict[str, str]:
    about = {"name": column.name}
    if column.code == "text":
        return about | {
            "datatype": "char" if column.is_ascii else "unicodeChar",
            "arraysize": str(column.width),
        }
    about["datatype"] = TYPES[column.code]
    if column.length is not None:
        about["arraysize"] = str(column.length)
    return about | ({} if column.null is None else {"null": str(column.null)})


def _id(name: str, taken: Sequence[str]) -> str:
    """A name as an XML id: astropy calls the columns of a table by it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VOWarning)
        wanted = str(xmlutil.fix_id(name))
    while wanted in taken:
        wanted += "_"
    return wanted
