"""Files on local disks and object stores alike: list, read, and write so that a file is whole or absent."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

import fsspec
from fsspec.core import url_to_fs

from catalogs import http_errors
from catalogs.compression import DAMAGED, LONGEST_MAGIC, compression_of, decompressed
from catalogs.errors import CannotWrite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fsspec import AbstractFileSystem

T = TypeVar("T")
R = TypeVar("R")

MOST_TASKS = 4096
DETECT = "detect"
"""Look at a file's first bytes for what it is compressed with."""
HEADERS = 1 << 14
"""Bytes of a file on a disk that are read at once where only headers are wanted."""
HEADERS_REMOTE = 1 << 16
"""The same on an object store, where a request takes longer than that much data."""

CREDENTIALS = re.compile(
    r"://[^/@:\[\s]+:(?!\d+(/|$))[^@\s]*@"
    r"|^https?://[^/@\s]+@"
    r"|[?&](x-amz-signature|x-amz-security-token|x-goog-signature|signature|sig|token|access_token)=",
    re.IGNORECASE,
)
"""user:password@, https://user@, and what presigned URLs carry; abfs://container@account is none."""


def carries_credentials(url: str) -> bool:
    """Whether a URL holds a secret, which would then stand in every file and message that names it."""
    return CREDENTIALS.search(url) is not None


def parallel(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Apply a function that waits for disks or the network to many items; answers in the items' order."""
    todo = list(items)
    # Of very many items a thread takes some at a time: waiting for each by itself would cost more than the work.
    step = 1 + len(todo) // MOST_TASKS

    def some(start: int) -> list[R]:
        return [function(item) for item in todo[start : start + step]]

    with ThreadPoolExecutor(min(32, 4 * (os.cpu_count() or 1))) as pool:
        return [answer for answers in pool.map(some, range(0, len(todo), step)) for answer in answers]


def is_local(url: str) -> bool:
    """Whether the URL is a plain path (or file://) of this machine."""
    return "://" not in url or url.startswith("file://")


def local_path(url: str) -> Path:
    """The path of a local URL."""
    return Path(_plain(url))


def _plain(url: str) -> str:
    return url.removeprefix("file://")


def _file_system(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL and the path on it; a local path stands as it is, also with :: or ~ in it."""
    if is_local(url):
        return fsspec.filesystem("file"), os.path.abspath(_plain(url))  # noqa: PTH100 - links are left alone
    fs, path = url_to_fs(url)
    return fs, str(path)


def join(base: str, *parts: str) -> str:
    """Append path components to a path or URL."""
    return "/".join([base.rstrip("/"), *parts])


def absolute(path: str, base: str) -> str:
    """`path` if it stands on its own, else below the folder `base`."""
    if "://" in path or Path(path).is_absolute():
        return path
    return join(base, path)


def expand(pattern: str, base: str) -> list[str]:
    """Files that a path, glob or URL names, sorted; empty when there is none.

    A relative one is below the folder `base`, whose own name is taken as it stands, whatever characters are in it.
    """
    plain = absolute(pattern, base)
    if not re.search(r"[*?\[]", pattern) or ("://" not in pattern and exists(plain)):
        return [plain] if exists(plain) else []
    if plain != pattern:
        pattern = join(re.sub(r"([*?\[])", r"[\1]", base), pattern)
    fs, path = _file_system(pattern)
    scheme = "" if is_local(pattern) else pattern.split("://", 1)[0] + "://"
    fs.invalidate_cache()  # what it listed before, of a store that changes
    found = [str(match) for match in fs.glob(path)]
    if scheme.startswith("http"):
        return sorted(found)  # the HTTP file system answers with whole URLs
    return sorted(scheme + match for match in found)


def exists(url: str) -> bool:
    """Whether a file or folder is there.

    Raises
    ------
    OSError
        If a web server does not say: it is not there itself, or has an error of its own.
    """
    fs, path = _file_system(url)
    if http_errors.is_http(url):
        return http_errors.exists(fs, path)
    return bool(fs.exists(path))


def is_folder(url: str) -> bool:
    """Whether a folder is there."""
    fs, path = _file_system(url)
    return bool(fs.isdir(path))


def find(folder: str) -> list[str]:
    """All files in a folder and those below it, sorted."""
    fs, path = _file_system(folder)
    fs.invalidate_cache(path)
    scheme = "" if is_local(folder) else folder.split("://", 1)[0] + "://"
    with http_errors.as_os_errors(folder):
        return sorted(name if "://" in name else scheme + name for name in map(str, fs.find(path)))


def size(url: str) -> int:
    """Bytes of a file as stored."""
    if is_local(url):
        return os.stat(_plain(url)).st_size  # noqa: PTH116 - a release has a hundred thousand files
    fs, path = _file_system(url)
    with http_errors.as_os_errors(url):
        return int(fs.size(path) or 0)


def modified(path: str) -> float:
    """When a file of this machine was written last, seconds since 1970."""
    return os.stat(_plain(path)).st_mtime  # noqa: PTH116 - as above


@contextlib.contextmanager
def reading(url: str, compression: str | None = DETECT) -> Iterator[IO[bytes]]:
    """Open a file for reading.

    Parameters
    ----------
    url : str
    compression : str, optional
        What it is to be decompressed from, None for nothing; by default what its first bytes say.

    Raises
    ------
    OSError
        Also where a compressed stream is cut short or damaged.
    """
    with _opened(url) as stream:
        if compression == DETECT:
            compression = compression_of(stream.read(LONGEST_MAGIC))
            stream.seek(0)
        with _decompressing(stream, compression) as content:
            yield content


@contextlib.contextmanager
def glancing(url: str) -> Iterator[tuple[IO[bytes], str | None]]:
    """Open a file as `reading` does, but for its headers alone: without reading far ahead.

    Gives the stream, and what it is decompressed from.
    """
    with _opened(url, glance=True) as stream:
        compression = compression_of(stream.read(LONGEST_MAGIC))
        stream.seek(0)
        with _decompressing(stream, compression) as content:
            yield content, compression


@contextlib.contextmanager
def _opened(url: str, *, glance: bool = False) -> Iterator[IO[bytes]]:
    if is_local(url):
        # which takes an eighth of the time that fsspec takes
        with open(_plain(url), "rb", buffering=HEADERS if glance else -1) as stream:  # noqa: PTH123
            if glance:
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            yield stream
    else:
        fs, path = _file_system(url)
        options = {"block_size": HEADERS_REMOTE} if glance else {}
        with http_errors.as_os_errors(url), fs.open(path, "rb", **options) as stream:
            yield stream


@contextlib.contextmanager
def _decompressing(stream: IO[bytes], compression: str | None) -> Iterator[IO[bytes]]:
    if compression is None:
        yield stream
        return
    try:
        yield decompressed(stream, compression)
    except DAMAGED as error:
        raise OSError(f"its {compression} stream is damaged ({error})") from error


def tail(url: str, most: int) -> bytes:
    """The last bytes of a file, in one request; all of it if it is shorter."""
    if not is_local(url):
        fs, path = _file_system(url)
        with http_errors.as_os_errors(url):
            return http_errors.part(url, bytes(fs.cat_file(path, start=-most)), most)
    # A run has a million parts, and Python's file objects ask the system for twice as much.
    file = os.open(_plain(url), os.O_RDONLY)
    try:
        size = os.fstat(file).st_size
        most = min(most, size)
        return os.pread(file, most, size - most)
    finally:
        os.close(file)


def head(url: str, most: int) -> bytes:
    """The first bytes of a file as stored, in one request."""
    if is_local(url):
        with open(_plain(url), "rb", buffering=0) as stream:  # noqa: PTH123
            return stream.read(most)
    fs, path = _file_system(url)
    with http_errors.as_os_errors(url):
        return http_errors.part(url, bytes(fs.cat_file(path, start=0, end=most)), most)


def write(url: str, data: bytes) -> None:
    """Write a file whole: to a temporary name and renamed on disks, one PUT on object stores.

    Raises
    ------
    CannotWrite
        When the disk is full or read-only; the file is then absent or what it was before.
    """
    try:
        _write(url, data)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CannotWrite(
            f"{url} cannot be written ({reason}). Mend that, then run again to go on"
        ) from error


def _write(url: str, data: bytes) -> None:
    if not is_local(url):
        fs, path = _file_system(url)
        fs.pipe_file(path, data)
        return
    path_ = local_path(url)
    path_.parent.mkdir(parents=True, exist_ok=True)
    partial = path_.with_name(f".{path_.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path_)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def read(url: str) -> bytes:
    """All bytes of a file."""
    fs, path = _file_system(url)
    with http_errors.as_os_errors(url):
        return bytes(fs.cat_file(path))


def names(folder: str) -> list[str]:
    """Names of the whole files in a folder, sorted; empty when the folder is absent."""
    try:
        if is_local(folder) and local_path(folder).is_dir():
            found = os.listdir(local_path(folder))  # noqa: PTH208 - names are all that is wanted of a million files
        else:
            fs, path = _file_system(folder)
            fs.invalidate_cache(path)
            found = fs.ls(path, detail=False)
    except FileNotFoundError:
        return []
    return sorted(n for n in (f.rstrip("/").rsplit("/", 1)[-1] for f in found) if not n.startswith("."))


def remove(url: str) -> None:
    """Remove a file or a folder with all that is in it; absent is fine."""
    fs, path = _file_system(url)
    if not fs.exists(path):
        return
    if is_local(url) or not re.search(r"[*?\[]", path):
        fs.rm(path, recursive=True)
        return
    # On object stores fsspec takes what it is to remove for a pattern, which may fit other runs too.
    parallel(fs.rm_file, fs.find(path))
    fs.invalidate_cache()


def filesystem(url: str) -> tuple[AbstractFileSystem, str]:
    """The file system of a URL and the path on it."""
    return _file_system(url)
