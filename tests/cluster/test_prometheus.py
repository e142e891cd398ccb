"""Prometheus scrapes real runs as our PodMonitor says, answers all that our Grafana dashboard asks, and our alerts fire."""

from __future__ import annotations

import copy
import gzip
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.rundir.status import status
from pipeline.serving.serve import serving
from tests.cluster.prometheus import CLUSTER, NAMESPACE, Port, Prometheus, prometheus, scrape_config
from tests.cluster.watch import EXPORT, one_node
from tests.conftest import TinyRelease
from tests.k8s import exported
from tests.k8s.manifests import of_kind, rendered
from tests.serving.conftest import free_ports
from tests.serving.proxy import bad_line
from tests.survey.conftest import tuningfork, write_toml

pytestmark = pytest.mark.slow

BROKEN = 4
"""Slices that cannot be read."""
NOT_HERE = {"GPU", "Servers' GPUs", "Loss", "Stamps learned from a second"}
"""Panels that need a GPU or a training."""
HOURS_LONG = {"TuningforkNoProgress", "TuningforkGone", "TuningforkServerNeverUp"}
"""Alerts on what is quite healthy for some seconds, or that no hurry can bring about: promtool's tests tell of them."""
SETTLING = 6 * EXPORT
"""Seconds until all that a run told is scraped and judged."""


@dataclass
class Spell:
    """A run, and when it was."""

    start: float
    end: float
    run: str


@dataclass
class Looked:
    """A Prometheus that looked at three runs, each worse than the one before."""

    prometheus: Prometheus
    healthy: Spell
    storm: Spell
    """Served, over a line that breaks again and again."""
    broken: Spell
    """A part of the release cannot be read, and the server has gone."""
    line: str
    """Address of that line."""
    up: dict[str, str]
    """Health of Ray's node and of the server, while both were there."""

    def during(self, expression: str, first: Spell, last: Spell | None = None) -> dict[Any, list[float]]:
        return self.prometheus.during(expression, first.start, (last or first).end)

    def alerts(self, spell: Spell, **labels: str) -> list[dict[str, str]]:
        """Labels of the alerts that were pending or firing then."""
        chosen = ", ".join(f'{key}="{value}"' for key, value in labels.items())
        return [dict(found) for found in self.during(f"ALERTS{{{chosen}}}", spell)]


def spec(kind: str) -> dict[str, Any]:
    (found,) = of_kind(rendered("gpu-served"), kind)
    return found["spec"]


def dashboard() -> dict[str, Any]:
    texts = [each["data"].get("tuningfork.json") for each in of_kind(rendered("gpu-served"), "ConfigMap")]
    (text,) = filter(None, texts)
    return json.loads(text)


def hurried(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same alerts, but for two seconds instead of minutes."""
    groups = copy.deepcopy(groups)
    for group in groups:
        group["name"] += " in a hurry"
        group["rules"] = [rule for rule in group["rules"] if rule["alert"] not in HOURS_LONG]
        for rule in group["rules"]:
            rule["for"] = "2s"
            rule["labels"]["pace"] = "hurried"
    return groups


def a_run(config: dict[str, Any], tiny: TinyRelease, name: str, address: str, code: int = 0) -> Spell:
    start = time.time()
    path = write_toml(config, tiny.folder / f"{name}.toml")
    done = tuningfork("run", path, "--out", tiny.folder / name, "--address", address, timeout=600)
    assert done.returncode == code, done.stdout + done.stderr
    time.sleep(SETTLING)
    return Spell(start, time.time(), status(str(tiny.folder / name)).run_id)


def half_a_tile(folder: Path) -> tuple[TinyRelease, dict[str, str]]:
    """A release whose first slices lie on a tile that ends early, which no plan sees, for its trailer is there."""
    tiny = TinyRelease(folder, per_side=12)
    tiny.table["TILE"][: BROKEN * 16] = "t1"
    tiny.write(1)
    whole = gzip.compress((folder / "images" / "t0_r.fits").read_bytes(), compresslevel=1)
    (folder / "images" / "t0_r.fits.gz").write_bytes(whole)
    (folder / "images" / "t1_r.fits.gz").write_bytes(whole[: len(whole) // 2] + whole[-8:])
    return tiny, {"path": "images/{TILE}_{band}.fits.gz"}


@pytest.fixture(scope="module")
def looked(tmp_path_factory):
    base = tmp_path_factory.mktemp("prometheus")
    good = TinyRelease(base / "good", shards=3, per_side=12)
    good.table["RA"][5] = float("nan")  # a flag
    good.write(3)
    bad, gzipped = half_a_tile(base / "bad")
    slow = {"input": 96, "turns": 4}
    served = {**slow, "served_by": "tritonserver", "shared_memory": "off", "precision": "float32"}
    ports, monitor = free_ports(), spec("PodMonitor")
    config = write_toml(
        good.config(encode={**served, "endpoints": [ports.endpoint]}), base / "good" / "s.toml"
    )
    exporting = tuningfork("export-encoder", config, base / "repository")
    assert exporting.returncode == 0, exporting.stdout + exporting.stderr
    groups = spec("PrometheusRule")["groups"]
    with one_node(dashboard=True) as cluster, (base / "server.log").open("wb") as log:
        session = Path(cluster.head_node.get_session_dir_path())
        scraped = [
            Port("metrics", "ray-head", "head", session / "prom_metrics_service_discovery.json"),
            Port("server-metrics", "tritonserver", "encoders-1", base / "server.json"),
        ]
        (base / "kept").mkdir()
        with prometheus(
            base / "kept",
            free_ports().http,
            [scrape_config(port, monitor) for port in scraped],
            [*groups, *hurried(groups)],
        ) as asked:
            with serving(base / "repository", ports, log=log.fileno()):
                targets = [{"targets": [f"127.0.0.1:{ports.metrics}"]}]
                (base / "server.json").write_text(json.dumps(targets))
                healthy = a_run(good.config(encode=slow), good, "healthy", cluster.address)
                with bad_line(ports.grpc, "reset", faults=10**6, after=6000) as line:
                    over_it = good.config(encode={**served, "endpoints": [line.endpoint]})
                    storm = a_run(over_it, good, "storm", cluster.address)
                node = f"{cluster.head_node.node_ip_address}:{cluster.head_node.metrics_export_port}"
                # The file has Ray's autoscaler and dashboard too, whose ports all clusters of a machine share.
                up = {who: asked.up().get(who, "unknown") for who in (node, f"127.0.0.1:{ports.metrics}")}
            broken = a_run(bad.config(images=gzipped, encode=slow), bad, "broken", cluster.address, code=3)
            yield Looked(asked, healthy, storm, broken, line.endpoint, up)


def test_target_is_down(looked):
    assert list(looked.up.values()) == ["up", "up"]


def panels() -> list[Any]:
    return [
        pytest.param(panel["title"], target["expr"], id=f"{panel['title']}: {target['legendFormat']}")
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    ]


def filled_in(expression: str) -> str:
    """As Grafana asks it for this namespace and all runs."""
    return expression.replace("$namespace", NAMESPACE).replace("$run", ".*")


@pytest.mark.parametrize(("title", "expression"), panels())
def test_panel_stays_empty(looked, title, expression):
    found = looked.during(filled_in(expression), looked.healthy, looked.broken)
    if title in NOT_HERE:
        assert found == {}
        return
    assert found
    by = exported.kept(expression) - {"le"}
    assert {frozenset(dict(labels)) for labels in found} == {frozenset(by)}


def test_variable_has_no_values(looked):
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] != "query":
            continue
        inside = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
        found = looked.prometheus.ask(f"label/{inside[2]}/values", **{"match[]": filled_in(inside[1])})
        runs = {looked.healthy.run, looked.storm.run, looked.broken.run}
        assert set(found) == {"namespace": {NAMESPACE}, "run": runs}[variable["name"]]


def test_panels_show_what_the_runs_did(looked):
    def peaks(title, spell):
        expression = next(p["targets"][0]["expr"] for p in dashboard()["panels"] if p["title"] == title)
        found = looked.during(filled_in(expression), spell)
        return {
            dict(labels).get(next(iter(dict(labels)), "")): max(values) for labels, values in found.items()
        }

    assert peaks("Slices done", looked.healthy) == {"encode": 1.0, "vote": 1.0}
    assert peaks("Slices that failed for good", looked.broken)["encode"] == BROKEN
    assert "bad_position" in peaks("Flagged objects a second", looked.healthy)
    assert 0 < peaks("Busy share of encoders", looked.healthy)["cpu"] <= 1
    assert 0 < peaks("Filled share of batches", looked.healthy)[None] <= 1


def test_metric_of_an_alert_is_never_seen(looked):
    for group in spec("PrometheusRule")["groups"]:
        for rule in group["rules"]:
            for name in exported.used(rule["expr"]):
                assert looked.during(name, looked.healthy, looked.broken), (rule["alert"], name)


def test_rule_that_prometheus_cannot_evaluate(looked):
    groups = looked.prometheus.ask("rules")["groups"]
    health = {rule["name"]: (rule["health"], rule.get("lastError")) for g in groups for rule in g["rules"]}
    assert health == {
        rule["alert"]: ("ok", None) for group in spec("PrometheusRule")["groups"] for rule in group["rules"]
    }


def test_alert_in_a_healthy_run(looked):
    assert looked.alerts(looked.healthy, alertstate="firing") == []
    assert looked.alerts(looked.healthy, pace="hurried") == []


def test_progress_that_the_alert_on_none_does_not_see(looked):
    (expression,) = (
        rule["expr"]
        for group in spec("PrometheusRule")["groups"]
        for rule in group["rules"]
        if rule["alert"] == "TuningforkNoProgress"
    )
    sides = [{"namespace": NAMESPACE, "run": looked.healthy.run}]
    assert [dict(x) for x in looked.during(expression.replace("unless", "and"), looked.healthy)] == sides


@pytest.mark.parametrize(
    ("alert", "spell", "labels"),
    [
        ("TuningforkFaults", "broken", {"stage": "encode"}),
        ("TuningforkServerDown", "broken", {"pod": "encoders-1", "container": "tritonserver"}),
        ("TuningforkRetryStorm", "storm", {"pod": "head"}),
    ],
)
def test_alert_stays_silent(looked, alert, spell, labels):
    then = getattr(looked, spell)
    labels = {"namespace": NAMESPACE} | labels
    if alert == "TuningforkFaults":
        labels["run"] = then.run
    if alert == "TuningforkRetryStorm":
        labels["endpoint"] = looked.line
    if alert == "TuningforkServerDown":
        labels |= {"ray_io_cluster": CLUSTER}
    fired = looked.alerts(then, alertname=alert, alertstate="firing")
    assert [labels.items() <= each.items() and each["pace"] == "hurried" for each in fired] == [True]
    # as the manifests have it, it waits for some minutes to be sure
    assert looked.alerts(then, alertname=alert, alertstate="pending", pace="")
