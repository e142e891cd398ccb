"""Clusters of several nodes on one machine, each begun by `ray start` at a loopback address of its own, to be killed like machines."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

RAY = str(Path(sys.executable).with_name("ray"))
STORE = 200 << 20
"""Bytes of a node's object store."""
STARTED = "Ray runtime started"


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as listening:
        listening.bind(("", 0))
        return int(listening.getsockname()[1])


@dataclass
class Node:
    """One raylet, and on the head the rest of Ray as well, under a `ray start` that waits for them."""

    ip: str
    command: subprocess.Popen[str]

    def processes(self) -> list[psutil.Process]:
        """All of them."""
        with contextlib.suppress(psutil.NoSuchProcess):
            first = psutil.Process(self.command.pid)
            return [first, *first.children(recursive=True)]
        return []

    def signal(self, number: int) -> None:
        """Send a signal to all of them at once."""
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        """Lose power."""
        self.signal(signal.SIGKILL)
        self.command.wait()


@dataclass
class Machines:
    """A head without work, and workers.

    Parameters
    ----------
    folder : Path
        Where Ray keeps its files; a short path, for there are sockets among them.
    network : str
        What their addresses begin with; the head's ends with 1.
    """

    folder: Path
    network: str = "127.0.1"
    port: int = field(default_factory=free_port)
    env: dict[str, str] = field(default_factory=dict)
    begun: list[Node] = field(default_factory=list)
    """The head first; lost ones among them."""
    commands: list[subprocess.Popen[str]] = field(default_factory=list)
    """Whatever was begun with its `env`: nothing outlives the cluster."""

    def __post_init__(self) -> None:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
        folder = {"RAY_TMPDIR": str(self.folder), "RAY_USAGE_STATS_ENABLED": "0"}
        self.env = {**os.environ, **token, **folder}

    @property
    def address(self) -> str:
        """What `--address` takes."""
        return f"{self.network}.1:{self.port}"

    @property
    def head(self) -> Node:
        """The node without which nothing goes on."""
        return self.begun[0]

    @property
    def workers(self) -> list[Node]:
        """Those that live."""
        return [node for node in self.begun[1:] if node.command.poll() is None]

    def start_head(self) -> Node:
        """Begin a cluster: what is left of another one must be gone."""
        return self._start(
            f"{self.network}.1",
            ["--head", f"--port={self.port}", "--num-cpus=0", "--include-dashboard=false"],
        )

    def add(self, *options: str, address: str | None = None, within: Sequence[str] = ()) -> Node:
        """Join another worker; `within` goes before its command."""
        address = address or f"{self.network}.{len(self.begun) + 1}"
        return self._start(address, [f"--address={self.address}", *options], within)

    def stop(self) -> None:
        """Kill whatever belongs to the cluster: also processes that lost their parents."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("RAY_TMPDIR") == str(self.folder):
                    process.kill()
        for command in self.commands:
            command.wait()

    def _start(self, ip: str, options: Sequence[str], within: Sequence[str] = ()) -> Node:
        words = [*within, RAY, "start", "--block", "--disable-usage-stats", f"--node-ip-address={ip}"]
        ports = ["--min-worker-port=0", "--max-worker-port=0"]
        store = [] if any("object-store" in word for word in options) else [f"--object-store-memory={STORE}"]
        log = self.folder / f"{ip}.log"
        with log.open("w") as stream:
            command = subprocess.Popen(
                [*words, *ports, *store, *options],
                stdout=stream,
                stderr=stream,
                text=True,
                env=self.env,
                start_new_session=True,
            )
        node = Node(ip, command)
        self.begun.append(node)
        self.commands.append(command)
        # One after the other: nodes of one machine that start at once wait for each other for ever.
        until(lambda: STARTED in log.read_text(), 120, lambda: f"start of {ip}: {log.read_text()}")
        return node


@contextlib.contextmanager
def machines(network: str = Machines.network) -> Iterator[Machines]:
    """A cluster that has a head."""
    with tempfile.TemporaryDirectory(prefix="tf-") as folder:
        cluster = Machines(Path(folder), network)
        try:
            cluster.start_head()
            yield cluster
        finally:
            cluster.stop()


def until(holds: Callable[[], object], seconds: float, what: Callable[[], str]) -> None:
    """Wait for something, but not for ever."""
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit, what()
        time.sleep(0.05)
