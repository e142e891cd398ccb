"""Importing what a command needs, which is most of what a short one takes."""

from __future__ import annotations

import contextlib
import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PROCESS", "loading"]


@dataclass
class Process:
    """The process that a command runs in."""

    own: bool = False
    """Whether it was started for the command alone."""


PROCESS = Process()


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Import in this block without looking for garbage: modules stay, and walking over all of them time and again takes a fifth of it.

    In a process of the command's own nobody looks among them later either.
    """
    looked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if PROCESS.own:
            gc.freeze()
        if looked:
            gc.enable()
