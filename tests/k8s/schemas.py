"""Manifests against the schemas of their kinds, as strictly as the API server with strict field validation."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.conftest import SHARED
from tests.k8s.manifests import Manifest, pods

SCHEMAS = SHARED / "k8s-schemas" / "compact"
KUBERNETES = "1.36"
_INTEGERS = {"int32": 2**31, "int64": 2**63}


def faults(manifest: Manifest) -> list[str]:
    """What the API server would refuse; pod templates of a RayJob are looked at as the pods that they become."""
    schema = _custom().get((manifest["apiVersion"], manifest["kind"]))
    if schema is None:
        return _core(manifest)
    closed = jsonschema.Draft7Validator(_closed(schema, root=True))
    found = [
        f"{_where(error.absolute_path)}: {error.message[:200]}" for error in closed.iter_errors(manifest)
    ]
    found += _doubles(schema, manifest)
    if not found and manifest["kind"] == "RayJob":
        for pod in pods(manifest):
            wrapped = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod.name}, "spec": pod.spec}
            found += [f"{pod.name}: {fault}" for fault in _core(wrapped)]
    return found


def _core(manifest: Manifest) -> list[str]:
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{_where(error.path)}: {error.message[:200]}"]
    return []


@functools.cache
def _custom() -> dict[tuple[str, str], dict[str, Any]]:
    if not SCHEMAS.is_dir():
        pytest.skip("the folder of shared schemas is absent")
    found = {}
    for path in sorted(SCHEMAS.glob("*.json")):
        spec = json.loads(Path(path).read_text(encoding="utf-8"))["spec"]
        for version in spec["versions"]:
            key = f"{spec['group']}/{version['name']}", spec["names"]["kind"]
            found[key] = version["schema"]["openAPIV3Schema"]
    return found


def _closed(schema: Any, *, root: bool = False) -> Any:
    """JSON Schema of a structural schema, in which a key that it does not name is wrong."""
    if not isinstance(schema, dict):
        return schema
    out = {
        key: value
        for key, value in schema.items()
        if not key.startswith("x-kubernetes") and key not in {"nullable", "format", "default"}
    }
    if "properties" in schema:
        out["properties"] = {name: _closed(inner) for name, inner in schema["properties"].items()}
        if "additionalProperties" not in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            out["additionalProperties"] = False
        if root:
            out["properties"] |= {"metadata": {"type": "object"}, "apiVersion": {}, "kind": {}}
    for key in ("items", "additionalProperties"):
        if key in schema:
            out[key] = _closed(schema[key])
    if schema.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
        out.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    if schema.get("nullable") and "type" in out:
        out["type"] = [out["type"], "null"]
    if schema.get("format") in _INTEGERS:
        most = _INTEGERS[schema["format"]]
        out = {"minimum": -most, "maximum": most - 1, **out}
    return out


def _doubles(schema: Any, value: Any, path: str = "") -> list[str]:
    """Entries of a list that is a map, with the same key."""
    found = []
    if isinstance(value, dict):
        for key, inner in value.items():
            further = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            if isinstance(further, dict):
                found += _doubles(further, inner, f"{path}.{key}")
    elif isinstance(value, list) and "items" in schema:
        names = schema.get("x-kubernetes-list-map-keys", [])
        of = schema["items"].get("properties", {})
        keys = [
            tuple(entry.get(name, of.get(name, {}).get("default")) for name in names)
            for entry in value
            if names
        ]
        found += [f"{path}: {key} stands twice" for key in sorted(set(keys), key=str) if keys.count(key) > 1]
        for i, entry in enumerate(value):
            found += _doubles(schema["items"], entry, f"{path}[{i}]")
    return found


def _where(path: Any) -> str:
    return ".".join(map(str, path))
