"""Folders and URLs that a user names to write to: what cannot be one is refused in one line."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from catalogs import storage
from catalogs.errors import Fault, Refused, TuningforkError
from catalogs.headers import first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

REMEDY = "Choose another --out"


def refuse_file(url: str) -> None:
    """Refuse a file of this machine in a folder's place."""
    if storage.is_local(url) and storage.local_path(url).is_file():
        raise Refused([Fault(url, "is a file, not a folder", REMEDY)])


@contextlib.contextmanager
def as_place(url: str, problem: str = "cannot be used as a folder") -> Iterator[None]:
    """Around what looks at a folder, or writes its first file.

    Raises
    ------
    Refused
        If it is none: a file, a scheme that nobody knows, a store that does not answer, a name that is too long …
    """
    try:
        yield
    except TuningforkError:
        raise
    except Exception as error:  # file systems of fsspec raise classes of their own, which nobody can list
        why = (error.strerror if isinstance(error, OSError) else None) or first_line(error)
        raise Refused([Fault(url, f"{problem} ({why})", REMEDY)]) from error
