"""A real Prometheus, set up as the Prometheus operator would from our manifests, which scrapes a Ray cluster of this machine."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

PACE = 1
"""Seconds between two looks; a quarter of a minute in the manifests."""
NAMESPACE, CLUSTER = "tuningfork", "tuningfork-abcde"


@dataclass(frozen=True)
class Port:
    """A port of a PodMonitor, and the file in which Prometheus finds whom to ask."""

    name: str
    container: str
    pod: str
    targets: Path


def scrape_config(port: Port, monitor: dict[str, Any]) -> dict[str, Any]:
    """What the operator makes of a PodMonitor's port: its own labels first, then ours."""
    (endpoint,) = (each for each in monitor["podMetricsEndpoints"] if each["port"] == port.name)
    own = {
        "__meta_kubernetes_pod_label_ray_io_cluster": CLUSTER,
        "job": f"{NAMESPACE}/tuningfork",
        "namespace": NAMESPACE,
        "pod": port.pod,
        "container": port.container,
        "endpoint": port.name,
    }
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    return {
        "job_name": f"podMonitor/{NAMESPACE}/tuningfork/{port.name}",
        "file_sd_configs": [{"files": [str(port.targets)], "refresh_interval": "1s"}],
        "relabel_configs": [
            *({"target_label": label, "replacement": value} for label, value in own.items()),
            *(
                {names.get(key, key): value for key, value in rule.items()}
                for rule in endpoint["relabelings"]
            ),
        ],
    }


class Prometheus:
    """One that is running."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, path: str, **parameters: Any) -> Any:
        """What its HTTP API answers; an expression that cannot be evaluated is an error."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self._url}/api/v1/{path}?{query}", timeout=30) as answer:
            return json.load(answer)["data"]

    def during(
        self, expression: str, start: float, end: float
    ) -> dict[frozenset[tuple[str, str]], list[float]]:
        """All values that an expression had, by its labels; those that are no number are left out."""
        data = self.ask("query_range", query=expression, start=start, end=end, step=PACE)
        found = {
            frozenset(series["metric"].items()): [float(v) for _, v in series["values"] if v != "NaN"]
            for series in data["result"]
        }
        return {labels: values for labels, values in found.items() if values}

    def up(self) -> dict[str, str]:
        """Health of each target, by its address."""
        return {
            each["discoveredLabels"]["__address__"]: each["health"]
            for each in self.ask("targets", state="active")["activeTargets"]
        }


@contextlib.contextmanager
def prometheus(
    folder: Path, port: int, scraped: list[dict[str, Any]], rules: list[dict[str, Any]]
) -> Iterator[Prometheus]:
    """Run one on loopback while the block runs; it keeps what it saw in the folder."""
    if shutil.which("prometheus") is None:
        pytest.skip("Prometheus is absent: install Debian's prometheus")
    pace = {"scrape_interval": f"{PACE}s", "scrape_timeout": f"{PACE}s", "evaluation_interval": f"{PACE}s"}
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": rules}), encoding="utf-8")
    config = {"global": pace, "rule_files": ["rules.yaml"], "scrape_configs": scraped}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    listens = f"127.0.0.1:{port}"
    command = ["prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=kept"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address={listens}"], cwd=folder, stdout=log, stderr=log
        )
        try:
            _wait(f"http://{listens}/-/ready", process, folder / "log")
            yield Prometheus(f"http://{listens}")
        finally:
            process.terminate()
            process.wait(30)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    raise AssertionError(log.read_text())
