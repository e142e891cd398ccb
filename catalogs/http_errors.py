"""What web servers answer, as errors of the operating system: fsspec hands on those of its HTTP library, of which nobody else knows."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import ClientResponseError
    from fsspec import AbstractFileSystem

__all__ = ["NoRanges", "as_os_errors", "exists", "is_http", "part"]

WHOLE = "the server knows no range requests: it sends files whole where a part of one was asked for"
GONE = (404, 410)
ITS_OWN = 500
"""Codes from here on tell of the server's own errors."""


class NoRanges(OSError):
    """A web server answers a request for part of a file with all of it."""


def is_http(url: str) -> bool:
    """Whether a web server has the file."""
    return url.startswith(("http://", "https://"))


@contextmanager
def as_os_errors(url: str) -> Iterator[None]:
    """Within it, an HTTP error is an `OSError` that says what the server answered."""
    if not is_http(url):
        yield
        return
    import aiohttp  # noqa: PLC0415 - a part of a second, which files elsewhere need not wait for

    try:
        yield
    except aiohttp.ClientResponseError as error:
        raise OSError(_answer(error)) from error
    except aiohttp.ClientError as error:
        raise OSError(f"the server cannot be reached ({str(error) or type(error).__name__})") from error
    except ValueError as error:
        if "range requests" in str(error):  # as fsspec says it, of files that are opened
            raise NoRanges(WHOLE) from error
        raise
    except FileNotFoundError as error:
        cause = error.__cause__  # fsspec takes whatever it is told for that
        if not isinstance(cause, aiohttp.ClientResponseError):
            raise
        kind = FileNotFoundError if cause.status in GONE else OSError
        raise kind(_answer(cause)) from error


def _answer(error: ClientResponseError) -> str:
    return f"the server answers {error.status} {error.message}".rstrip()


def exists(fs: AbstractFileSystem, url: str) -> bool:
    """Whether a web server has a file; some answer 403 where there is none.

    Raises
    ------
    OSError
        If it cannot be reached, or has an error of its own.
    """
    import aiohttp  # noqa: PLC0415 - as above

    with as_os_errors(url):
        try:
            return bool(fs.exists(url, strict=True))
        except aiohttp.ClientResponseError as error:
            if error.status >= ITS_OWN:
                raise
            return False


def part(url: str, content: bytes, most: int) -> bytes:
    """The bytes that a range of so many was asked for.

    Raises
    ------
    NoRanges
        If the server has sent more.
    """
    if is_http(url) and len(content) > most:
        raise NoRanges(WHOLE)
    return content
