"""What barriers leave behind: arrays in safetensors files and values in JSON, never pickles."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from catalogs import storage
from catalogs.errors import CorruptFile
from catalogs.headers import first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

T = TypeVar("T")


def save(url: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays whole or not at all; 0-d arrays and every dtype come back as they were."""
    storage.write(url, save_arrays({name: np.ascontiguousarray(a) for name, a in arrays.items()}))


class _Arrays(dict[str, Any]):
    """The arrays of a file, which says so where it lacks one."""

    url = ""

    def __missing__(self, name: str) -> NoReturn:
        raise _damaged(self.url, f"it has no array {name}")


def load(url: str) -> dict[str, NDArray[Any]]:
    """Read all arrays of a file.

    Raises
    ------
    CorruptFile
        If it is no such file.
    """
    try:
        found = _Arrays(load_arrays(storage.read(url)))
    except (SafetensorError, ValueError, KeyError) as error:
        raise _damaged(url, first_line(error)) from error
    found.url = url
    return found


def read_with(url: str, use: Callable[[Any], T]) -> T:
    """What `use` makes of the values in a JSON file.

    Raises
    ------
    CorruptFile
        If it is no JSON, or holds other values than those.
    """
    try:
        return use(json.loads(storage.read(url)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _damaged(url, first_line(error)) from error


def _damaged(url: str, why: str) -> CorruptFile:
    return CorruptFile(f"{url}: is damaged ({why}). Delete it and run again.")
