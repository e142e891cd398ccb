"""Files on this machine that other libraries write: whole, or absent."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

from catalogs import storage
from catalogs.errors import CannotWrite

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["WholeFile"]


class WholeFile:
    """Gives the path of a partial file, which becomes the whole one when the block ends well. A context manager."""

    def __init__(self, file: str) -> None:
        self._file = storage.local_path(file)
        self._partial = self._file.with_name(f".{self._file.name}.{uuid.uuid4().hex}.partial")

    def __enter__(self) -> Path:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        return self._partial

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if kind is None:
                with self._partial.open("rb+") as stream:
                    os.fsync(stream.fileno())
                self._partial.replace(self._file)
        finally:
            self._partial.unlink(missing_ok=True)
        if isinstance(error, OSError | RuntimeError):  # faiss has errors of one kind alone
            raise CannotWrite(
                f"{self._file} cannot be written ({error}). Mend that, then run again to go on"
            ) from error
