"""Asks a node of a cluster how many blocks it holds the first copy of; from a process of its own, which joins the cluster."""

from __future__ import annotations

import subprocess
import sys

from tests.cluster.nodes import Machines, Node


def primary_copies(machines: Machines, node: Node) -> int:
    """Objects in a node's store that were made there, and that it must not lose."""
    command = [sys.executable, "-m", __name__, machines.address, node.ip]
    said = subprocess.run(command, capture_output=True, text=True, env=machines.env, timeout=60, check=True)
    return int(said.stdout)


def main(address: str, ip: str) -> None:
    """Print the number."""
    import ray
    from ray._private.internal_api import node_stats

    ray.init(address, log_to_driver=False, logging_level="ERROR")
    port = next(node["NodeManagerPort"] for node in ray.nodes() if node["NodeManagerAddress"] == ip)
    print(node_stats(ip, port).store_stats.num_object_store_primary_copies)


if __name__ == "__main__":
    main(*sys.argv[1:])
