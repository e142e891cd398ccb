"""Dashboard and alerts look at metrics and labels that a run exports, and alerts fire when they should and not otherwise."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.k8s import exported
from tests.k8s.manifests import K8S, of_kind, rendered, walk

ALERTS = Path(__file__).with_name("alerts.yaml")
MONITORED = "gpu-served"


@pytest.fixture(scope="module")
def dashboard():
    """The dashboard, from the ConfigMap that Grafana finds it in."""
    (found,) = (
        each for each in of_kind(rendered(MONITORED), "ConfigMap") if "tuningfork.json" in each["data"]
    )
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    return json.loads(found["data"]["tuningfork.json"])


@pytest.fixture
def rules():
    """The groups of alerts."""
    (found,) = of_kind(rendered(MONITORED), "PrometheusRule")
    return found["spec"]


def expressions(dashboard) -> dict[str, list[str]]:
    """PromQL of each panel and variable, by its title or name."""
    panels = {panel["title"]: [t["expr"] for t in panel.get("targets", [])] for panel in dashboard["panels"]}
    variables = {
        v["name"]: [v["query"]["query"]] for v in dashboard["templating"]["list"] if v["type"] == "query"
    }
    bare = {
        name: [q.removeprefix("label_values(").rpartition(",")[0] for q in queries]
        for name, queries in variables.items()
    }
    return panels | bare


def unknown(queries: list[str]) -> set[str]:
    """Metrics in queries that nobody exports."""
    return {name for query in queries for name in exported.used(query)} - exported.names().keys()


@pytest.fixture
def monitor():
    """What Prometheus scrapes."""
    (found,) = of_kind(rendered(MONITORED), "PodMonitor")
    return found["spec"]


def relabelled(monitor) -> set[str]:
    """Labels that the monitor itself adds."""
    rules = [rule for port in monitor["podMetricsEndpoints"] for rule in port["relabelings"]]
    return {rule["targetLabel"] for rule in rules if "targetLabel" in rule}


def strange(queries: list[str], monitor) -> set[tuple[str, str]]:
    """Metrics in queries with a label that they do not have."""
    every = exported.TARGETS | relabelled(monitor)
    return {
        (name, label)
        for query in queries
        for name, label in exported.asked(query)
        if label not in every | exported.names()[name]
    }


def test_panel_of_a_metric_that_nobody_exports(dashboard):
    wrong = {title: unknown(queries) for title, queries in expressions(dashboard).items()}
    assert not {title: sorted(names) for title, names in wrong.items() if names}


def test_alert_on_a_metric_that_nobody_exports(rules):
    wrong = {rule["alert"]: unknown([rule["expr"]]) for group in rules["groups"] for rule in group["rules"]}
    assert not {name: sorted(names) for name, names in wrong.items() if names}


def test_panel_of_a_label_that_its_metric_has_not(dashboard, monitor):
    wrong = {title: strange(queries, monitor) for title, queries in expressions(dashboard).items()}
    assert not {title: sorted(labels) for title, labels in wrong.items() if labels}


def test_alert_on_a_label_that_its_metric_has_not(rules, monitor):
    wrong = {r["alert"]: strange([r["expr"]], monitor) for group in rules["groups"] for r in group["rules"]}
    assert not {name: sorted(labels) for name, labels in wrong.items() if labels}


def test_legend_of_a_label_that_is_added_up(dashboard):
    targets = [t for panel in dashboard["panels"] for t in panel.get("targets", [])]
    legends = {t["expr"]: set(re.findall(r"\{\{(\w+)\}\}", t["legendFormat"])) for t in targets}
    assert not {expr: lost for expr, told in legends.items() if (lost := told - exported.kept(expr))}


def test_alert_that_tells_of_a_label_that_is_added_up(rules):
    for rule in rules["groups"][0]["rules"]:
        told = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
        assert told <= exported.kept(rule["expr"]), rule["alert"]


def test_server_whose_address_the_operator_takes_for_a_port(monitor):
    """Our tag `endpoint` would become `exported_endpoint` beside the operator's label of that name."""
    taken = exported.TARGETS & frozenset().union(*exported.ours().values())
    (port,) = (each for each in monitor["podMetricsEndpoints"] if each["port"] == "metrics")
    dropped = {rule["regex"] for rule in port["relabelings"] if rule["action"] == "labeldrop"}
    assert taken == dropped == {"endpoint"}


def test_metric_of_ours_that_the_dashboard_forgets(dashboard):
    shown = {
        name
        for queries in expressions(dashboard).values()
        for query in queries
        for name in exported.used(query)
    }
    stems = {
        name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in exported.ours()
    }
    assert stems <= {name.removesuffix("_bucket") for name in shown}


def test_misspelt_metric_is_seen():
    assert unknown(["sum(rate(ray_tuningfork_served_request_total[5m])) by (endpoint)"]) == {
        "ray_tuningfork_served_request_total"
    }
    assert unknown(['ray_tuningfork_served_retries{a="b"} > 0']) == {"ray_tuningfork_served_retries"}
    assert unknown(["ray_node_memory_used / nv_energy"]) == {"ray_node_memory_used", "nv_energy"}
    sound = 'histogram_quantile(0.5, sum by (le) (rate(ray_tuningfork_served_latency_seconds_bucket{x=~"a|b"}[5m])))'
    assert (
        unknown([sound, 'up{container="c"} == 0 unless on (pod) ray_object_store_memory offset 5m']) == set()
    )


def test_misspelt_label_is_seen(monitor):
    def seen(query):
        return {label for _, label in strange([query], monitor)}

    assert seen('sum(ray_tuningfork_slices{run=~"a", status="done"})') == {"status"}
    assert seen("sum by (phase) (rate(ray_tuningfork_objects_total[5m]))") == {"phase"}
    assert seen("sum by (le, stage) (rate(ray_tuningfork_step_seconds_bucket[5m]))") == {"stage"}
    assert seen("sum by (le) (rate(ray_tuningfork_step_seconds_count[5m]))") == {"le"}
    assert seen(
        "a / sum by (flag) (ray_tuningfork_batch_fill) / sum by (run) (ray_tuningfork_batch_fill)"
    ) == {"flag"}
    sound = 'sum by (pod, Location, ray_io_cluster) (ray_object_store_memory{namespace!="x"})'
    assert seen(sound) == set()
    with pytest.raises(ValueError, match="before what is added up"):
        seen("sum(ray_tuningfork_slices) by (phase)")


def test_metrics_are_found_in_source_however_they_are_named(tmp_path):
    (tmp_path / "module.py").write_text(
        'from collections import Counter as C\nfrom ray.util import metrics\nmetrics.Counter("tuningfork_a", "what")\n'
        'x = {n: Gauge(f"tuningfork_{n}_b", "what") for n in ("c", "d")}\nC("tuningfork_no")\nCounter("abracadabra")\n'
        'tags = ("e", "f")\nHistogram("tuningfork_g", "what", [1.0], tags)\nGauge("tuningfork_h", tag_keys=("i",))\n',
        encoding="utf-8",
    )
    plain = dict.fromkeys(("ray_tuningfork_a_total", "ray_tuningfork_c_b", "ray_tuningfork_d_b"), frozenset())
    tagged = {
        "ray_tuningfork_g_bucket": frozenset({"e", "f", "le"}),
        "ray_tuningfork_g_sum": frozenset({"e", "f"}),
        "ray_tuningfork_g_count": frozenset({"e", "f"}),
        "ray_tuningfork_h": frozenset({"i"}),
    }
    assert exported.ours(tmp_path) == plain | tagged


def test_panels_do_not_hide_one_another(dashboard):
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]
    for key in ("id", "title"):
        assert len({panel[key] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def promtool(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run promtool, which is in Debian's package `prometheus`."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is absent: install Debian's prometheus")
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, cwd=folder)


@pytest.fixture
def checked(tmp_path):
    """`checked(rules)` is what promtool says of them, of the dashboard's queries too if they are given as rules."""

    def checked(rules, *, fire: bool = False):
        (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
        if not fire:
            return promtool("check", "rules", "rules.yaml", folder=tmp_path)
        shutil.copy(ALERTS, tmp_path / "alerts.yaml")
        return promtool("test", "rules", "alerts.yaml", folder=tmp_path)

    return checked


def test_expression_that_prometheus_cannot_read(checked, rules, dashboard):
    done = checked(rules)
    assert done.returncode == 0, done.stdout + done.stderr
    queries = [
        query for panel in dashboard["panels"] for query in (t["expr"] for t in panel.get("targets", []))
    ]
    recorded = [{"record": f"panel:{i}", "expr": query} for i, query in enumerate(queries)]
    done = checked({"groups": [{"name": "panels", "rules": recorded}]})
    assert done.returncode == 0, done.stdout + done.stderr
    rules["groups"][0]["rules"][0]["expr"] = "sum by (run) (rate("
    assert checked(rules).returncode != 0


def test_alert_that_stays_silent_or_cries_wolf(checked, rules):
    done = checked(rules, fire=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("alert", "old", "new"),
    [
        ("TuningforkNoProgress", "[20m]", "[5m]"),
        ("TuningforkNoProgress", "> 0\nunless", ">= 0\nunless"),
        ("TuningforkNoProgress", "waiting", "pending"),
        ("TuningforkGone", "waiting", "done"),
        ("TuningforkGone", "[6h]", "[2m]"),
        ("TuningforkFaults", "0.01", "0.1"),
        ("TuningforkFaults", "failed|done", "failed|done|waiting"),
        ("TuningforkServerDown", "tritonserver", "server"),
        ("TuningforkServerDown", "== 0", "== 1"),
        ("TuningforkServerDown", ".+/tuningfork", ".*"),
        ("TuningforkServerDown", "and max", "or max"),
        ("TuningforkServerNeverUp", "unless", "and"),
        ("TuningforkRetryStorm", "pod, endpoint", "endpoint"),
        ("TuningforkRetryStorm", "0.2", "2"),
        ("TuningforkSpills", "SPILLED", "IN_MEMORY"),
    ],
)
def test_wrong_alert_is_seen(checked, rules, alert, old, new):
    (rule,) = (rule for group in rules["groups"] for rule in group["rules"] if rule["alert"] == alert)
    assert old in rule["expr"]
    rule["expr"] = rule["expr"].replace(old, new)
    done = checked(rules, fire=True)
    assert done.returncode != 0
    assert alert in done.stdout + done.stderr


def test_every_alert_is_tried_and_says_what_to_do(rules):
    tried = {
        value
        for _, value in walk(yaml.safe_load(ALERTS.read_text(encoding="utf-8")))
        if isinstance(value, str)
    }
    for rule in rules["groups"][0]["rules"]:
        assert rule["alert"] in tried
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]
        assert rule["labels"]["severity"] in {"warning", "critical"}


def test_dashboard_in_the_repository_is_as_grafana_would_save_it():
    text = (K8S / "components" / "monitoring" / "tuningfork.json").read_text(encoding="utf-8")
    assert json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n" == text
