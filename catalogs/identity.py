"""Which version of a file it is: its size and its time, or the store's ETag, and a digest of its content if requested.

An identity is a short text, so that a release of a hundred thousand files can be recorded: `SIZE@TIME` (nanoseconds since 1970) on disks,
`SIZE@name:MARK` on stores, each with `#SHA256` behind it where the content counts.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from catalogs import http_errors, storage
from catalogs.errors import FileChanged

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

How = Literal["time", "digest"]

MARKS = (
    *("ETag", "etag", "generation", "md5Hash", "content_md5", "Content-MD5", "Digest"),
    *("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "modified", "created"),
)
"""What file systems of fsspec call that which changes with a file, the surest first."""
TIME = re.compile(r"\d{1,20}")
DIGITS = 32
"""Of a SHA-256 that are kept."""
LISTED = 8
"""With at least so many files in one folder of a store, the folder is listed: one request covers a thousand files."""


def identity(url: str, how: How = "time", *, fresh: bool = True) -> str:
    """Which version of a file is there now.

    Parameters
    ----------
    url : str
    how : {"time", "digest"}
        Whether its content is read too.
    fresh : bool
        Ask the store itself; else what a listing of a moment ago said is good enough.

    Raises
    ------
    OSError
        If there is no such file, or it cannot be looked at.
    """
    quick = _quick(url, fresh=fresh)
    return f"{quick}#{_digest(url)}" if how == "digest" else quick


def identities(urls: Iterable[str], how: How = "time") -> dict[str, str]:
    """Which version of each file is there now; those that cannot be looked at are left out."""
    todo = sorted(set(urls))
    _list_folders([url for url in todo if not storage.is_local(url)])

    def known(url: str) -> str | None:
        try:
            return identity(url, how, fresh=False)
        except OSError:
            return None

    found = zip(todo, storage.parallel(known, todo), strict=True)
    return {url: version for url, version in found if version is not None}


def same(before: str, now: str) -> bool:
    """Whether two identities are of one version of a file: by content where both know it, else by size and time."""
    (quick, _, digest), (other, _, its) = before.partition("#"), now.partition("#")
    return digest == its if digest and its else quick == other


def check(url: str, before: str) -> None:
    """See that a file is still the version that it was.

    Raises
    ------
    FileChanged
        If it is another one.
    OSError
        If it is gone.
    """
    now = _quick(url)
    if same(before, now) or ("#" in before and same(before, f"{now}#{_known_digest(url, now)}")):
        return
    raise FileChanged(
        f"{url}: {changed(url, before, now)} since the run was planned. "
        "Put it back as it was and run the same command again, or begin anew with --anew."
    )


def changed(url: str, before: str, now: str) -> str:
    """What is another, and how to get on where it is a file's time alone, for a message."""
    (size, _, mark), (other, _, _) = before.partition("#")[0].partition("@"), now.partition("@")
    hint = ""
    if storage.is_local(url) and TIME.fullmatch(mark) and size == other:
        seconds, rest = divmod(int(mark), 10**9)
        hint = f"; if only its time is another: touch -d @{seconds}.{rest:09d} {shlex.quote(url)}"
    return f"has changed (it was {readable(before)}, and is {readable(now)}{hint})"


def readable(version: str) -> str:
    """An identity for people."""
    quick, _, digest = version.partition("#")
    size, _, mark = quick.partition("@")
    with contextlib.suppress(ValueError, OverflowError, OSError):  # of a damaged record
        seconds, rest = divmod(int(mark), 10**9)
        date = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
        mark = f"of {date}.{rest:09d}Z"
    return f"{size} bytes {mark}{f', SHA-256 {digest}' if digest else ''}".strip()


class Watched:
    """The files that one slice is read from: each must be the version that the plan saw, or stay the one that it was at first.

    Parameters
    ----------
    known : mapping
        Identities by the files' names, of those that the plan has looked at.
    how : {"time", "digest"}
    folder : str
        What names are relative to.
    """

    def __init__(self, known: Mapping[str, str], how: How, folder: str) -> None:
        self._known, self._how, self._folder = known, how, folder
        self._urls: dict[str, str] = {}
        self.seen: dict[str, str] = {}
        """Identities of the files that were opened, by their names."""

    def opening(self, url: str) -> None:
        """Say that a file is about to be read; one that is not there is for its reader to complain of.

        Raises
        ------
        FileChanged
            If it is not the version that the plan saw.
        """
        name = name_of(url, self._folder)
        if name in self.seen:
            return
        try:
            if name in self._known:
                check(url, self._known[name])
                self.seen[name] = self._known[name]
            else:
                now = _quick(url)
                self.seen[name] = f"{now}#{_known_digest(url, now)}" if self._how == "digest" else now
        except FileChanged:
            raise
        except OSError:
            return
        self._urls[name] = url

    def done(self) -> None:
        """Say that all is read.

        Raises
        ------
        FileChanged
            If a file was replaced meanwhile.
        """
        for name, url in self._urls.items():
            check(url, self.seen[name])


def name_of(url: str, folder: str) -> str:
    """A file's name in records: below the release's folder where it lies there, so that a release may move."""
    return url.removeprefix(folder.rstrip("/") + "/")


def _quick(url: str, *, fresh: bool = True) -> str:
    if storage.is_local(url):
        found = os.stat(storage.local_path(url))  # noqa: PTH116 - a release has a hundred thousand files
        return f"{found.st_size}@{found.st_mtime_ns}"
    fs, path = storage.filesystem(url)
    if fresh:
        fs.invalidate_cache(path.rsplit("/", 1)[0])
    with http_errors.as_os_errors(url):
        info = fs.info(path)
    mark = next(((name, info[name]) for name in MARKS if info.get(name)), None)
    if mark is None:
        return f"{info.get('size')}@"
    value = mark[1].isoformat() if isinstance(mark[1], datetime) else str(mark[1]).strip('"')
    return f"{info.get('size')}@{mark[0]}:{value}".replace("#", "%23")


@functools.lru_cache(maxsize=1 << 16)
def _known_digest(url: str, quick: str) -> str:  # noqa: ARG001 - another version has another digest
    """The digest of a file that many slices are read from: taken once for each size and time."""
    return _digest(url)


def _digest(url: str) -> str:
    with storage.reading(url, None) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:DIGITS]  # type: ignore[arg-type]


def _list_folders(urls: list[str]) -> None:
    """Fill fsspec's caches with listings of the folders in which many of the files lie."""
    folders: dict[str, int] = {}
    for url in urls:
        folder = url.rsplit("/", 1)[0]
        folders[folder] = folders.get(folder, 0) + 1

    def listed(folder: str) -> None:
        fs, path = storage.filesystem(folder)
        fs.invalidate_cache(path)
        if folders[folder] >= LISTED:
            try:
                with http_errors.as_os_errors(folder):
                    fs.ls(path, detail=True)
            except OSError:
                return  # each file is looked up by itself

    storage.parallel(listed, folders)
