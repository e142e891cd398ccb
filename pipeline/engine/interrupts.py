"""Ctrl-C and a cluster's polite stop: how a command ends early, and what it says then."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from rich.markup import escape

from pipeline.console import console
from pipeline.output.lock import LockLost, release_held

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

REFUSED, FAULTS, INTERRUPTED = 2, 3, 130
"""Exit codes: nothing was begun; something is missing, and running again adds it; somebody interrupted."""


def watch_for_interrupts() -> list[int]:
    """Make Ctrl-C and a cluster's polite stop interrupt a run; the list holds the signals that have come."""
    came: list[int] = []

    def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
        came.append(number)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    return came


@contextlib.contextmanager
def resumable(again: str) -> Iterator[None]:
    """Where work is interrupted, say which command goes on with it."""
    interrupted = watch_for_interrupts()
    try:
        yield
    except LockLost:
        raise
    except BaseException:
        # What an interrupt looks like depends on where it hit: libraries wrap it in errors of their own.
        if not interrupted:
            raise
        console.print("\n[bold]interrupted.[/] Nothing is lost; continue with:")
        console.print(f"  {escape(again)}", soft_wrap=True)
        leave(INTERRUPTED)


def leave(code: int) -> NoReturn:
    """Exit at once: threads that a stopped run leaves behind can crash Python while it takes itself down."""
    release_held()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
