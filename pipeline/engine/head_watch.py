"""A run whose cluster has lost its head: Ray ends such a process after a minute, without a word."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

from rich.markup import escape

from pipeline.console import console
from pipeline.engine.interrupts import FAULTS, leave

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK = 3.0
"""Seconds between looks."""
PATIENCE = 45.0
"""Seconds without an answer that a head may take to come back; Ray gives it sixty."""


@contextlib.contextmanager
def watch_head(address: str) -> Iterator[None]:
    """While the block runs, end the process with a clear word if nothing answers at the head's address any more.

    Parameters
    ----------
    address : str
        `host:port` of Ray's global control service.
    """
    over = threading.Event()

    def watch() -> None:
        answered = time.monotonic()
        while not over.wait(LOOK):
            if _answers(address):
                answered = time.monotonic()
            elif time.monotonic() - answered > PATIENCE:
                console.print(
                    f"[bold red]stopped:[/] the head of the Ray cluster, {escape(address)}, has not answered for {PATIENCE:.0f} s. "
                    "Nothing is lost: run the same command again once there is a cluster.",
                    soft_wrap=True,
                )
                leave(FAULTS)

    thread = threading.Thread(target=watch, name="head watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK):
        return True
    return False
