"""The folder in which a Ray of this machine keeps its sockets, logs and what its object store spills."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from catalogs.errors import Fault

__all__ = ["temp_faults"]

LONGEST = 107
"""Bytes of a socket's path (sun_path of Linux, without its end)."""
BELOW = "/ray/session_2026-01-01_00-00-00_000000_{pid}/sockets/plasma_store"
"""The longest of Ray's sockets below the folder."""


LEAST = 16 << 20
"""Bytes that Ray's logs and sockets take at least; what is spilled comes on top."""


def temp_faults() -> list[Fault]:
    """What is wrong with the folder: Ray would say it late, and not which variable names it."""
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), None)
    folder = os.environ[variable] if variable else tempfile.gettempdir()
    name, there = variable or "the folder for temporary files", Path(folder).absolute()
    most = LONGEST - len(BELOW.format(pid=os.getpid()))
    if len(os.fsencode(folder)) > most:
        problem = (
            f"is {len(os.fsencode(folder))} bytes long, and Ray's sockets below it may have {LONGEST} in all"
        )
        remedy = f"Set RAY_TMPDIR to a folder with a name of at most {most} bytes, such as /tmp"
        return [Fault(name, problem, remedy, value=folder)]
    remedy = f"Make it, or set {variable or 'TMPDIR'} to a folder that can be written to"
    try:
        first = next(each for each in (there, *there.parents) if each.exists())
        usable = first.is_dir() and os.access(first, os.W_OK | os.X_OK)
        free = shutil.disk_usage(first).free
    except OSError as error:
        return [Fault(name, f"cannot be used ({error.strerror})", remedy, value=folder)]
    if not usable:
        return [Fault(name, "cannot be written to", remedy, value=folder)]
    if free < LEAST:
        problem = f"is on a disk that is full: {free >> 10} KiB are free, and Ray needs {LEAST >> 20} MiB"
        remedy = "Make room, or set RAY_TMPDIR to a folder on another disk"
        return [Fault(name, problem, remedy, value=folder)]
    return []
