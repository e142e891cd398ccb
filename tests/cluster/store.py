"""Looks at the object store of a command's own Ray, from a process of its own: a process has one token for all of Ray.

Run as `python -m tests.cluster.store FOLDER`, it says again and again what it saw so far, until it is killed: Ray's client hangs
when its cluster is over.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc
import psutil

INTERVAL = 0.2


@dataclass
class Seen:
    """What a store held at most, in bytes."""

    size: int = 0
    peak: int = 0
    spilled: int = 0
    """Written to disk."""
    beside: int = 0
    """Put on disk at once, for the store had no room."""


@contextlib.contextmanager
def watched_store(folder: Path) -> Iterator[Seen]:
    """Look while the block runs at the store of a Ray whose `RAY_TMPDIR` is a folder; what was seen is told when it is over."""
    command = [sys.executable, "-m", __name__, str(folder)]
    seen = Seen()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield seen
        finally:
            process.kill()
            said = process.communicate()[0]
    seen.__dict__.update(json.loads(said[: said.rindex("\n")].splitlines()[-1]))


def main(folder: str) -> None:
    """Look, and look again."""
    seen, state = Seen(), None
    while True:
        print(json.dumps(asdict(seen)), flush=True)
        time.sleep(INTERVAL)
        state = state or _state(folder)
        if state is not None:
            with contextlib.suppress(grpc.RpcError, RuntimeError, AssertionError):  # it is starting, or over
                _look(state, seen)


def _state(folder: str) -> object | None:
    from ray._private.authentication.authentication_token_setup import (
        maybe_enable_token_auth_if_token_available,
    )
    from ray._private.state import GlobalState
    from ray._raylet import GcsClientOptions

    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "raylet" and any(folder in x for x in process.info["cmdline"]):
            address = next(x for x in process.info["cmdline"] if x.startswith("--gcs-address="))
            maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
            # Ray's own way from an address to its state takes the machine's name for loopback's.
            state = GlobalState()
            state._initialize_global_state(GcsClientOptions.create(address.split("=")[1], None, True, False))
            return state
    return None


def _look(state: object, seen: Seen) -> None:
    from ray._private.internal_api import get_memory_info_reply

    stats = get_memory_info_reply(state).store_stats
    seen.size = stats.object_store_bytes_avail
    seen.peak = max(seen.peak, stats.object_store_bytes_used)
    seen.spilled = max(seen.spilled, stats.spilled_bytes_total)
    seen.beside = max(seen.beside, stats.object_store_bytes_fallback)


if __name__ == "__main__":
    main(sys.argv[1])
