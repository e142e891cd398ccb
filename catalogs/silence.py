"""Silence astropy's warnings in one block, from whichever thread it runs in."""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from astropy.utils.exceptions import AstropyWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

# Python's filters belong to the process: two threads that each save and restore them leave the wrong ones.
_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def silenced() -> Iterator[None]:
    """Let astropy read what is not quite standard without a word: what matters is checked and raised by us."""
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        yield
