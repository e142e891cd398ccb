"""The manifests as the API server would get them, and the pods in them."""

from __future__ import annotations

import copy
import functools
import re
import shutil
import subprocess
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
OVERLAYS = ("cpu-small", "gpu", "gpu-served", "kueue")
QUANTITY = re.compile(r"^\d+(\.\d+)?(m|[kMGTPE]|[KMGTPE]i)?$")

Manifest = dict[str, Any]


class Strict(yaml.SafeLoader):
    """YAML as the API server reads it: a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse what PyYAML would let the last one win."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"stands twice: {', '.join(twice)}", node.start_mark
            )
        return super().construct_mapping(node, deep)


def rendered(overlay: str) -> list[Manifest]:
    """What `kubectl apply -k` would send; a copy, to be changed at will."""
    return copy.deepcopy(_render(overlay))


@functools.cache
def _render(overlay: str) -> list[Manifest]:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is absent")
    command = ["kubectl", "kustomize", str(K8S / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return list(yaml.load_all(done.stdout, Loader=Strict))


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """Those of one kind."""
    return [each for each in manifests if each["kind"] == kind]


def rayjob(manifests: list[Manifest]) -> Manifest:
    """The only RayJob."""
    (found,) = of_kind(manifests, "RayJob")
    return found


@dataclass(frozen=True)
class Pod:
    """A pod template, and what KubeRay would add to it."""

    name: str
    template: Manifest
    group: Manifest
    """Head or worker group; empty for the submitter."""
    replicas: int
    """How many there may be."""

    @property
    def spec(self) -> Manifest:
        """Of the pod."""
        spec: Manifest = self.template["spec"]
        return spec

    @property
    def labels(self) -> dict[str, str]:
        """Those of the template and KubeRay's."""
        own: dict[str, str] = self.template.get("metadata", {}).get("labels", {})
        kind = {"head": "head", "submitter": None}.get(self.name, "worker")
        return own | ({"ray.io/node-type": kind} if kind else {})

    @property
    def containers(self) -> list[Manifest]:
        """All containers, those that start first included."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def running(self) -> list[Manifest]:
        """The containers that run for as long as the pod."""
        sidecars = [c for c in self.spec.get("initContainers", []) if c.get("restartPolicy") == "Always"]
        return [*sidecars, *self.spec["containers"]]

    @property
    def ray(self) -> Manifest:
        """Ray's container: the first."""
        first: Manifest = self.spec["containers"][0]
        return first

    def volume(self, name: str) -> Manifest:
        """A volume by its name; empty where there is none."""
        return next((v for v in self.spec.get("volumes", []) if v["name"] == name), {})

    def resource(self, key: str) -> float:
        """What Ray counts of a resource (`num-cpus`, `num-gpus`) in this pod."""
        stated = self.group.get("rayStartParams", {}).get(key)
        limit = {"num-cpus": "cpu", "num-gpus": "nvidia.com/gpu"}[key]
        return amount(stated if stated is not None else self.ray["resources"]["limits"].get(limit, 0))


def pods(job: Manifest) -> list[Pod]:
    """Submitter, head and worker groups of a RayJob."""
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    found = [Pod("submitter", spec["submitterPodTemplate"], {}, 1)] if "submitterPodTemplate" in spec else []
    found.append(Pod("head", cluster["headGroupSpec"]["template"], cluster["headGroupSpec"], 1))
    groups = cluster["workerGroupSpecs"]
    found += [Pod(group["groupName"], group["template"], group, group["maxReplicas"]) for group in groups]
    return found


def amount(quantity: str | float) -> float:
    """A quantity as a number."""
    text = str(quantity)
    number, suffix = re.fullmatch(r"([\d.]+)([A-Za-z]*)", text).groups()
    binary = {f"{letter}i": 1024.0 ** (i + 1) for i, letter in enumerate("KMGTPE")}
    decimal = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "m": 1e-3, "": 1.0}
    return float(number) * (binary | decimal)[suffix]


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Everything in a manifest, with where it stands."""
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from walk(inner, f"{path}[{i}]")
