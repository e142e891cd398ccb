"""Names of the metrics that a run exports, read from the source: ours, Ray's and tritonserver's."""

from __future__ import annotations

import ast
import functools
import importlib.util
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

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


@functools.cache
def names() -> frozenset[str]:
    """All names, as Prometheus knows them."""
    return frozenset({*ours(), *_rays(), *TRITONSERVER, *PROMETHEUS})


def ours(*folders: Path) -> set[str]:
    """What `ray.util.metrics` are made of in the package, or in these folders."""
    folders = folders or (ROOT / "actors", ROOT / "pipeline")
    found: set[str] = set()
    for path in itertools.chain.from_iterable(sorted(folder.rglob("*.py")) for folder in folders):
        for kind, name in _made(ast.parse(path.read_text(encoding="utf-8"))):
            found |= {f"ray_{name}{suffix}" for suffix in SUFFIXES[kind]}
    return found


def used(expression: str) -> set[str]:
    """Names of metrics in a PromQL expression."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\{[^}]*\}", " ", bare)
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    words = re.findall(r"[a-zA-Z_:][\w:]*(?!\w)(?!\s*\()", re.sub(r"\[\w+\]|\b\d[\w.]*", " ", bare))
    return set(words) - {"and", "or", "unless", "bool", "offset"}


def _made(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Kind and name of every metric that a module makes."""
    loops: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.comprehension) and isinstance(node.target, ast.Name):
            values = node.iter.elts if isinstance(node.iter, ast.Tuple | ast.List) else []
            loops[node.target.id] = [v.value for v in values if isinstance(v, ast.Constant)]
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and node.args):
            continue
        kind = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if kind in SUFFIXES:
            yield from (
                (kind, name) for name in _texts(node.args[0], loops) if name.startswith("tuningfork_")
            )


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


def _rays() -> set[str]:
    """What this version of Ray draws on its own dashboards."""
    found = importlib.util.find_spec("ray")
    panels = Path(found.origin).parent / "dashboard" / "modules" / "metrics" / "dashboards"
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(panels.glob("*_panels.py")))
    return set(re.findall(r"\bray_[a-z0-9_]+", text))
