"""Files that are written piece by piece, and are whole or absent all the same."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from pathlib import Path
from typing import IO, TYPE_CHECKING

from catalogs import storage
from catalogs.errors import CannotWrite

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def writing(url: str) -> Iterator[IO[bytes]]:
    """A stream whose content becomes the file when the block ends: a rename on disks, one upload to object stores.

    Raises
    ------
    CannotWrite
        When the disk is full or read-only. As after any other error, the file is then absent or what it was before.
    """
    try:
        with _renamed(url) if storage.is_local(url) else _uploaded(url) as stream:
            yield stream
    except OSError as error:
        raise CannotWrite(f"{url} cannot be written ({error.strerror or error})") from error


@contextlib.contextmanager
def _renamed(url: str) -> Iterator[IO[bytes]]:
    path = storage.local_path(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _uploaded(url: str) -> Iterator[IO[bytes]]:
    # A stream to an object store is made an object when it is closed, also by an error: so nothing is sent before the end.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole"
        with path.open("wb") as stream:
            yield stream
        fs, target = storage.filesystem(url)
        fs.put_file(str(path), target)
