"""A Ray cluster of one node, looked at from outside while a command runs on it: its metrics, its dashboard."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families
from ray.cluster_utils import Cluster

EXPORT = 1.0
"""Seconds between two exports of a process's metrics; ten by default."""


@contextlib.contextmanager
def one_node(cpus: int = 2, store: int = 150 << 20, *, dashboard: bool = False) -> Iterator[Cluster]:
    """A cluster to join by its `address`."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": cpus,
            "object_store_memory": store,
            "include_dashboard": dashboard,
            "dashboard_port": 0,
            "_system_config": {"metrics_report_interval_ms": int(EXPORT * 1000)},
        },
    )
    try:
        yield cluster
    finally:
        cluster.shutdown()


class Watch:
    """Calls a function again and again, in a thread, until the block ends."""

    def __init__(self, look: Callable[[], None], interval: float = 0.3) -> None:
        self._look, self._interval, self._over = look, interval, threading.Event()
        self._thread = threading.Thread(target=self._repeat, daemon=True)

    def _repeat(self) -> None:
        while not self._over.wait(self._interval):
            self._look()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class Metrics:
    """All values that a node's Prometheus endpoint showed, in their order."""

    def __init__(self, cluster: Cluster) -> None:
        node = cluster.head_node
        self._url = f"http://{node.node_ip_address}:{node.metrics_export_port}/metrics"
        self._seen: dict[str, dict[frozenset[tuple[str, str]], list[float]]] = defaultdict(dict)

    def scrape(self) -> None:
        """Look once; an agent that is still starting answers nothing."""
        with contextlib.suppress(OSError):
            text = urllib.request.urlopen(self._url, timeout=10).read().decode()
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    values = self._seen[sample.name].setdefault(frozenset(sample.labels.items()), [])
                    values.append(sample.value)

    def names(self) -> set[str]:
        return set(self._seen)

    def tags(self, name: str) -> set[str]:
        """Keys of a metric's tags, Ray's own among them."""
        return {key for tags in self._seen[name] for key, _ in tags}

    def by(self, name: str, *keys: str) -> dict[tuple[str, ...], list[float]]:
        """Values of a metric: for each value of some tags those of all processes that had it, each process's last one."""
        found = defaultdict(list)
        for tags, values in self._seen[name].items():
            found[tuple(dict(tags)[key] for key in keys)].append(values[-1])
        return dict(found)

    def ever(self, name: str, **tags: str) -> set[float]:
        """All values that a metric with these tags ever had."""
        return {
            value
            for known, values in self._seen[name].items()
            if tags.items() <= dict(known).items()
            for value in values
        }


class Dashboard:
    """What the dashboard showed of jobs, datasets, actors and tasks."""

    def __init__(self, cluster: Cluster) -> None:
        self._url = f"http://{cluster.webui_url}"
        self.jobs: dict[str, Any] = {}
        self.datasets: dict[str, Any] = {}
        self.actors: dict[str, Any] = {}
        self.tasks: set[str] = set()

    def look(self) -> None:
        """Look once; a dashboard that is still starting answers nothing."""
        with contextlib.suppress(OSError):
            self.jobs |= {job["job_id"]: job for job in self._ask("/api/jobs/")}
            for job in self.jobs:
                found = self._ask(f"/api/data/datasets/{job}")["datasets"]
                self.datasets |= {dataset["dataset"]: dataset for dataset in found}
            actors = self._ask("/api/v0/actors?detail=1")["data"]["result"]["result"]
            self.actors |= {actor["actor_id"]: actor for actor in actors}
            tasks = self._ask("/api/v0/tasks?limit=10000")["data"]["result"]["result"]
            self.tasks |= {task["name"] for task in tasks}

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(self._url + path, timeout=30) as answer:
            return json.load(answer)
