"""Metrics that a run exports, with their labels: ours, Ray's and tritonserver's; and what of them PromQL asks for."""

from __future__ import annotations

import ast
import functools
import importlib.util
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.engine import metrics
from tests.k8s.manifests import ROOT

SUFFIXES = {"Counter": ("_total",), "Gauge": ("",), "Histogram": ("_bucket", "_sum", "_count")}
"""What Ray's Prometheus endpoint makes of a metric's name."""
TRITONSERVER = {
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_count",
    "nv_inference_queue_duration_us",
    "nv_inference_compute_infer_duration_us",
    "nv_gpu_utilization",
}
"""Those of tritonserver's metrics that we look at: its documentation is the only list of them."""
PROMETHEUS = {"up"}
"""What Prometheus says of each scrape itself."""
TARGETS = frozenset({"namespace", "pod", "container", "endpoint", "instance", "job"})
"""Labels that the Prometheus operator gives to everything that a PodMonitor finds; `endpoint` is the name of the port."""

Labels = dict[str, frozenset[str]]


@functools.cache
def names() -> Labels:
    """All names, as Prometheus knows them, with the labels of their own."""
    others = dict.fromkeys({*TRITONSERVER, *PROMETHEUS}, frozenset[str]())
    return ours() | _rays() | others


def ours(*folders: Path) -> Labels:
    """The table of a run's metrics, and what else `ray.util.metrics` are made of in the package; or what is in these folders."""
    found = [] if folders else [(m.kind.__name__, m.name, m.tags) for m in metrics.EVERY]
    folders = folders or (ROOT / "actors", ROOT / "pipeline")
    for path in itertools.chain.from_iterable(sorted(folder.rglob("*.py")) for folder in folders):
        found += _made(ast.parse(path.read_text(encoding="utf-8")))
    return {
        f"ray_{name}{suffix}": frozenset((*tags, *(["le"] if suffix == "_bucket" else [])))
        for kind, name, tags in found
        for suffix in SUFFIXES[kind]
    }


def used(expression: str) -> set[str]:
    """Names of metrics in a PromQL expression."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\{[^}]*\}", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"[a-zA-Z_:][\w:]*(?!\w)(?!\s*\()", re.sub(r"\[\w+\]|\b\d[\w.]*", " ", bare))
    return set(words) - {"and", "or", "unless", "bool", "offset"}


def asked(expression: str) -> Iterator[tuple[str, str]]:
    """Every label that PromQL asks of a metric: those it selects by, and those it keeps of what it adds up."""
    for name, inside in re.findall(r"([a-zA-Z_:][\w:]*)\s*\{([^}]*)\}", expression):
        yield from ((name, label) for label in re.findall(r'(\w+)\s*[=!]~?\s*"', inside))
    for kept in re.finditer(r"\bby\s*\(([^)]*)\)\s*", expression):
        if expression[kept.end() : kept.end() + 1] != "(":
            raise ValueError(f"write `by` before what is added up: {expression}")
        for name in used(_parenthesis(expression[kept.end() :])):
            yield from ((name, label.strip()) for label in kept[1].split(","))


def kept(expression: str) -> set[str]:
    """Labels of what comes out of PromQL whose parts all keep the same, or that adds nothing up."""
    kept = [set(re.findall(r"\w+", inside)) for inside in re.findall(r"\bby\s*\(([^)]*)\)", expression)]
    if kept:
        return set.intersection(*kept)
    if re.search(r"\b(sum|avg|min|max|count)\s*\(", expression):
        return set()
    return set().union(TARGETS, *(names().get(name, ()) for name in used(expression)))


def _parenthesis(text: str) -> str:
    """What the first parenthesis of a text holds."""
    depth = 0
    for i, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return text[1:i]
    raise ValueError(f"a parenthesis stays open: {text}")


def _made(tree: ast.Module) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Kind, name and tags of every metric that a module makes."""
    loops: dict[str, list[str]] = {}
    tuples: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.comprehension) and isinstance(node.target, ast.Name):
            values = node.iter.elts if isinstance(node.iter, ast.Tuple | ast.List) else []
            loops[node.target.id] = [v.value for v in values if isinstance(v, ast.Constant)]
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            tuples[node.targets[0].id] = node.value
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and node.args):
            continue
        kind = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if kind in SUFFIXES:
            names = [name for name in _texts(node.args[0], loops) if name.startswith("tuningfork_")]
            yield from ((kind, name, _tags(node, kind, tuples)) for name in names)


def _tags(call: ast.Call, kind: str, tuples: dict[str, ast.expr]) -> tuple[str, ...]:
    """The tags that a metric is made with: a tuple, written there or given a name before."""
    named = [keyword.value for keyword in call.keywords if keyword.arg == "tag_keys"]
    tags = [*named, *call.args[3 if kind == "Histogram" else 2 :]]
    if not tags:
        return ()
    found: tuple[str, ...] = ast.literal_eval(
        tuples[tags[0].id] if isinstance(tags[0], ast.Name) else tags[0]
    )
    return found


def _texts(node: ast.expr, loops: dict[str, list[str]]) -> list[str]:
    """What a text may be: itself, or one for each value of the loop that it is made in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if not isinstance(node, ast.JoinedStr):
        return []
    parts = []
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append([str(value.value)])
        elif isinstance(value, ast.FormattedValue) and isinstance(value.value, ast.Name):
            parts.append(loops.get(value.value.id, []))
    return ["".join(each) for each in itertools.product(*parts)]


def _rays() -> Labels:
    """What this version of Ray draws on its own dashboards, with all labels that it draws anything by."""
    found = importlib.util.find_spec("ray")
    panels = Path(found.origin).parent / "dashboard" / "modules" / "metrics" / "dashboards"
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(panels.glob("*_panels.py")))
    by = {label.strip() for inside in re.findall(r"\bby\s*\(([^)]*)\)", text) for label in inside.split(",")}
    return dict.fromkeys(re.findall(r"\bray_[a-z0-9_]+", text), frozenset(by))
