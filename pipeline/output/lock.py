"""One command at a time writes into a folder: a second one fails with the name of the first, and does not wait for a dead one.

The lock is a file in the folder that says who holds it, and that its holder writes anew every few seconds. Whether a holder of this
machine lives, the system knows. Of others one sees only whether the signs of life go on: whoever comes waits for the next one, so that
no two clocks need agree, and takes the folder over where none comes. A job that Kubernetes tries again goes on so after a minute or so.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import threading
import time
from typing import TYPE_CHECKING

from rich.markup import escape

from catalogs import storage
from catalogs.errors import Fault, Refused, TuningforkError
from pipeline.console import console
from pipeline.output.holder import holder_of, this_process
from pipeline.output.lock_file import SETTLE, lock_file
from pipeline.output.places import as_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.output.holder import Holder

__all__ = ["NAME", "Lock", "LockLost", "at_work", "locked", "release_held"]

NAME = ".tuningfork.lock"
BEAT = 15.0
"""Seconds between signs of life."""
STALE = 75.0
"""Seconds without one after which a holder elsewhere is taken for dead."""
LOOK = 1.0
"""Seconds between looks of who waits."""

_held: set[Lock] = set()


class LockLost(TuningforkError):
    """Another command has taken the folder over: this one must not write there any more."""


@contextlib.contextmanager
def locked(url: str, command: str) -> Iterator[Lock]:
    """Be the only command that writes into a folder while the block runs.

    Parameters
    ----------
    url : str
    command : str
        What works there, for whoever comes meanwhile.

    Raises
    ------
    Refused
        If another one works there, or nothing can be written there.
    LockLost
        If another one has taken the folder over.
    """
    with as_place(url, "cannot be written to"):
        lock = Lock(url, command)
    try:
        with as_place(url, "cannot be written to"):
            lock.acquire()
        yield lock
        if lock.lost is not None:  # an interrupt that came inside a destructor is ignored by Python
            raise lock.lost
    except BaseException as error:
        if lock.lost is not None and not isinstance(error, LockLost):
            raise lock.lost from error
        raise
    finally:
        try:
            lock.release()
        except KeyboardInterrupt as interrupt:  # that of a lock that was lost may come as late as this
            lock.release()
            raise (lock.lost or interrupt) from None


def at_work(url: str) -> Holder | None:
    """Who writes into a folder now; None where nobody does, or a process of this machine that has ended without letting go."""
    with as_place(url):
        held = lock_file(storage.join(url, NAME)).read()
    holder = None if held is None else holder_of(held)
    return None if holder is None or (holder.is_here and holder.is_dead) else holder


def release_held() -> None:
    """Before the process ends at once: let go of what it holds."""
    for lock in list(_held):
        lock.release()


class Lock:
    """See `locked`."""

    def __init__(self, url: str, command: str) -> None:
        self.lost: LockLost | None = None
        self._url, self._file = url, lock_file(storage.join(url, NAME))
        self._me = this_process(secrets.token_hex(8), command)
        self._written = self._me.as_bytes()
        self._made_folder = False
        self._over, self._alone = threading.Event(), threading.Lock()

    def acquire(self) -> None:
        """Wait for the folder, or refuse."""
        if storage.is_local(self._url):
            folder = storage.local_path(self._url)
            self._made_folder = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
        while not self._try():
            time.sleep(SETTLE / 20)  # somebody let go or came just now
        _held.add(self)
        threading.Thread(target=self._live, name="signs of life", daemon=True).start()

    def _try(self) -> bool:
        held = self._file.read()
        if held is None:
            return self._file.create(self._written)
        holder = holder_of(held)
        if holder is not None and holder.is_here:
            if not holder.is_dead:
                raise self._refusal(holder)
        elif not self._is_silent(held, holder):
            return False
        if not self._file.replace(held, self._written):
            return False
        if holder is None or not holder.is_here:
            time.sleep(SETTLE)
        if self._file.read() != self._written:
            return False
        who = f"{holder.command} of process {holder.pid} on {holder.host}" if holder else "somebody"
        console.print(
            f"note: {escape(f'{self._url}: {who} has ended without letting go; this one goes on.')}",
            soft_wrap=True,
        )
        return True

    def _is_silent(self, held: bytes, holder: Holder | None) -> bool:
        """Wait until a holder elsewhere gives a sign of life, which refuses, or none for too long; False where it has let go."""
        who = str(holder) if holder else "a file that is no lock's lies in the way"
        message = f"{storage.join(self._url, NAME)}: {who}: waiting up to {STALE:.0f} s for a sign of life."
        console.print(f"note: {escape(message)}", soft_wrap=True)
        limit = time.monotonic() + STALE
        while time.monotonic() < limit:
            time.sleep(LOOK)
            now = self._file.read()
            if now == held:
                continue
            other = None if now is None else holder_of(now)
            if holder is not None and other is not None and other.token == holder.token:
                raise self._refusal(other)
            return False
        return True

    def _refusal(self, holder: Holder) -> Refused:
        stop = f"stop it (kill {holder.pid}" + (")" if holder.is_here else f" on {holder.host})")
        remedy = f"Wait until it has ended, {stop}, or choose another --out"
        return Refused([Fault(self._url, str(holder), remedy)])

    def _live(self) -> None:
        while not self._over.wait(BEAT):
            # Disks that are full and stores that are away for a while are other people's to complain of.
            with self._alone:
                if self._over.is_set():
                    return
                with contextlib.suppress(Exception):
                    self._beat()
                if self.lost is not None:  # once it is let go, an interrupt would end what comes after it
                    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                    return

    def _beat(self) -> None:
        self._me = self._me.beat()
        now = self._me.as_bytes()
        if self._file.replace(self._written, now) or (self._file.read() is None and self._file.create(now)):
            self._written = now
        else:
            self._look()

    def check(self) -> None:
        """See that nobody has taken the folder over: before something is published.

        Raises
        ------
        LockLost
        """
        with self._alone:
            self._look()
        if self.lost is not None:
            raise self.lost

    def _look(self) -> None:
        held = self._file.read()
        if held is None or held == self._written:
            return
        holder = holder_of(held)
        if holder is not None and holder.token == self._me.token:
            return
        who = str(holder) if holder else "somebody"
        self.lost = LockLost(
            f"{self._url}: this command was silent for too long and was taken for dead: {who}. "
            "Nothing is lost: the other one goes on with what is done."
        )

    def release(self) -> None:
        """Let go of the folder; one that was made for the lock and is empty goes too."""
        _held.discard(self)
        with contextlib.suppress(Exception), self._alone:
            self._over.set()
            self._file.remove(self._written)
            if self._made_folder:
                os.rmdir(storage.local_path(self._url))  # noqa: PTH106 - refuses where something is in it
