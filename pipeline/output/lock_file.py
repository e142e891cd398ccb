"""A small file that only one process changes at a time, on disks and on object stores."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, Protocol

from catalogs import storage

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LockFile", "lock_file"]

SETTLE = 1.0
"""Seconds after which a file that was written without the store's help is looked at again: another may have written it too."""
PATIENCE = 5.0
"""Seconds that the system may take to let one process at a time at a file of a disk."""


class LockFile(Protocol):
    """What a folder's lock is written to."""

    def read(self) -> bytes | None:
        """What stands in it; None where there is none."""

    def create(self, data: bytes) -> bool:
        """Write it, if it is not there."""

    def replace(self, before: bytes, data: bytes) -> bool:
        """Write it, if that stands in it."""

    def remove(self, before: bytes) -> None:
        """Remove it, if that stands in it."""


def lock_file(url: str) -> LockFile:
    """The one at a URL."""
    return _OnDisk(url) if storage.is_local(url) else _OnStore(url)


class _OnDisk:
    """The system's own lock is held for the moment of a change; a file without content is nobody's."""

    def __init__(self, url: str) -> None:
        self._path = storage.local_path(url)

    def read(self) -> bytes | None:
        try:
            with self._alone(os.O_RDONLY) as file:
                return _content(file) or None
        except FileNotFoundError:
            return None

    def create(self, data: bytes) -> bool:
        with self._alone(os.O_RDWR | os.O_CREAT) as file:
            if _content(file):
                return False
            try:
                _overwrite(file, data)
            except OSError:
                self._path.unlink(missing_ok=True)  # half of it is nobody's either
                raise
            return True

    def replace(self, before: bytes, data: bytes) -> bool:
        try:
            with self._alone(os.O_RDWR) as file:
                if _content(file) != before:
                    return False
                _overwrite(file, data)
                return True
        except FileNotFoundError:
            return False

    def remove(self, before: bytes) -> None:
        with contextlib.suppress(FileNotFoundError), self._alone(os.O_RDWR) as file:
            if _content(file) == before:
                self._path.unlink()

    @contextlib.contextmanager
    def _alone(self, flags: int) -> Iterator[int]:
        while True:
            file = os.open(self._path, flags, 0o644)
            try:
                _wait_for(file)
                if self._is_current(file):
                    yield file
                    return
            finally:
                os.close(file)

    def _is_current(self, file: int) -> bool:
        """Whether the file was not removed between opening it and being alone with it."""
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except FileNotFoundError:
            return False


def _wait_for(file: int) -> None:
    """Be alone with a file; where the file system knows no locks, what is written is looked at again (`SETTLE`)."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        except OSError:
            return
        else:
            return


def _content(file: int) -> bytes:
    return os.pread(file, 1 << 16, 0)


def _overwrite(file: int, data: bytes) -> None:
    os.pwrite(file, data, 0)
    os.ftruncate(file, len(data))


class _OnStore:
    """A PUT that the store refuses where there is a file already, if it knows such PUTs; if not, the last one counts."""

    def __init__(self, url: str) -> None:
        self._fs, self._path = storage.filesystem(url)

    def read(self) -> bytes | None:
        try:
            return bytes(self._fs.cat_file(self._path))
        except FileNotFoundError:
            return None

    def create(self, data: bytes) -> bool:
        if self.read() is not None:
            return False
        try:
            self._fs.pipe_file(self._path, data, mode="create")
        except FileExistsError:
            return False
        except (NotImplementedError, TypeError, ValueError, OSError):
            self._fs.pipe_file(self._path, data)
        return self._is_still(data)

    def replace(self, before: bytes, data: bytes) -> bool:
        if self.read() != before:
            return False
        self._fs.pipe_file(self._path, data)
        return True

    def remove(self, before: bytes) -> None:
        if self.read() == before:
            self._fs.rm_file(self._path)

    def _is_still(self, data: bytes) -> bool:
        time.sleep(SETTLE)
        return self.read() == data
