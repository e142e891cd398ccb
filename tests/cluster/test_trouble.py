"""A machine that is slow, full, too small or cut off for a while costs time, and never a wrong catalog."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import SLICES, write_config
from tests.cluster.nodes import Node, machines
from tests.cluster.runs import Run

pytestmark = pytest.mark.slow

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes namespaces")
NETWORK = "10.77.0"
FAR = f"{NETWORK}.20"
PARTITION = 30.0
"""Seconds without a network."""


@contextlib.contextmanager
def slow(node: Node) -> Iterator[None]:
    """While the block runs, a node computes a fifth of the time."""
    over = threading.Event()

    def hold() -> None:
        while not over.wait(0.1):
            node.signal(signal.SIGSTOP)
            over.wait(0.4)
            node.signal(signal.SIGCONT)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_slow_node(undisturbed, cluster, tmp_path, cost):
    run = Run(undisturbed.config, tmp_path / "run", cluster)
    with slow(cluster.workers[0]):
        run.begin()
        cost(run.finish())
    assert run.files() == undisturbed.files


@as_root
def test_full_disk_of_one_node(undisturbed, tmp_path, cost):
    """The disk where its Ray writes logs and spills."""
    with machines() as cluster:
        for _ in range(2):
            cluster.add("--num-cpus=2")
        own = f'mount -t tmpfs -o size=64m none {cluster.folder}/ray && exec "$@"'
        poor = cluster.add("--num-cpus=2", within=["unshare", "-m", "sh", "-c", own, "sh"])
        run = Run(undisturbed.config, tmp_path / "run", cluster)
        run.begin()
        run.wait_for_parts("objects", SLICES // 4)
        disk = Path(f"/proc/{poor.command.pid}/root{cluster.folder}/ray")
        with contextlib.suppress(OSError), (disk / "filling").open("wb", buffering=0) as stream:
            while True:
                stream.write(bytes(1 << 20))
        assert os.statvfs(disk).f_bavail == 0
        cost(run.finish())
    assert run.files() == undisturbed.files


def test_object_stores_smaller_than_a_slice(release, undisturbed, tmp_path, cost):
    """Stamps of a slice take 100 MB, and a store has 80: Ray puts them on disk."""
    config = write_config(release, "large", "workers = 3", slice_rows=6000)
    with machines() as cluster:
        for _ in range(3):
            cluster.add("--num-cpus=2", "--object-store-memory=80000000")
        run = Run(config, tmp_path / "run", cluster)
        run.begin()
        cost(run.finish())
    assert run.files() == undisturbed.files


def ip(words: str) -> None:
    """Type an `ip` command."""
    subprocess.run(["ip", *words.split()], check=True)


@contextlib.contextmanager
def far_machine() -> Iterator[None]:
    """A network namespace, on a bridge that has the other machines' addresses."""
    ip("link add tf-bridge type bridge")
    ip("netns add tf-far")
    try:
        for number in range(1, 4):
            ip(f"address add {NETWORK}.{number}/24 dev tf-bridge")
        ip("link add tf-near type veth peer name tf-end netns tf-far")
        ip("link set tf-near master tf-bridge up")
        ip("link set tf-bridge up")
        ip(f"-n tf-far address add {FAR}/24 dev tf-end")
        for device in ("tf-end", "lo"):
            ip(f"-n tf-far link set {device} up")
        yield
    finally:
        ip("netns delete tf-far")
        ip("link delete tf-bridge")


@as_root
def test_partition_between_head_and_worker(undisturbed, tmp_path, cost):
    with far_machine(), machines(NETWORK) as cluster:
        for _ in range(2):
            cluster.add("--num-cpus=2")
        cluster.add("--num-cpus=2", address=FAR, within=["ip", "netns", "exec", "tf-far"])
        run = Run(undisturbed.config, tmp_path / "run", cluster)
        run.begin()
        run.wait_for_parts("objects", SLICES // 4)
        ip("link set tf-near nomaster")
        time.sleep(PARTITION)
        ip("link set tf-near master tf-bridge")
        cost(run.finish())
    assert run.files() == undisturbed.files
