"""The process that holds a folder's lock: enough for a message, and to check on the same machine whether it is alive."""

from __future__ import annotations

import getpass
import json
import os
import socket
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Holder", "holder_of", "this_process"]

GONE = frozenset("ZXx")
"""States of a process in /proc that has ended."""


@dataclass(frozen=True)
class Holder:
    """A process that writes into a folder."""

    token: str
    """Of this one hold: random."""
    command: str
    user: str
    host: str
    boot: str
    """Of the machine's kernel, a new one each time it starts; empty where systems have none."""
    namespace: str
    """In which `pid` counts: every container has a process 1."""
    pid: int
    started: str
    """When the process began, in the kernel's ticks: a number of a process is used again."""
    since: str
    """UTC, ISO 8601."""
    alive: str
    """Last sign of life, by the holder's clock."""
    beats: int = 0
    """Signs of life so far: whoever waits sees them go on, whatever the clocks say."""

    def __str__(self) -> str:
        return (
            f"tuningfork {self.command} works there (user {self.user}, host {self.host}, process {self.pid}, "
            f"since {self.since}, last sign of life {self.alive})"
        )

    @property
    def is_here(self) -> bool:
        """Whether its process is one of this machine (and container), so that `is_dead` can know."""
        own = this_process("", "")
        return (self.host, self.boot, self.namespace) == (own.host, own.boot, own.namespace)

    @property
    def is_dead(self) -> bool:
        """Whether a process of this machine has ended."""
        found = _of_process(self.pid)
        if found is not None:
            state, started = found
            return state in GONE or self.started not in {"", started}
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False  # somebody else's
        return False

    def beat(self) -> Holder:
        """The same, a sign of life later."""
        return replace(self, alive=_now(), beats=self.beats + 1)

    def as_bytes(self) -> bytes:
        """As it stands in the file."""
        return json.dumps(asdict(self), indent=1).encode()


def this_process(token: str, command: str) -> Holder:
    """The current process, as a holder."""
    pid, now = os.getpid(), _now()
    state = _of_process(pid)
    namespace = Path("/proc/self/ns/pid")
    return Holder(
        token,
        command,
        _user(),
        socket.gethostname(),
        _text(Path("/proc/sys/kernel/random/boot_id")),
        str(namespace.readlink()) if namespace.is_symlink() else "",
        pid,
        "" if state is None else state[1],
        now,
        now,
    )


def holder_of(data: bytes) -> Holder | None:
    """What `Holder.as_bytes` wrote; None where it is something else."""
    try:
        values = json.loads(data)
        found = Holder(**values)
    except (ValueError, TypeError, RecursionError):
        return None
    kinds = {name: int if name in {"pid", "beats"} else str for name in values}
    return (
        found if all(type(values[name]) is kind for name, kind in kinds.items()) and found.pid > 0 else None
    )


def _of_process(pid: int) -> tuple[str, str] | None:
    """State and start of a process; None where the system does not report them."""
    stat = _text(Path(f"/proc/{pid}/stat"))
    # Its name comes second, in parentheses, and may hold anything.
    fields = stat.rpartition(")")[2].split()
    return (fields[0], fields[19]) if len(fields) > 19 else None


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # containers may run as a number that has no name
        return f"number {os.getuid()}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
