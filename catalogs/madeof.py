"""What a part was made of: the names of the image files that its slice was cut from, and which version each of them was."""

from __future__ import annotations

import base64
import io
import json
import zlib
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs import parts, storage
from catalogs.errors import CorruptFile
from catalogs.identity import same

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

IMAGES = b"tuningfork.images"
"""Key in the metadata of a part, and of the table that it is written from."""


def as_metadata(images: Mapping[str, str]) -> dict[bytes, bytes]:
    """Identities by the files' names as metadata of a table: small, for a slice may be cut from a thousand tiles."""
    text = json.dumps(images, sort_keys=True).encode()
    return {IMAGES: base64.b64encode(zlib.compress(text))}


def images_of(folder: str, name: str) -> dict[str, str]:
    """The image files that the part of that name was made of.

    Raises
    ------
    CorruptFile
        If the file is no part.
    """
    note = parts.note(folder, name, IMAGES)
    try:
        text = b"{}" if note is None else zlib.decompress(base64.b64decode(note))
        return {str(image): str(version) for image, version in json.loads(text).items()}
    except (ValueError, AttributeError, zlib.error) as error:
        where = parts.url(folder, name)
        raise CorruptFile(f"{where}: is no part of a run ({error}). Delete it and run again.") from error


def together(folder: str, names: Sequence[str]) -> tuple[dict[str, str], set[str]]:
    """The image files of several parts, and the names of those of which two parts have seen different versions."""
    found: dict[str, str] = {}
    mixed: set[str] = set()
    for name in names:
        mixed |= add(found, images_of(folder, name))
    return found, mixed


def add(found: dict[str, str], images: Mapping[str, str]) -> set[str]:
    """Add files to those that were found before; answers which of them are other versions."""
    return {image for image, version in images.items() if not same(found.setdefault(image, version), version)}


def write(url: str, images: Mapping[str, str]) -> None:
    """Write down all image files of a run, as Parquet: a release may have a million."""
    table = pa.table(
        {"file": pa.array(sorted(images), pa.string()), "identity": [images[n] for n in sorted(images)]},
        schema=pa.schema([("file", pa.string()), ("identity", pa.string())]),
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    storage.write(url, buffer.getvalue())


def read(url: str) -> dict[str, str]:
    """What `write` wrote.

    Raises
    ------
    CorruptFile
        If the file is something else.
    """
    try:
        table = pq.read_table(pa.BufferReader(storage.read(url)), columns=["file", "identity"])
        files, versions = table["file"].to_pylist(), table["identity"].to_pylist()
    except (pa.ArrowException, KeyError, OSError) as error:
        raise CorruptFile(f"{url}: is damaged ({error}). Delete it and run again.") from error
    return {str(file): str(version) for file, version in zip(files, versions, strict=True)}
